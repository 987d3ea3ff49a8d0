"""A connection of control messages.

Two ways to use one. A worker blocks: its `send` returns when the kernel has all bytes. A process with a `Loop` never blocks, because its
peer may be stopped and read nothing for minutes: what the kernel does not take at once waits here, and the loop sends it on.
"""

from __future__ import annotations

import collections
import threading
from typing import Any, Final

from perdure.core.messages import Message
from perdure.streams.pairs import pair
from perdure.streams.protocol import Stream
from perdure.wire import FrameReader, encode

RECEIVE_BYTES: Final = 1 << 16
"""At once. For a megabyte malloc asks the kernel for pages, and gives them back (measured: a fifth of an agent's time in small commits)."""


class Channel:
    """Whole messages over a stream. `send` may be called from any thread; `receive` from one."""

    def __init__(self, stream: Stream, *, blocking: bool = False) -> None:
        self.stream = stream
        self._receive = stream.receive_bytes if blocking else stream.try_receive_bytes
        self._push = self._push_all if blocking else self._push_some
        self._reader = FrameReader()
        self._lock = threading.Lock()
        self._unsent: collections.deque[memoryview] = collections.deque()
        self._is_full = False
        self.closed = False

    @classmethod
    def ended(cls) -> Channel:
        """One whose peer could not be reached: it takes everything, and nothing comes of it."""
        ours, theirs = pair()
        theirs.close()
        channel = cls(ours)
        channel.close()
        return channel

    def fileno(self) -> int:
        """For selectors."""
        return self.stream.fileno()

    @property
    def has_unsent(self) -> bool:
        """Is there something that `flush` must send on when the stream takes more?"""
        return bool(self._unsent)

    def send(self, message: Message) -> bool:
        """Sends, or keeps for `flush`. False when the connection has ended; the end itself is told by `receive`."""
        return self.send_raw(encode(message))

    def send_raw(self, data: bytes) -> bool:
        """The same with bytes that are no message, before the first one: who this is."""
        with self._lock:
            if self.closed:
                return False
            if not self._unsent:
                return self._push(memoryview(data))
            self._unsent.append(memoryview(data))
            return True

    def flush(self) -> bool:
        """Sends on what waits, as far as the kernel takes it. False when the connection has ended."""
        with self._lock:
            if self.closed:
                return False
            while self._unsent:
                if not self._push(self._unsent.popleft()):
                    return False
                if self._is_full:
                    break
            return True

    def _push_all(self, data: memoryview) -> bool:
        try:
            self.stream.send(data)
        except OSError:
            return False
        return True

    def _push_some(self, data: memoryview) -> bool:
        """Sends, as far as the stream takes it; the rest waits before everything else."""
        self._is_full = False
        try:
            while len(data) > (count := self.stream.try_send((data,))):
                if not count:
                    self._is_full = True
                    self._unsent.appendleft(data)
                    break
                data = data[count:]
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """What the stream holds now (when blocking: at least something), or None at its end. WireError: the peer is none of ours."""
        data = self._receive(RECEIVE_BYTES)
        if data is None:
            return []
        return list(self._reader.feed(data)) if data else None

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self.closed = True
            self._unsent.clear()
            self.stream.close()
