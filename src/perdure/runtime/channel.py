"""A connection of control messages: blocking to send, fed by whoever selects on it."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from perdure.core.messages import Message
from perdure.wire import FrameReader, encode

SEND_TIMEOUT_S: Final = 5.0
"""A peer that takes no control message for this long is as good as gone; detection has its own, shorter deadlines."""


class Channel:
    """Whole messages over a stream socket. `send` may be called from any thread; `receive` from one."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._reader = FrameReader()
        self._lock = threading.Lock()
        self.closed = False
        sock.settimeout(SEND_TIMEOUT_S)

    def fileno(self) -> int:
        """For selectors."""
        return self.sock.fileno()

    def send(self, message: Message) -> bool:
        """Sends, or says false when the connection has ended; the end itself is told by `receive`."""
        if self.closed:
            return False
        try:
            with self._lock:
                self.sock.sendall(encode(message))
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """What a readable socket holds: messages, or None at its end. WireError means that the peer is none of ours."""
        try:
            data = self.sock.recv(1 << 20)
        except (ConnectionError, TimeoutError):
            return None
        return list(self._reader.feed(data)) if data else None

    def close(self) -> None:
        """Ends the connection; a thread that is blocked in it wakes."""
        self.closed = True
        self.sock.close()


def abstract_name(job: str, part: str) -> str:
    """An address in Linux's abstract Unix namespace: nothing in any file system, gone with its last process."""
    return f"\0perdure-{job}-{part}"


def listen(name: str) -> socket.socket:
    """A listening Unix stream socket at an abstract name."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(name)
    sock.listen(128)
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
