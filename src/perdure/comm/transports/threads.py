"""Streams between threads of one process: for tests, notebooks and debuggers."""

from __future__ import annotations

import collections
import os
import queue
import threading
import weakref
from collections.abc import Sequence
from typing import Final

from perdure.comm.transports import LinkRefused, OneWayStream
from perdure.streams.protocol import GivenUp, never

CAPACITY: Final = 4 << 20
"""Bytes in flight between two ranks; arbitrary. A sender waits when there are more."""
_listening: Final[weakref.WeakValueDictionary[str, ThreadTransport]] = weakref.WeakValueDictionary()


class _Pipe:
    """What both ends share; guarded by `lock`. Each end polls an eventfd of its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.parts: collections.deque[memoryview] = collections.deque()
        self.size = 0
        self.open = True
        self.bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
        weakref.finalize(self, _close_all, tuple(self.bells))

    def ring(self, end: int) -> None:
        os.eventfd_write(self.bells[end], 1)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


class _End:
    """0 sends, 1 receives."""

    in_memory = True
    reads_ahead = False
    direct = False

    def __init__(self, pipe: _Pipe, end: int) -> None:
        self._pipe, self._end = pipe, end
        self.fd = pipe.bells[end]

    def send(self, pieces: Sequence[memoryview | bytes]) -> int:
        pipe, taken = self._pipe, 0
        with pipe.lock:
            if not pipe.open:
                raise BrokenPipeError("the other end is closed")
            for piece in pieces:
                size = min(len(piece), CAPACITY - pipe.size)
                if size:
                    pipe.parts.append(memoryview(bytes(piece[:size])))
                pipe.size += size
                taken += size
        if taken:
            pipe.ring(1)
        return taken

    def recv_into(self, view: memoryview) -> int | None:
        pipe = self._pipe
        with pipe.lock:
            if not pipe.parts:
                return None if pipe.open else 0
            part = pipe.parts.popleft()
            size = min(len(part), len(view))
            view[:size] = part[:size]
            if size < len(part):
                pipe.parts.appendleft(part[size:])
            pipe.size -= size
            return size

    def settle(self) -> None:
        self._pipe.ring(0)

    def ready(self) -> bool:
        if self._end:
            return bool(self._pipe.parts) or not self._pipe.open
        return self._pipe.size < CAPACITY

    def arm(self, *, armed: bool) -> None:
        """The bell rings always."""

    def hear(self) -> bool:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return True  # somebody heard it already
        return self._pipe.open or bool(self._end and self._pipe.parts)

    def read_directly(self, address: int, target: memoryview) -> bool:
        return False

    def close(self) -> None:
        with self._pipe.lock:
            self._pipe.open = False
        for end in (0, 1):
            self._pipe.ring(end)


class ThreadTransport:
    """Found by name in this process only."""

    def __init__(self, name: str) -> None:
        self.address = "threads:" + name
        self._dialled: queue.SimpleQueue[tuple[bytes, OneWayStream] | None] = queue.SimpleQueue()
        _listening[self.address] = self

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        other = _listening.get(address)
        if other is None:
            raise LinkRefused(f"no transport listens at {address}")
        pipe = _Pipe()
        other._dialled.put((greeting, _End(pipe, 1)))
        return _End(pipe, 0)

    def accept(self, greeting_bytes: int) -> tuple[bytes, OneWayStream] | None:
        while True:
            link = self._dialled.get()
            if link is None or len(link[0]) == greeting_bytes:
                return link
            link[1].close()

    def close(self) -> None:
        _listening.pop(self.address, None)
        self._dialled.put(None)
