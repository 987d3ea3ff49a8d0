"""What a person tries first: a bare command, one rank, the arguments of a program, a program that forgot its loop."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from tests.cli.test_command import command
from tests.faults.conftest import PROGRAM

from perdure.errors import UsageError
from perdure.launch.plain import plain
from perdure.launch.program import convert_arguments

NO_LOOP, COUNTS_CALLS = (str(pathlib.Path(__file__).parents[1] / "programs" / name) for name in ("no_loop.py", "counts_calls.py"))


def report_of(*words: str) -> tuple[dict[str, Any], str]:
    """The report of a run, read as strictly as JSON says."""
    done = command("run", *words)
    assert done.returncode == 0, done.stderr

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(done.stdout.splitlines()[-1], parse_constant=refuse), done.stderr


@pytest.mark.parametrize("words", [(), ("bench",), ("simulate",)])
def test_a_bare_command_prints_its_help_and_no_empty_error(words: tuple[str, ...]) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert "Usage: " in done.stdout + done.stderr
    assert "error" not in done.stderr


def test_one_rank_needs_no_options_survives_a_crash_and_says_what_it_does_not_survive() -> None:
    report, shown = report_of(PROGRAM, "--ranks", "1", "--json", "--fault", "crash:rank=0,superstep=7", "--", "--supersteps", "20")
    assert (report["supersteps"], report["losses"], report["generations"]) == (20, 1, 2)
    assert "parity is 0" in report["risk"]
    assert report["risk"] in shown


def test_one_rank_with_parity_that_is_asked_for_is_refused() -> None:
    done = command("run", PROGRAM, "--ranks", "1", "--parity", "1")
    assert done.returncode == 2
    assert "--parity 1" in done.stderr


def test_the_report_has_the_start_the_commits_and_the_losses_one_by_one() -> None:
    report, _ = report_of(PROGRAM, "--commit-every", "5", "--json", "--fault", "kill:node=2,superstep=12", "--", "--supersteps", "20")
    assert report["started"].endswith("+00:00")
    assert report["commits"] >= 5  # superstep 0, 5, 10, 15 and the end
    assert [(one["node"], one["t"] > 0, bool(one["reason"])) for one in report["lost"]] == [(2, True, True)]
    assert report["warnings"] == []


def test_a_program_without_a_loop_is_warned_and_its_result_is_json() -> None:
    report, _ = report_of(NO_LOOP, "--ranks", "2", "--json")
    assert "job.supersteps" in report["warnings"][0]
    assert report["result"] == {"bad": "NaN", "worst": ["-Infinity"], "big": hex(10**5000), "sum": 4.0}
    assert "ran no superstep" in command("run", NO_LOOP, "--ranks", "2").stdout


def test_a_boolean_argument_of_main_is_denied_by_no() -> None:
    report, _ = report_of(NO_LOOP, "--ranks", "1", "--json", "--", "--no-bad")
    assert report["result"]["bad"] == 1.0


def test_no_is_for_booleans_alone_and_takes_no_value() -> None:
    def main(job: Any, quiet: bool = True, size: int = 3, no_cache: bool = False) -> None: ...

    assert convert_arguments(main, {"no-quiet": True, "no-cache": True}) == {"quiet": False, "no_cache": True}
    for wrong in ({"no-size": True}, {"no-quiet": "yes"}):
        with pytest.raises(UsageError, match="takes no argument"):
            convert_arguments(main, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["run", "plan", "rehearse"])
def test_help_after_the_dashes_is_about_the_program(name: str) -> None:
    done = command(name, NO_LOOP, "--", "--help")
    assert done.returncode == 0, done.stderr
    assert "--bad | --no-bad  (default: True)" in done.stdout
    assert "--size INT  (default: 4)" in done.stdout


def test_a_rehearsal_checks_the_path_before_it_begins() -> None:
    done = command("rehearse", "there/is/none.py")
    assert done.returncode == 2
    assert done.stderr.startswith("perdure: error: the program ")


def test_a_rehearsal_shows_what_goes_on_in_a_run_and_advises_on_both_causes() -> None:
    done = command("rehearse", COUNTS_CALLS, "--ranks", "3", "--rehearsals", "1")
    assert done.returncode == 1, done.stderr
    assert "'total' differs on rank" in done.stdout
    assert "is not declared" in done.stdout
    assert "was not restored exactly" in done.stdout
    assert "is lost" in done.stderr
    assert "continues from superstep" in done.stderr


def test_values_that_json_lacks_have_a_text() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert plain({1: float("inf"), None: 2, "set": {3}}) == {"1": "Infinity", "null": 2, "set": "{3}"}
    assert plain(loop) == "[[...]]"
