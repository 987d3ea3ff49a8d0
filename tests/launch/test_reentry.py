"""A survivor enters `main` again as a fresh process does: with empty caches, in the job's folder; an error there says that it is one."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import ProgramFailed

PROGRAM = str(pathlib.Path(__file__).parents[1] / "programs" / "entries.py")
KILL = "kill:node=0,superstep=5"


def _run(what: str, *faults: str) -> perdure.Report:
    return perdure.run(f"{PROGRAM}:{what}", ranks=2, spares=1, faults=faults)


def test_a_cached_function_returns_nothing_of_the_former_generation() -> None:
    undisturbed = _run("caches").result
    disturbed = _run("caches", KILL)
    assert disturbed.result == undisturbed
    assert disturbed.generations == 2


def test_main_starts_again_in_the_folder_that_it_started_in(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.txt").write_text("1\n2\n")
    monkeypatch.chdir(tmp_path)
    assert _run("folder", KILL).result == [12 * 3 + 66] * 2
    assert [(tmp_path / f"work{rank}" / "out.txt").read_text() for rank in (0, 1)] == ["102", "102"]


def test_an_error_before_the_loop_of_a_later_generation_says_that_main_was_entered_again(capfd: pytest.CaptureFixture[str]) -> None:
    hint = "main was entered again after a loss, in generation 2: the code before its loop must be repeatable"
    with pytest.raises(ProgramFailed) as caught:
        _run("once", KILL)
    assert "context has already been set" in str(caught.value)
    assert hint in str(caught.value)
    assert hint in capfd.readouterr().err


def test_an_error_in_the_loop_of_a_later_generation_is_the_programs_own() -> None:
    with pytest.raises(ProgramFailed, match="an error of the loop") as caught:
        _run("late", KILL)
    assert "entered again" not in str(caught.value)
