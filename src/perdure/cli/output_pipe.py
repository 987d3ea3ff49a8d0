"""A pipe that prints the program's output above a progress bar, line by line."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

END_TIMEOUT_S: Final = 2.0
"""For output of a process that the program left behind, which holds the pipe open. Arbitrary."""
CHUNK: Final = 1 << 16


@contextlib.contextmanager
def printed_above(show: Callable[[str], None]) -> Iterator[None]:
    """Gives what this process and its children write to a terminal to `show`, some whole lines at a time, from a thread of its own.

    Descriptors 1 and 2 are a pipe meanwhile, as far as they are a terminal: one that leads to a file is left alone.
    """
    redirected = [fd for fd in (1, 2) if os.isatty(fd)]
    read, write = os.pipe()
    saved = {fd: os.dup(fd) for fd in redirected}
    sys.stdout.flush()
    sys.stderr.flush()
    for fd in redirected:
        os.dup2(write, fd)
    os.close(write)
    is_idle = threading.Event()
    reader = threading.Thread(target=_pass_on, args=(read, show, is_idle), name="program output", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, terminal in saved.items():
            os.dup2(terminal, fd)
            os.close(terminal)
        reader.join(END_TIMEOUT_S)
        while reader.is_alive() and not is_idle.is_set():  # a person has paused the terminal: output of the program is never dropped
            reader.join(END_TIMEOUT_S)


def _pass_on(read: int, show: Callable[[str], None], is_idle: threading.Event) -> None:
    """Read until all writers have ended. When the terminal fails, the rest is read and dropped: a rank must not wait for it.

    `is_idle` is set while the pipe is empty.
    """
    held, works = b"", True
    with open(read, "rb", buffering=0) as pipe:
        while data := _next_piece(pipe, is_idle):
            *lines, held = (held + data).split(b"\n")
            works = works and _shown(lines, show)
    if held and works:
        _shown([held], show)


def _next_piece(pipe: io.FileIO, is_idle: threading.Event) -> bytes:
    if not select.select([pipe], [], [], 0)[0]:
        is_idle.set()
        select.select([pipe], [], [])
        is_idle.clear()
    return pipe.read(CHUNK) or b""


def _shown(lines: list[bytes], show: Callable[[str], None]) -> bool:
    try:
        if lines:
            show("\n".join(line.decode(errors="replace").rstrip("\r") for line in lines))
    except OSError:
        return False
    return True
