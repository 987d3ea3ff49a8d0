"""`perdure rehearse --campaign` on real processes: what a person sees when all is well, and when it is not."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from perdure.cli import app
from perdure.cli.settings import parse_settings
from perdure.core.settings import Settings
from perdure.errors import ConfigError
from perdure.launch.domains import racks
from perdure.launch.shapes import shape_of
from perdure.testing.campaign.baseline import baseline_of
from perdure.testing.campaign.cases import draw
from perdure.testing.hosts import Hosts

ROOT = pathlib.Path(__file__).parents[2]
HEAT = str(ROOT / "examples" / "heat" / "heat.py")
LONGER = ["--", "--n", "64", "--supersteps", "600"]
SMALL = ["--ranks", "2", "--commit-every", "5", "--", "--n", "16", "--supersteps", "60"]


def campaign(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["rehearse", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.long
def test_a_program_that_survives_gets_a_table_and_a_line_of_json() -> None:
    status, out, err = campaign(HEAT, "--campaign", "--runs", "3", "--seed", "1", "--json", *SMALL)
    *shown, last = out.splitlines()
    assert status == 0, err
    assert shown[0].split() == ["fault,", "phase", "runs", "hit", "survived", "detected", "recovered", "wrong", "hung", "left"]
    assert shown[-1].startswith("the program survives: 3 runs")
    found = json.loads(last)
    assert {(row["fault"], row["phase"]): row["runs"] for row in found["rows"]} == {
        ("kill node", "copying"): 1,
        ("kill node", "encoding"): 2,
    }
    assert (found["all"]["runs"], found["all"]["survived"], found["failures"]) == (3, 3, [])


@pytest.mark.long
def test_whole_racks_are_lost() -> None:
    baseline = baseline_of(
        shape_of(4, 1, 2, 1, None, ("rack",), racks(3, 6)), spares=2, supersteps=600, commits=range(0, 600, 5), wall_s=2.0
    )
    first = next(seed for seed in range(100) if draw(seed, baseline).fault == "kill domain")
    words = ("--runs", "3", "--seed", str(first), "--spares", "2", "--racks", "3", "--commit-every", "5", "--json", *LONGER)
    status, out, err = campaign(HEAT, "--campaign", *words)
    assert status == 0, err
    found = json.loads(out.splitlines()[-1])
    assert [(row["fault"], row["phase"], row["struck"], row["survived"]) for row in found["rows"]] == [
        ("kill domain", phase, 1, 1) for phase in ("superstep", "prepared", "recovery: sealed")
    ]
    assert found["not_drawn"] == ""


def test_why_no_rack_is_lost_is_told() -> None:
    status, out, _ = campaign(HEAT, "--campaign", "--runs", "1", "--racks", "1", "--json", *SMALL)
    *shown, last = out.splitlines()
    why = "the campaign kills no whole failure domain: rack 0 holds 2 members of group 0 (ranks 0, 1)"
    assert status == 0
    assert any(line.startswith(why) for line in shown)
    assert json.loads(last)["not_drawn"].startswith(why)


@pytest.mark.long
def test_hosts_of_its_own_lose_their_power_and_their_links(hosts: Callable[[int], Hosts]) -> None:
    hosts(1).close()  # or this is skipped, with the reason
    shape = ("--parity", "2", "--spares", "2", "--commit-every", "5", "--json")
    status, out, err = campaign(HEAT, "--campaign", "--namespaced", "--runs", "28", *shape, *LONGER)
    assert status == 0, err
    found = json.loads(out.splitlines()[-1])
    assert (found["all"]["survived"], found["all"]["left"], found["failures"]) == (28, 0, [])
    silences = [row for row in found["rows"] if row["fault"] in ("power off", "cut one way", "stop host") and row["detect_p50_s"]]
    assert len(silences) > 3
    assert all(2.0 < row["detect_p50_s"] < 5.0 for row in silences)


@pytest.mark.parametrize("words", [["--namespaced"], ["--campaign", "--namespaced", "--hosts", "10.0.0.1"], ["--hosts", "10.0.0.1"]])
def test_where_the_runs_are_is_said_once(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        campaign(HEAT, *words)


def test_a_program_that_forgets_is_told_with_the_command_that_replays_it(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "forgets.py"
    program.write_text(
        "import numpy as np\n"
        "count = 0\n"
        "def main(job, supersteps: int = 40):\n"
        "    global count\n"
        "    state = job.sharded('state', shape=(8,), init=0.0)\n"
        "    for _ in job.supersteps(supersteps):\n"
        "        count += 1\n"
        "        state += count\n"
    )
    status, out, err = campaign(str(program), "--campaign", "--runs", "1", "--seed", "0", "--json", "--ranks", "2")
    assert status == 1
    assert "the program does not survive: 1 of 1 runs" in out
    assert "seed 0: kill node, superstep: 'state' differs on rank" in err
    command = next(line.removeprefix("again: ") for line in err.splitlines() if line.startswith("again: "))
    assert json.loads(out.splitlines()[-1])["failures"] == [{"seed": 0, "command": command}]
    again = subprocess.run([sys.executable, "-m", *shlex.split(command)], stderr=subprocess.PIPE, text=True, env=os.environ, check=True)
    assert "is lost" in again.stderr, "the same fault"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--campaign", "--runs", "0"], "--runs must be 1 or more"),
        (["--campaign", "--seed", "-1"], "--seed must be 0 or more"),
        (["--campaign", "--engine", "threads"], "survives no loss"),
        (["--campaign", "--parity", "4"], "--parity must be 0, 1, 2 or 3"),
        (["--json"], "need --campaign"),
    ],
)
def test_wrong_usage_is_told_before_anything_starts(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        campaign(HEAT, *words)


def test_a_program_that_is_too_short_is_told_so() -> None:
    with pytest.raises(ConfigError, match="run more supersteps"):
        campaign(HEAT, "--campaign", "--ranks", "2", "--", "--n", "16", "--supersteps", "1")


@pytest.mark.parametrize(
    ("words", "says"), [("lunch=1", "unknown setting 'lunch'"), ("silence_s=soon", "silence_s must be a number, such as 3")]
)
def test_a_wrong_setting_is_told_with_what_there_is(words: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_settings([words], 60.0)


def test_settings_are_of_their_own_type() -> None:
    assert parse_settings(["silence_s=2", "crash_limit=5"], 9.0) == Settings(hang_timeout_s=9.0, silence_s=2.0, crash_limit=5)
