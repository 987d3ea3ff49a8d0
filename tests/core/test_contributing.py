"""The loop in CONTRIBUTING.md that drives the core by hand runs, and is short enough to be tried."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "CONTRIBUTING.md"
LINES_MAX = 15


def test_a_reader_can_drive_the_core_by_hand() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert code.count("\n") <= LINES_MAX
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(DOCUMENT), "exec"), {})
    lines = printed.getvalue().splitlines()
    assert any(line.startswith("orchestrator: Propose(plan=Plan(generation=1,") for line in lines)
    assert "agent 1: StartWorker(rank=0, incarnation=1)" in lines
    assert lines[-1] == "agent 2: TellOrchestrator(message=Installed(generation=1))"
