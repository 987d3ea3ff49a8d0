"""`perdure simulate`: what a person sees of runs that keep every promise, of one that breaks a promise, and of wrong usage."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from perdure.cli import app
from perdure.core import planner
from perdure.core.ids import Label
from perdure.errors import ConfigError


def said(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_campaign_says_how_the_scenarios_ended_and_how_much_was_checked() -> None:
    status, output = said("faults", "--seeds", "0:5", "--ranks", "4", "--parity", "1:1")
    assert status == 0
    assert output.startswith("5 scenarios: ")
    assert "events checked" in output


def test_a_replay_tells_what_every_machine_heard_and_did() -> None:
    status, output = said("replay", "ranks=3 parity=1 seed=1 kill:Prepared,nth=4,victim=1", "--lines", "0")
    assert status == 0
    assert "*** kill:Prepared,nth=4,victim=1" in output
    assert "-> VerifySlot rank" in output
    assert "all guarantees hold" in output


def test_a_broken_promise_is_told_with_the_command_that_runs_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "choose_base", lambda plan, held: plan.base or Label(1, 0))
    status, output = said("faults", "--seeds", "0:200", "--ranks", "3:4", "--parity", "1:1")
    assert status == 1
    commands = [line for line in output.splitlines() if line.startswith("perdure simulate replay ")]
    assert len(commands) == 2, "as it was found, and made short"
    assert len(commands[1]) <= len(commands[0])
    again, _ = said("replay", commands[1].split('"')[1])
    assert again == 1


def test_scale_counts_the_work_of_one_failure() -> None:
    status, output = said("scale", "--ranks", "64,128")
    assert status == 0
    assert [line.split()[0] for line in output.splitlines()[-2:]] == ["64", "128"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["faults", "--seeds", "9"], "greater"),
        (["faults", "--seeds", "a:b"], "--seeds must be FROM:TO"),
        (["faults", "--ranks", "8:4"], "--ranks must be FROM:TO"),
        (["faults", "--parity", "1:9"], "at most 3"),
        (["faults", "--ranks", "2:4", "--parity", "2:3"], "more ranks than its parity"),
        (["replay", "ranks=4"], "parity"),
        (["scale", "--ranks", "ten"], "sizes of at least 16"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_write(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        said(*words)
