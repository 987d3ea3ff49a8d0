"""The control stream between a process and the one that started it: JSON objects, one a line, in both directions.

1. An agent sends that it has begun (`begun`: its process id), where it listens (`up`), whether the program can be loaded (`verdict`), that
   an injected fault happens (`fault`; `at`: s of the monotonic clock there), and, where a shell is between, how it ended (`ended`).
2. An agent receives which faults have happened elsewhere (`spent`).
3. The end of the stream is the end of the process at its other end: rule T7.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from perdure.streams.protocol import Stream

RECEIVE_BYTES: Final = 1 << 20


def line(fields: dict[str, Any]) -> bytes:
    """As it travels. Several processes of a node write to one stream: one `write` of a short line is one piece."""
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


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

    def send(self, **fields: Any) -> bool:
        """Send one object. False: the other end is closed."""
        return self.pass_on(line(fields))

    def pass_on(self, data: bytes) -> bool:
        """Send what another control stream has brought. False: the other end is closed."""
        try:
            self._stream.send(data)
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """Return the whole lines received, without waiting; None at the end of the stream.

        Each is an object, or text where a line is none (a login shell's greeting, for one).
        """
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
        return [_read(text) for text in lines]

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


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
