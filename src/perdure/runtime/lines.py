"""How does a rank's output stay whole, when all ranks write to one place? Line by line, each with one call of the kernel.

Only what goes through `sys.stdout` and `sys.stderr` is covered: a library that writes to descriptors 1 and 2 by itself is not. A pipe takes
up to 4096 bytes as a whole; of a longer line it may take a part first, when its reader is slow.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any, Final

LONGEST: Final = 1 << 20
"""Bytes of an unfinished line that are held back: enough for text that a person reads, and a bound on memory. Arbitrary."""


class WholeLines(io.BufferedIOBase):
    """A binary stream that hands whole lines to a descriptor. If it `holds`, `flush` keeps an unfinished line back; `end` never does."""

    def __init__(self, fd: int, *, holds: bool) -> None:
        super().__init__()
        self._fd, self._holds = fd, holds
        self._held = bytearray()
        self._lock = threading.RLock()  # a signal's handler may print in the middle of a print

    def writable(self) -> bool:
        """See `io.BufferedIOBase`."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """See `io.BufferedIOBase`."""
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        """Take `data`, and write the lines that are whole when more is held than one may be long."""
        with self._lock:
            self._held += data
            if len(self._held) > LONGEST:
                self._put(self._held.rfind(b"\n") + 1 or len(self._held))
        return len(data)

    def flush(self) -> None:
        """Write all lines that are whole, in one call."""
        with self._lock:
            self._put(self._held.rfind(b"\n") + 1 if self._holds else len(self._held))

    def end(self) -> None:
        """Write everything: nothing more comes. If it holds, an unfinished line gets its end, or the next rank's would go on in it."""
        with self._lock:
            if self._holds and self._held:
                self._held += b"" if self._held.endswith(b"\n") else b"\n"
            self._put(len(self._held))

    def close(self) -> None:
        """See `io.BufferedIOBase`. The descriptor stays open."""
        if not self.closed:
            self.end()
        super().close()

    def _put(self, count: int) -> None:
        data = bytes(self._held[:count])
        del self._held[:count]
        while data:
            data = data[os.write(self._fd, data) :]


def write_whole_lines(*, alone: bool) -> None:
    """Make `sys.stdout` and `sys.stderr` of this process, and of those that it forks, write whole lines.

    A rank that is `alone` writes an unfinished line when it flushes it: there is nobody whose line could be torn, and it may be a prompt.
    """
    for name, fd in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        before.reconfigure(line_buffering=True)  # it remains as sys.__stdout__
        stream = io.TextIOWrapper(
            WholeLines(fd, holds=not alone),  # type: ignore[type-var]  # has no `raw` below it
            encoding=before.encoding, errors=before.errors, line_buffering=True,
        )  # fmt: skip
        setattr(sys, name, stream)


def end_lines() -> None:
    """Write what a rank printed without an end of line: it ends now."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(raw := getattr(stream, "buffer", None), WholeLines):
            raw.end()
