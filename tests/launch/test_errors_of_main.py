"""An error of `main`: the rank's standard error has the whole of it once, and the job's error says where it was."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import PerdureError, ProgramCrashed, ProgramFailed, Settings, UsageError

PROGRAM = str(pathlib.Path(__file__).parents[1] / "programs" / "errs.py")
PLACE = "rank 1, superstep 3"


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("mute", ProgramFailed, "<exception str() failed>"),
        ("chain", ProgramFailed, "ValueError: a value"),
        ("redirected", ProgramFailed, "ValueError: a value"),
        ("misuse", UsageError, "late"),
    ],
)
def test_its_traceback_is_in_standard_error_once(capfd: pytest.CaptureFixture[str], how: str, error: type[PerdureError], text: str) -> None:
    with pytest.raises(error) as caught:
        perdure.run(PROGRAM, ranks=2, spares=0, arguments={"how": how})
    said = capfd.readouterr().err
    assert str(caught.value).startswith("rank 1")
    assert "superstep 3" in str(caught.value)
    assert text in str(caught.value)
    assert said.count(f"perdure: {PLACE}:\nTraceback") == 1
    assert said.count("in fail") == (2 if how == "chain" else 1)
    assert ("KeyError: 'a key'" in said) == (how == "chain")
    assert text in said


@pytest.mark.parametrize(("how", "what"), [("segfault", "Segmentation fault"), ("abort", "Aborted")])
def test_a_fatal_signal_leaves_the_stack(capfd: pytest.CaptureFixture[str], how: str, what: str) -> None:
    with pytest.raises(ProgramCrashed):
        perdure.run(PROGRAM, ranks=2, spares=0, arguments={"how": how})
    said = capfd.readouterr().err
    assert f"Fatal Python error: {what}" in said
    assert "in fail" in said


def test_a_hung_rank_is_named_with_its_stack_and_the_option(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(hang_timeout_s=0.5, hang_factor=1.0, crash_limit=1)
    with pytest.raises(ProgramCrashed) as caught:
        perdure.run(PROGRAM, ranks=2, spares=0, arguments={"how": "hang"}, settings=settings)
    text = str(caught.value)
    assert "rank 1" in text
    assert "superstep 3" in text
    assert "--hang-timeout" in text
    assert "spin (errs.py:" in text
    assert "fail (errs.py:" in text
    said = capfd.readouterr().err
    assert said.count("in spin") == 1
