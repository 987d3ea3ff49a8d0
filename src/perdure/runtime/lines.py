"""How does a rank's output stay whole, when all ranks write to one place? Line by line, each with one call of the kernel.

While nobody reads the output, the rank that prints waits, and nobody else does: the wait is no hang, and a revoke ends it
(`GenerationRevoked` leaves `print`). What was printed until then is kept, and written before what is printed next.

Only what goes through `sys.stdout` and `sys.stderr` is covered: a library that writes to descriptors 1 and 2 by itself is not. A pipe takes
up to 4096 bytes as a whole; of a longer line it may take a part first, when its reader is slow.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from perdure.streams.pairs import adopt
from perdure.streams.protocol import Stream

LONGEST: Final = 1 << 20
"""Bytes of an unfinished line that are held back: enough for text that a person reads, and a bound on memory. Arbitrary."""

LOOK_AGAIN_S: Final = 0.05
"""Between two looks at whether the generation of a rank whose output waits is over. Arbitrary."""


class Gate(Protocol):
    """A rank whose output waits for a reader."""

    def waiting(self) -> AbstractContextManager[None]:
        """While the block runs, the rank waits for a reader of its output: it is not hung."""

    def check(self) -> None:
        """Raise `GenerationRevoked` if the generation is over. Called while the output waits, on the main thread."""


_gate: Gate | None = None


def pass_gate(gate: Gate | None) -> None:
    """Set whom a blocked print asks whether it must go on waiting; None: nobody."""
    global _gate
    _gate = gate


class WholeLines(io.BufferedIOBase):
    """A binary stream that hands whole lines to a descriptor. If it `holds`, `flush` keeps an unfinished line back; `end` never does.

    If it `drops`, nothing waits for a reader: what does not fit is dropped.
    """

    def __init__(self, fd: int, *, holds: bool, drops: bool = False) -> None:
        super().__init__()
        self._fd, self._holds = fd, holds
        self._sink = Sink(fd, drops=drops)
        self._held = bytearray()
        self._unsent = b""
        """Handed over for writing, and not written yet: a revoke ended the wait."""
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
        with self._locked():
            self._held += data
            if len(self._held) > LONGEST:
                self._put(self._held.rfind(b"\n") + 1 or len(self._held))
        return len(data)

    def flush(self) -> None:
        """Write all lines that are whole, in one call."""
        with self._locked():
            self._put(self._held.rfind(b"\n") + 1 if self._holds else len(self._held))

    def end(self) -> None:
        """Write everything: nothing more comes. If it holds, an unfinished line gets its end, or the next rank's would go on in it."""
        with self._locked():
            if self._holds and self._held:
                self._held += b"" if self._held.endswith(b"\n") else b"\n"
            self._put(len(self._held))

    def close(self) -> None:
        """See `io.BufferedIOBase`. The descriptor stays open."""
        if not self.closed:
            self.end()
        super().close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Another thread may hold the lock while its output waits for a reader."""
        while not self._lock.acquire(timeout=LOOK_AGAIN_S):
            _check_gate()
        try:
            yield
        finally:
            self._lock.release()

    def _put(self, count: int) -> None:
        data, self._unsent = self._unsent + self._held[:count], b""
        del self._held[:count]
        try:
            while data:
                data = data[self._sink.write(data) :]
        except OSError:
            data = b""
            raise
        finally:
            self._unsent = data + self._unsent


class Sink:
    """The writing end of a pipe, terminal or socket that others write to as well, or a file.

    A descriptor of its own does not block, where the kernel gives one. That of the others must stay as it is.
    """

    def __init__(self, fd: int, *, drops: bool) -> None:
        self._fd, self._drops = fd, drops
        self._own: int | Stream | None = None
        self._identity = (0, 0)
        kind = os.fstat(fd).st_mode
        with contextlib.suppress(OSError):  # of another user, or no reader yet: then the usual descriptor, which may block
            if stat.S_ISSOCK(kind):
                self._own = adopt(os.dup(fd))
            elif stat.S_ISFIFO(kind) or os.isatty(fd):
                self._own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._identity = _identity(fd)

    def write(self, data: bytes) -> int:
        """Write a part of `data`, and return how much. Blocks until a part of it is taken, or until the gate raises."""
        own = self._own
        if own is None or _identity(self._fd) != self._identity:  # the program has put something else in its place
            return os.write(self._fd, data)
        if count := _try(own, data):
            return count
        if self._drops:
            return len(data)
        with _gate.waiting() if _gate is not None else contextlib.nullcontext():
            poll = select.poll()
            poll.register(own, select.POLLOUT)
            while True:
                poll.poll(LOOK_AGAIN_S * 1000)
                if count := _try(own, data):
                    return count
                _check_gate()


def _try(own: int | Stream, data: bytes) -> int:
    """Return how many bytes are taken without waiting for a reader."""
    if not isinstance(own, int):
        return own.try_send([data])
    try:
        return os.write(own, data)
    except BlockingIOError:
        return 0


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _check_gate() -> None:
    if _gate is not None and threading.current_thread() is threading.main_thread():
        _gate.check()


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


def wait_for_no_reader() -> None:
    """Make `sys.stderr` of a process of the job itself drop what nobody reads: the job must not wait for its words."""
    before = sys.stderr
    stream = io.TextIOWrapper(
        WholeLines(2, holds=False, drops=True),  # type: ignore[type-var]  # has no `raw` below it
        encoding=before.encoding, errors=before.errors, line_buffering=True,
    )  # fmt: skip
    sys.stderr = stream


def print_error(text: str) -> None:
    """Write whole lines to standard error, also where the program has put something else in place of `sys.stderr`."""
    raw = getattr(sys.stderr, "buffer", None)
    if not isinstance(raw, WholeLines):
        raw = WholeLines(2, holds=False)
    sys.stderr.flush()
    raw.write(text.encode(errors="backslashreplace"))
    raw.flush()


def end_lines() -> None:
    """Write what a rank printed without an end of line: it ends now."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(raw := getattr(stream, "buffer", None), WholeLines):
            raw.end()
