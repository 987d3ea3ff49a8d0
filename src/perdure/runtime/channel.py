"""A connection of control messages.

Two ways to use one. A worker blocks: its `send` returns when the kernel has all bytes. A process with a `Loop` never blocks, because its
peer may be stopped and read nothing for minutes: what the kernel does not take at once waits here, and the loop sends it on.
"""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from perdure.core.messages import Message
from perdure.wire import FrameReader, encode

RECEIVE_BYTES: Final = 1 << 20
BACKLOG: Final = 1024
"""Connections that wait to be accepted: every agent and every worker of a job may dial at the same moment."""


class Channel:
    """Whole messages over a stream socket. `send` may be called from any thread; `receive` from one."""

    def __init__(self, sock: socket.socket, *, blocking: bool = False) -> None:
        self.sock = sock
        self._reader = FrameReader()
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self.closed = False
        sock.setblocking(blocking)

    def fileno(self) -> int:
        """For selectors."""
        return self.sock.fileno()

    @property
    def has_unsent(self) -> bool:
        """Is there something that `flush` must send on when the socket is writable?"""
        return bool(self._unsent)

    def send(self, message: Message) -> bool:
        """Sends, or keeps for `flush`. False when the connection has ended; the end itself is told by `receive`."""
        with self._lock:
            if self.closed:
                return False
            data = encode(message)
            if self._unsent:
                self._unsent += data
                return True
            return self._push(memoryview(data))

    def flush(self) -> bool:
        """Sends on what waits, as far as the kernel takes it. False when the connection has ended."""
        with self._lock:
            if self.closed:
                return False
            waiting, self._unsent = self._unsent, bytearray()
            return self._push(memoryview(waiting))

    def _push(self, data: memoryview) -> bool:
        try:
            while len(data):
                data = data[self.sock.send(data) :]
        except BlockingIOError:
            self._unsent += data
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """What the socket holds now (when blocking: at least something), or None at its end. WireError: the peer is none of ours."""
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return list(self._reader.feed(data)) if data else None

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self.closed = True
            self.sock.close()


def abstract_name(job: str, part: str) -> str:
    """An address in Linux's abstract Unix namespace: nothing in any file system, gone with its last process."""
    return f"\0perdure-{job}-{part}"


def listen(name: str) -> socket.socket:
    """A listening Unix stream socket at an abstract name."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(name)
    sock.listen(BACKLOG)
    return sock


def connect(name: str, timeout_s: float = 5.0) -> socket.socket:
    """Connects to an abstract name; OSError when nobody listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        sock.connect(name)
    except OSError:
        sock.close()
        raise
    return sock
