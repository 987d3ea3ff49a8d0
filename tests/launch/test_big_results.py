"""A result or an error of any size or content is reported: a finished job is not lost because of it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
from typing import Any

import numpy as np
import pytest

import perdure
from perdure import ProgramFailed
from perdure.core.messages.supervisor import FaultSpent
from perdure.runtime.control_stream import ControlStream
from perdure.streams.pairs import pair
from perdure.wire.control_lines import encode, to_node

PROGRAMS = pathlib.Path(__file__).parent.parent / "programs"


def test_large_result_is_reported() -> None:
    report = perdure.run(str(PROGRAMS / "big_result.py"), ranks=2, spares=0)
    assert np.array_equal(report.result, np.ones(64 * 131072))


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1])
def test_large_result_survives_the_end_of_the_orchestrator_that_sends_it(delay_s: float) -> None:
    """The event comes just before the result, which takes long: the supervisor has none of it, or a part."""
    orchestrators: list[int] = []
    ended: list[threading.Timer] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            orchestrators.append(event["pid"])
        elif event["event"] == "traffic" and not ended:
            ended.append(threading.Timer(delay_s, os.kill, (orchestrators[-1], signal.SIGKILL)))
            ended[0].start()

    report = perdure.run(str(PROGRAMS / "big_result.py"), ranks=2, spares=0, on_event=on_event)
    assert ended
    assert len(orchestrators) == 2
    assert np.array_equal(report.result, np.ones(64 * 131072))


def test_error_with_lone_surrogate_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProgramFailed, match=r"cannot read data\\udcff\.npy"):
        perdure.run(str(PROGRAMS / "unsendable_error.py"), ranks=2, spares=0)
    assert r"cannot read data\udcff.npy" in capfd.readouterr().err


def test_error_of_20_million_characters_keeps_head_and_tail(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProgramFailed, match=r"(?s)Traceback.*beginxxx.*characters left out.*xxxend") as caught:
        perdure.run(str(PROGRAMS / "unsendable_error.py"), ranks=2, spares=0, arguments={"long": True})
    assert len(str(caught.value)) < 100_000
    assert max(map(len, capfd.readouterr().err.splitlines())) > 20_000_000, "the whole of it is in standard error"


def test_lines_are_put_together_from_pieces() -> None:
    ours, theirs = pair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        control = ControlStream(ours)
        messages = [FaultSpent(index=index) for index in range(3)]
        whole = b"".join(map(encode, messages))
        lines: list[bytes] = []
        for start in range(0, len(whole), 3):
            theirs.send(whole[start : start + 3])
            lines += control.receive() or []
            assert control.received
        assert [*map(to_node, lines)] == messages
        assert not control.within_a_line
        assert control.receive() == []
        assert not control.received
        theirs.send(b'{"d"')
        assert control.receive() == []
        assert control.received
        assert control.within_a_line
