"""Which processes, sockets and files has a job left behind? There must be none.

A process of a job carries a mark in its environment, for one that has lost its parent cannot be told by its ancestors.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from typing import Final

from perdure.runtime.posix import processes_with

MARK: Final = "PERDURE_MARK"
"""The variable; its value is the mark of one run."""
PATIENCE_S: Final = 5.0
"""A killed process needs a moment to be gone: the kernel frees its memory first."""
LOOK_AGAIN_S: Final = 0.02


def marked(mark: str) -> list[int]:
    """The living processes with that mark."""
    return processes_with(MARK, mark)


def leaks(mark: str, job: str, folder: pathlib.Path) -> list[str]:
    """In words. `job`: as the event `started` has it; `folder`: where it had its temporary files. Waits for ends that are on the way."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := _look(mark, job, folder)) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_S)  # for the kernel, which tells nobody
    return found


def _look(mark: str, job: str, folder: pathlib.Path) -> list[str]:
    processes = [f"process {pid}" for pid in marked(mark)]
    files = [f"file {path}" for path in (*folder.iterdir(), *pathlib.Path("/dev/shm").glob("*perdure*"))]
    sockets = []
    if job:
        with open("/proc/net/unix") as table:
            sockets = [f"socket {line.split()[-1]}" for line in table if job in line]
    return processes + files + sockets


def end_marked(mark: str, sign: int) -> None:
    """Sends a signal to all of a run."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, sign)
