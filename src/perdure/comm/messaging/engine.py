"""Messages of one generation of one rank: sends and receives meet here, and large ones are copied once.

A large message on a link whose receiver can read the sender's memory is only offered: the receiver copies it when it is matched, and says
so. Everything that could be hurt by a sender that unwinds or dies in the meantime is gone with it: what a receiver read of it is never
committed, because that sender offers no later label.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from perdure.comm.messaging.active import Active
from perdure.comm.messaging.inside import Inside
from perdure.comm.messaging.intake import fresh
from perdure.comm.messaging.lifecycle import Lifecycle, begun
from perdure.comm.messaging.links import COPY, DATA, DATA_SYNCHRONOUS, GONE, OFFER, REFUSED, TAKEN, Dialer, Send
from perdure.comm.messaging.matching import ANY, Arrival, Mailbox, Receive
from perdure.comm.messaging.monitor import Monitor
from perdure.comm.messaging.traffic import MessageTraffic
from perdure.comm.transports.direct import BLOCK_BYTES, address_of
from perdure.core.commit_intervals import Match, match
from perdure.errors import UsageError

DIRECT_FROM_BYTES: Final = 96 * 1024
"""From here on one copy and an answer instead of two copies through the ring. Measured at 64 KiB, one way: two copies 14 us, one copy
and an answer 22 us; where they cross was not."""
NOTHING: Final = memoryview(b"")
Part = Send | Receive


Log = Callable[[int, int, int, int, memoryview], None]
"""(rank of the job, sequence number of the channel, context, tag, the bytes, borrowed)."""


class Context(Protocol):
    """A communicator, as far as its messages are described to a reader: see `comm_state.CommState`."""

    name: str
    ranks: tuple[int, ...]


class MessageEngine:
    """Used by one thread at a time: see `traffic`."""

    def __init__(
        self, dialer: Dialer, generation: int, size: int, addresses: tuple[str, ...], incarnations: tuple[int, ...], monitor: Monitor
    ) -> None:
        self.generation, self.size, self.rank = generation, size, dialer.rank
        self.incarnations, self.monitor = incarnations, monitor
        self.mailbox = Mailbox()
        self.interval = 0
        """How many commit positions this rank has passed in this generation."""
        self.passed_at = 0
        """The superstep of the last one."""
        self._later: list[Arrival] = []
        """Messages of ranks that have passed a commit which this one has yet to pass, in the order of arrival."""
        self.comm_states: weakref.WeakValueDictionary[int, Context] = weakref.WeakValueDictionary()
        """The communicators that are held, by context."""
        self.active = Active()
        self._insides: dict[str, Inside] = {}
        self._calls: list[Inside] = []
        """The calls that threads are inside of."""
        self.main_thread = threading.get_ident()
        self._lifecycle: Lifecycle | None = None
        self.log: Log | None = None
        """Told of every message that is sent, before it leaves: the seam for replay (Elnozahy et al. 2002). Off by default."""
        self.traffic = MessageTraffic(dialer, generation, addresses, monitor, self)
        self.receive_for = self.mailbox.receive_for
        self.wait: Callable[[Part], None] = self.traffic.wait
        self.check: Callable[[], None] = self.traffic.check
        self._tickets: dict[int, tuple[Send, int]] = {}
        self._ticket = 0
        self._asked: dict[tuple[int, int], Receive] = {}
        self.answers_to: Counter[int] = Counter()
        """Frames to each rank that are no messages: answers, and copies of messages that were offered before."""
        self.answers_from: Counter[int] = Counter()
        self.allows_crossing = False
        """A message of an earlier commit interval may be received (`--on-crossing warn`)."""

    def unreceived(self) -> Iterator[Arrival]:
        """Iterate over the messages that are here and that no receive has matched, those of a later commit interval too."""
        for queue in self.mailbox.waiting.values():
            yield from queue
        yield from self._later

    def awaits_copies(self) -> list[Receive]:
        """Return the receives that are matched, and wait for a copy that was asked for."""
        return list(self._asked.values())

    @property
    def lifecycle(self) -> Lifecycle:
        """What the program has called of `Init` and `Finalize`. Options count as they are at the first look."""
        if self._lifecycle is None:
            self._lifecycle = begun()
        return self._lifecycle

    def pass_commit(self, superstep: int) -> None:
        """This rank's state is copied: what it sends from now on belongs to the next commit interval.

        A message of a later interval than the receiver's matches nothing until the receiver has passed the same commit: were it received
        before, it would be a part of the commit, and a recovery would send it again. One of an earlier interval must not be received any
        more: a recovery would not send it again (Chandy and Lamport 1985 call these cuts inconsistent).
        """
        with self.traffic.turns.lock:
            self.interval += 1
            self.passed_at = superstep
            self.traffic.pass_commit(self.interval)
            later, self._later = self._later, []
            for arrival in later:
                self.message_arrived(arrival, None)

    def is_receivable(self, arrival: Arrival) -> Arrival:
        """Return the message. UsageError: it was sent before a commit that this rank has passed."""
        is_current = arrival.interval == self.interval  # asked first, because it is so for almost every message
        if not is_current and match(arrival.interval, self.interval) is Match.REFUSED and not self.allows_crossing:
            raise UsageError(
                f"rank {arrival.source} sent a message with tag {arrival.tag} before the commit of superstep {self.passed_at}, and rank "
                f"{self.rank} receives it after that commit: a recovery would lose it; receive a message in the superstep that sends it"
            )
        return arrival

    def inside(self, call: str) -> Inside:
        """Tells the monitor that the rank is inside a call; made once for each and used again."""
        inside = self._insides.get(call)
        if inside is None:
            inside = self._insides[call] = Inside(call, self.traffic, self._calls, self.monitor)
        return inside

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While it is entered, inside of a call, the rank computes: it does not count as waiting for others."""
        self.monitor.leave()
        try:
            yield
        finally:
            if self._calls:
                self.monitor.enter(self._calls[-1].call)

    def send(self, rank: int, context: int, tag: int, data: memoryview, synchronous: bool = False) -> Send:
        """Starts a message. `data`, bytes, must stay as it is until the send is done; if synchronous, that is when it is matched."""
        self.check()
        size = len(data)
        if rank == self.rank:
            message = Send(data)
            self._send_to_itself(message, context, tag, synchronous)
            return message
        out = self.traffic.outward(rank)
        if out is None:
            return Send(data)
        kind = address = 0
        if size >= DIRECT_FROM_BYTES and out.direct:
            kind, address = OFFER, address_of(data)
        elif synchronous:
            kind = DATA_SYNCHRONOUS
        if self.log is not None:
            self.log(rank, out.sequence, context, tag, data)
        message = GONE
        body = NOTHING if kind == OFFER else data
        if kind != DATA:
            message = Send(data)
            message.ticket = self._new_ticket(message, rank)
        if not self.traffic.at_once(out, kind, context, tag, size, address, message.ticket, body):
            message = Send(data) if kind == DATA else message
            self.traffic.frame(
                out, kind=kind, context=context, tag=tag, length=size, address=address, ticket=message.ticket, message=message, data=body
            )
        self.monitor.moved(size)
        return message

    def receive(self, source: int, context: int, tag: int, buffer: memoryview | None, hold: bool = False) -> Receive:
        """Posts a receive; a message that is here already completes it. `source` and `tag` may be `ANY`."""
        self.check()
        wanted = Receive(context, source, tag, buffer, hold)
        arrival = self.mailbox.take(context, source, tag)
        if arrival is None:
            self.mailbox.post(wanted)
            if self._later:
                self._name_later()
        else:
            self.fulfil(wanted, arrival)
        return wanted

    def _name_later(self) -> None:
        """Name the held message to the monitor, and so to the deadlock detector, if a posted receive waits for one of a later interval."""
        for wanted in self.mailbox.receives():
            for one in self._later:
                if wanted.context == one.context and wanted.source in (ANY, one.source) and wanted.tag in (ANY, one.tag):
                    count = one.interval - self.interval
                    self.monitor.enter(
                        f"comm.recv of tag {one.tag}, which rank {one.source} sent {count} commit{'s' if count > 1 else ''} after "
                        f"superstep {self.passed_at}"
                    )
                    return

    def cancel(self, wanted: Receive) -> None:
        """A receive that nothing has matched will never be."""
        if not wanted.done and self.mailbox.withdraw(wanted):
            wanted.cancelled = wanted.done = True

    def fulfil(self, wanted: Receive, arrival: Arrival) -> None:
        """A receive and its message have met."""
        self.is_receivable(arrival)
        wanted.from_rank, wanted.from_tag, wanted.length = arrival.source, arrival.tag, arrival.length
        buffer = wanted.buffer
        if buffer is not None and arrival.length > len(buffer):
            wanted.error = (
                f"rank {arrival.source} sent {arrival.length} bytes with tag {arrival.tag}, but rank {self.rank} receives into "
                f"{len(buffer)} bytes: make the receive buffer as large as the message"
            )
            wanted.data = memoryview(b"")
            self._answer(arrival, TAKEN)
        elif arrival.data is None and wanted.hold:
            wanted.held = arrival
        elif arrival.data is None:
            wanted.data = fresh(arrival.length) if buffer is None else buffer[: arrival.length]
            if not self._take_directly(wanted, arrival, wanted.data):
                return
        else:
            wanted.data = arrival.data
            if buffer is not None and not arrival.placed:
                wanted.data = buffer[: arrival.length]
                wanted.data[:] = arrival.data
            self._answer(arrival, TAKEN)
        wanted.done = True

    def read(self, wanted: Receive, start: int, target: memoryview) -> bool:
        """A part of a message, from byte `start` on, as long as `target`. For a receive that is done.

        False: the sender's memory cannot be read. The receive is not done any more: wait for it, and read again.
        """
        held = wanted.held
        self.monitor.progressed()
        if held is None:
            assert wanted.data is not None
            target[:] = wanted.data[start : start + len(target)]
            return True
        self.check()
        try:
            if self.traffic.inward(held.source).read_directly(held.address + start, target):
                return True
        except OSError:
            self.traffic.lose(held.source)  # it has died, or unwound: the revoke follows
            wanted.done = False
            return False
        wanted.held, wanted.done = None, False
        wanted.data = fresh(held.length)
        self._ask_for_a_copy(wanted, held)
        return False

    def release(self, wanted: Receive) -> None:
        """What was held has been read: the sender may go on."""
        if wanted.held is not None:
            self._answer(wanted.held, TAKEN)

    def settle(self, message: Send) -> None:
        """It is known by other means that the message was received: no answer will come."""
        if message.ticket in self._tickets:
            del self._tickets[message.ticket]
            message.done = True

    # ---- what `MessageTraffic` tells -----------------------------------------------------------------------------------------------

    def head_arrived(self, arrival: Arrival, rank: int) -> tuple[Receive | None, memoryview | None] | None:
        """A frame begins."""
        if arrival.kind in (TAKEN, REFUSED):
            self.answers_from[rank] += 1
            self._answered(arrival.kind, arrival.ticket)
            return None
        if arrival.kind == COPY:
            self.answers_from[rank] += 1
            asked = self._asked.pop((rank, arrival.ticket))
            return asked, asked.data
        is_later = arrival.interval != self.interval and match(arrival.interval, self.interval) is Match.HELD
        wanted = None if is_later else self.mailbox.receive_for(arrival.context, arrival.source, arrival.tag)
        if arrival.kind == OFFER:
            self.monitor.moved(arrival.length)
            self.message_arrived(arrival, wanted)
            return None
        return wanted, None if wanted is None else wanted.buffer

    def message_arrived(self, arrival: Arrival, wanted: Receive | None) -> None:
        """A message is complete, or offered."""
        if arrival.kind == COPY:
            assert wanted is not None
            wanted.done = True
            return
        if arrival.interval != self.interval and match(arrival.interval, self.interval) is Match.HELD:
            self._later.append(arrival)
            self._name_later()
            return
        wanted = wanted or self.mailbox.receive_for(arrival.context, arrival.source, arrival.tag)
        if wanted is None:
            self.mailbox.keep(arrival)
        else:
            self.fulfil(wanted, arrival)

    # ---- offers and answers -------------------------------------------------------------------------------------------------

    def _take_directly(self, wanted: Receive, arrival: Arrival, target: memoryview) -> bool:
        """Copies an offered message. False: the receive is not done, and will be when a copy comes, or never."""
        if arrival.source == self.rank:
            target[:] = self._tickets[arrival.ticket][0].data
            self._answer(arrival, TAKEN)
            return True
        stream = self.traffic.inward(arrival.source)
        try:
            for at in range(0, len(target), BLOCK_BYTES):
                self.check()
                if not stream.read_directly(arrival.address + at, target[at : at + BLOCK_BYTES]):
                    self._ask_for_a_copy(wanted, arrival)
                    return False
                self.monitor.progressed()
        except OSError:
            self.traffic.lose(arrival.source)  # it has died, or unwound: the revoke follows
            return False
        self._answer(arrival, TAKEN)
        return True

    def _ask_for_a_copy(self, wanted: Receive, arrival: Arrival) -> None:
        self._asked[arrival.source, arrival.ticket] = wanted
        self._answer(arrival, REFUSED)

    def _answer(self, arrival: Arrival, kind: int) -> None:
        """Tells the sender of a message that has a ticket what became of it."""
        if arrival.ticket == 0:
            return
        if arrival.source == self.rank:
            self._tickets.pop(arrival.ticket)[0].done = True
            return
        out = self.traffic.outward(arrival.source)
        self.answers_to[arrival.source] += 1
        if out is not None and not self.traffic.at_once(out, kind, 0, 0, 0, 0, arrival.ticket, NOTHING):
            self.traffic.frame(out, kind=kind, ticket=arrival.ticket)

    def _answered(self, kind: int, ticket: int) -> None:
        message, rank = self._tickets.pop(ticket)
        if kind == TAKEN:
            message.done = True
            return
        out = self.traffic.outward(rank)
        if out is not None:
            out.direct = False
            self.answers_to[rank] += 1
            self.traffic.frame(out, kind=COPY, length=len(message.data), ticket=ticket, message=message, data=message.data)

    def _new_ticket(self, message: Send, rank: int) -> int:
        self._ticket = self._ticket % 0xFFFFFFFF + 1
        self._tickets[self._ticket] = message, rank
        return self._ticket

    def _send_to_itself(self, message: Send, context: int, tag: int, synchronous: bool) -> None:
        """Without a link: copied into the receive, or into memory of its own until there is one."""
        arrival = Arrival(context, self.rank, tag, len(message.data), DATA, 0, interval=self.interval)
        wanted = self.mailbox.receive_for(context, self.rank, tag)
        if wanted is not None or not synchronous:
            fits = wanted is not None and wanted.buffer is not None
            arrival.data = message.data if fits else memoryview(bytes(message.data))
            message.done = True
        else:
            arrival.ticket, arrival.kind = self._new_ticket(message, self.rank), OFFER
        self.message_arrived(arrival, wanted)
