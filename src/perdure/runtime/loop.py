"""What one thread waits for: things that become readable, and channels whose peer takes no more for the moment.

Nothing in a loop blocks but `turn`, so a peer that is stopped, or that reads slowly, holds up nobody else.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from perdure.core.messages import Message
from perdure.runtime.channel import Channel
from perdure.streams.protocol import Stream
from perdure.wire import WireError, encode


class HasFileno(Protocol):
    """Anything that the kernel can watch."""

    def fileno(self) -> int:
        """The file descriptor."""


Watched = int | HasFileno


class Loop:
    """Used by one thread. A reaction may watch and unwatch anything, itself included."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._reactions: dict[int, Callable[[], object]] = {}
        self._waiting: dict[int, Channel] = {}
        self._ahead: dict[int, Stream] = {}
        """Those watched that may hold bytes which their descriptor does not show."""
        self._last: tuple[Message | None, bytes] = (None, b"")
        """What was sent last, which often goes to many."""

    def watch(self, what: Watched, react: Callable[[], object]) -> None:
        """Calls `react` in every turn in which `what` is readable."""
        fd = _fd(what)
        self._reactions[fd] = react
        self._update(fd)

    def watch_stream(self, stream: Stream, react: Callable[[], object]) -> None:
        """Calls `react` in every turn in which something can be received."""
        self.watch(stream, react)
        if stream.reads_ahead:
            self._ahead[stream.fileno()] = stream

    def unwatch(self, what: Watched) -> None:
        """Forgets it; to be called before it is closed. What it had still to send is dropped."""
        fd = _fd(what)
        self._reactions.pop(fd, None)
        self._waiting.pop(fd, None)
        self._ahead.pop(fd, None)
        self._update(fd)

    def read(self, channel: Channel, heard: Callable[[Any], None], gone: Callable[[], None] | None = None) -> None:
        """Watches a channel: `heard` gets its messages; at its end it is closed and `gone` is called."""
        self.watch_stream(channel.stream, lambda: self.drain(channel, heard, gone))

    def drain(self, channel: Channel, heard: Callable[[Any], None], gone: Callable[[], None] | None = None) -> bool:
        """Takes what a channel holds now; True while more may come at once."""
        if channel.closed:
            return False
        try:
            messages = channel.receive()
        except WireError:
            messages = None
        if messages is None:
            self.hang_up(channel)
            if gone:
                gone()
            return False
        for message in messages:
            heard(message)
        return bool(messages)

    def send(self, channel: Channel, message: Message) -> bool:
        """Sends, now or when the peer takes it. False when the connection has ended."""
        if message is not self._last[0]:
            self._last = message, encode(message)
        return self._send_bytes(channel, self._last[1])

    def send_together(self, channel: Channel, messages: Iterable[Message]) -> bool:
        """Sends several messages as `send` does, with one call of the kernel."""
        return self._send_bytes(channel, b"".join(map(encode, messages)))

    def _send_bytes(self, channel: Channel, data: bytes) -> bool:
        sent = channel.send_raw(data)
        if channel.has_unsent and channel.fileno() not in self._waiting:
            self._waiting[channel.fileno()] = channel
            self._update(channel.fileno())
        return sent

    def hang_up(self, channel: Channel) -> None:
        """Closes a channel."""
        if not channel.closed:
            self.unwatch(channel)
            channel.close()

    def turn(self, timeout_s: float) -> None:
        """Waits for anything, at most so long, and reacts."""
        holding = [fd for fd, stream in self._ahead.items() if stream.pending()] if self._ahead else ()
        for key, events in self._selector.select(0.0 if holding else max(0.0, timeout_s)):
            if events & selectors.EVENT_READ:
                self._react(key.fd)
            waiting = self._waiting.get(key.fd)
            if waiting is not None:
                self._flush(key.fd, waiting)
        for fd in holding:
            stream = self._ahead.get(fd)
            if stream is not None and stream.pending():
                self._react(fd)

    def _flush(self, fd: int, waiting: Channel) -> None:
        """Sends on what waits. A stream that awaits its peer is not polled for writing: it would be ready all the time."""
        if not (waiting.flush() and waiting.has_unsent):
            del self._waiting[fd]
            self._update(fd)
        elif waiting.stream.reads_ahead:
            self._update(fd)

    def _react(self, fd: int) -> None:
        reaction = self._reactions.get(fd)
        if reaction is not None:
            reaction()

    def close(self) -> None:
        """Gives the kernel's object back."""
        self._selector.close()

    def _update(self, fd: int) -> None:
        events = selectors.EVENT_READ if fd in self._reactions else 0
        if fd in self._waiting:
            events |= selectors.EVENT_READ if self._waiting[fd].stream.awaits_peer() else selectors.EVENT_WRITE
        known = fd in self._selector.get_map()
        if events and known:
            self._selector.modify(fd, events)
        elif events:
            self._selector.register(fd, events)
        elif known:
            self._selector.unregister(fd)


def _fd(what: Watched) -> int:
    return what if isinstance(what, int) else what.fileno()
