"""The control stream between a process and the one that started it: lines in both directions, each a message of
`perdure.core.messages.supervisor` (`perdure.wire.control_lines` encodes and decodes them).

The end of the stream is the end of the process at its other end: rule T7.
"""

from __future__ import annotations

import contextlib
from typing import Final

from perdure.core.messages.supervisor import StreamMessage
from perdure.streams.protocol import Stream
from perdure.wire.control_lines import encode

RECEIVE_BYTES: Final = 1 << 20


class ControlStream:
    """One end of the stream. Only one thread may call `receive`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.received = False
        """The last `receive` has received something, be it only a piece of a line."""
        self._rest: list[bytes] = []
        """Pieces of a line whose end is still to come. They are joined once: a line of n bytes costs O(n)."""

    def fileno(self) -> int:
        """For selectors; -1 when closed."""
        return self._stream.fileno()

    def send(self, message: StreamMessage) -> bool:
        """Send one message. False: the other end is closed."""
        return self.pass_on(encode(message))

    def pass_on(self, data: bytes) -> bool:
        """Send what another control stream has brought. False: the other end is closed."""
        try:
            self._stream.send(data)
        except OSError:
            return False
        return True

    def receive(self) -> list[bytes] | None:
        """Return the whole lines received, without their ends and without waiting; None at the end of the stream."""
        self.received = False
        data = self._stream.try_receive_bytes(RECEIVE_BYTES)
        if data is None:
            return []
        if not data:
            return None
        self.received = True
        first, *others = data.split(b"\n")
        self._rest.append(first)
        if not others:
            return []
        lines = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]] if others[-1] else []
        return lines

    @property
    def within_a_line(self) -> bool:
        """A line has begun, and its end is still to come."""
        return any(self._rest)

    def end_sending(self) -> None:
        """Let the other end receive the end of the stream; it may still send."""
        with contextlib.suppress(OSError):  # it has ended already
            self._stream.end_sending()

    def close(self) -> None:
        """Close this end."""
        self._stream.close()
