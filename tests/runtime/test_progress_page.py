"""The progress page between two real processes."""

from __future__ import annotations

import os
import signal

from perdure.runtime.progress_page import ProgressPage

READS = 200_000


def test_the_agent_never_sees_a_field_that_is_half_written() -> None:
    """Numbers whose bytes all differ; without a lock the reader is between any two stores of the writer."""
    fd = os.memfd_create("test-page")
    page = ProgressPage(fd)
    page.clear()
    assert page.read() == (0, 0, -1, -1, "")
    writer = os.fork()
    if writer == 0:
        other = ProgressPage(fd)
        while True:
            for superstep in (255, 256):
                other.superstep, other.count = superstep, 40
                other.write()
    seen = set()
    try:
        for _ in range(READS):
            _, _, superstep, count, _ = page.read()
            seen.add((superstep, count))
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.close(fd)
    assert seen <= {(-1, -1), (-1, 40), (255, 40), (256, 40)}
    assert len(seen) > 1, "the writer did not run"
