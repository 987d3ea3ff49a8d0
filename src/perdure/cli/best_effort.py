"""Outputs that may fail without ending a job: the display and the event file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from perdure.core.job_events import TimedEvent

TakeEvent = Callable[[TimedEvent], None]


def dispensable(what: str, take: TakeEvent) -> TakeEvent:
    """Return `take` that works until it fails for the first time: a full disk or a closed terminal must not end a job of three weeks.

    The failure is printed once, to standard error.
    """
    failed = False

    def carefully(event: TimedEvent) -> None:
        nonlocal failed
        if failed:
            return
        try:
            take(event)
        except OSError as error:
            failed = True
            with contextlib.suppress(OSError):  # standard error may be what failed
                print_error(f"perdure: warning: {what}: {error.strerror}; the job continues without it")

    return carefully


def print_error(line: str) -> None:
    """Write a line to standard error with one call of the kernel.

    A thread that blocks in it holds no lock of `sys.stderr`, for which the main thread, and the end of the interpreter, would wait.
    """
    data = line.encode(errors="backslashreplace") + b"\n"
    while data:
        data = data[os.write(2, data) :]
