"""Which message belongs to which receive (MPI 4.1, section 3.5): in the order of sending on each channel, receives in the order of posting.

Almost all receives name source and tag, and are found by that key in one look. Only while a wildcard receive is posted are four queues
compared, by the serial number at which each receive was posted.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

ANY: Final = -1
"""As a source or a tag: any."""
Key = tuple[int, int, int]
"""(context, source rank in the job, tag)."""


class Arrival:
    """A message that came, or is offered: `data` is None while it still lies in the sender's memory at `address`.

    Attributes:
        kind: of its frame; `ticket`: names it to a sender that waits for an answer, 0 when none does.
        placed: `data` lies in the buffer of the receive already.
        serial: the order of arrival.
        interval: how many commit positions its sender had passed.
    """

    data: memoryview | None = None
    placed = False
    serial = 0

    def __init__(
        self, context: int, source: int, tag: int, length: int, kind: int, ticket: int, address: int = 0, interval: int = 0
    ) -> None:
        self.context, self.source, self.tag, self.length = context, source, tag, length
        self.kind, self.ticket, self.address, self.interval = kind, ticket, address, interval


class Receive:
    """A posted receive: into `buffer`, or into fresh memory when there is none. `data` holds what came, `length` bytes of it.

    With `hold`, a message that is offered stays where it is: `held` is set, and whoever posted this takes it in pieces.
    """

    data: memoryview | None = None
    held: Arrival | None = None
    done = cancelled = False
    error = ""
    from_rank = from_tag = ANY
    length = serial = 0

    def __init__(self, context: int, source: int, tag: int, buffer: memoryview | None, hold: bool = False) -> None:
        self.context, self.source, self.tag, self.buffer, self.hold = context, source, tag, buffer, hold


@dataclass(slots=True)
class Mailbox:
    """Receives that wait for messages, and messages that wait for receives. One lone receive is `only`, more are `posted`."""

    only: Receive | None = None
    posted: dict[Key, collections.deque[Receive]] = field(default_factory=dict)
    waiting: dict[Key, collections.deque[Arrival]] = field(default_factory=dict)
    wildcards: int = 0
    serial: int = 0

    def receives(self) -> Iterator[Receive]:
        """All that are posted."""
        if self.only is not None:
            yield self.only
        for queue in self.posted.values():
            yield from queue

    def post(self, wanted: Receive) -> None:
        """A receive for which nothing is there yet."""
        self.serial += 1
        wanted.serial = self.serial
        if self.only is None and not self.posted:
            self.only = wanted
            return
        if self.only is not None:
            first, self.only = self.only, None
            self._queue(first)
        self._queue(wanted)

    def _queue(self, wanted: Receive) -> None:
        if wanted.source == ANY or wanted.tag == ANY:
            self.wildcards += 1
        self.posted.setdefault((wanted.context, wanted.source, wanted.tag), collections.deque()).append(wanted)

    def receive_for(self, context: int, source: int, tag: int, room: int = -1) -> Receive | None:
        """Takes the receive that was posted first of those that this message fits; with `room`, only if its buffer has so many bytes."""
        wanted, key = self.only, (context, source, tag)
        if wanted is not None:
            fits = wanted.context == context and wanted.source in (source, ANY) and wanted.tag in (tag, ANY)
        else:
            if self.wildcards:
                key = self._first_posted(key)
            queue = self.posted.get(key)
            fits = queue is not None
            wanted = queue[0] if queue else None
        if not fits or wanted is None or (room >= 0 and (wanted.buffer is None or len(wanted.buffer) < room)):
            return None
        self.withdraw(wanted)
        return wanted

    def _first_posted(self, key: Key) -> Key:
        """The key of the receive that was posted first of those that a message with this key fits; its own if there is none."""
        context, source, tag = key
        keys = [key, (context, ANY, tag), (context, source, ANY), (context, ANY, ANY)]
        return min((key for key in keys if key in self.posted), key=lambda key: self.posted[key][0].serial, default=key)

    def withdraw(self, wanted: Receive) -> bool:
        """A posted receive is not to be matched any more. False: it was matched already."""
        if wanted is self.only:
            self.only = None
            return True
        key = (wanted.context, wanted.source, wanted.tag)
        queue = self.posted.get(key)
        if queue is None or wanted not in queue:
            return False
        queue.remove(wanted)
        if not queue:
            del self.posted[key]
        if wanted.source == ANY or wanted.tag == ANY:
            self.wildcards -= 1
        return True

    def keep(self, arrival: Arrival) -> None:
        """A message that nobody asked for yet."""
        self.serial += 1
        arrival.serial = self.serial
        key = (arrival.context, arrival.source, arrival.tag)
        queue = self.waiting.get(key)
        if queue is None:
            queue = self.waiting[key] = collections.deque()
        queue.append(arrival)

    def find(self, context: int, source: int, tag: int) -> Arrival | None:
        """The first message that fits; it stays."""
        if source != ANY and tag != ANY:
            queue = self.waiting.get((context, source, tag))
            return queue[0] if queue else None
        fits = [
            queue[0] for (one, sender, its_tag), queue in self.waiting.items()
            if one == context and source in (ANY, sender) and tag in (ANY, its_tag)
        ]  # fmt: skip
        return min(fits, key=lambda arrival: arrival.serial, default=None)

    def take(self, context: int, source: int, tag: int) -> Arrival | None:
        """The first message that fits, which is then gone from here."""
        if not self.waiting:
            return None
        arrival = self.find(context, source, tag)
        if arrival is not None:
            key = (context, arrival.source, arrival.tag)
            queue = self.waiting[key]
            queue.popleft()
            if not queue:
                del self.waiting[key]
        return arrival
