"""All links of one generation of one rank, and the thread that moves their bytes while it waits.

Links in memory are looked at a few times first, giving the processor away in between, because most answers come within microseconds; then
the thread polls, and costs nothing. A revoke closes nothing here: it sets a flag and wakes the poll by an eventfd.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from perdure.comm.messaging.intake import Intake, Receiver
from perdure.comm.messaging.links import COPY, DATA, HEAD, HEAD_BYTES, Dialer, Inward, Outward, Send, cut
from perdure.comm.messaging.matching import Receive
from perdure.comm.messaging.monitor import Monitor
from perdure.comm.messaging.turns import Turns
from perdure.comm.transports import LinkRefused, OneWayStream
from perdure.errors import GenerationRevoked, InternalError

PEER_LOST_TIMEOUT_S: Final = 60.0
"""After a peer's link ended, the revoke must follow: detection takes seconds at most."""
LOOK_AGAIN_MS: Final = 500.0
"""Between two looks at which of several threads wait: less than a deadlock's timeout (arbitrary)."""
_BY_ITSELF: Final = frozenset((DATA, COPY))
"""Frames whose message needs no answer."""
SPIN_S: Final = 100e-6
"""A waiting rank looks at its links in memory for so long, giving the processor away after each look, before it polls. Most answers come
sooner; and where more processes than cores want to run, giving it away takes as long by itself."""
SPIN_COPY_BYTES: Final = 4 << 20
COPY_BYTES_PER_S: Final = 5e9
"""Whose message is taken out of its memory looks for longer by the time which that takes, on a slow machine, up to so many bytes: falling
asleep just before the answer comes would cost as much again (measured, 1 MiB: 130 us one way instead of 90)."""


class MessageTraffic:
    """Used by the thread whose turn it is; `revoke`, `pause` and `accepted` by any."""

    def __init__(self, dialer: Dialer, generation: int, addresses: tuple[str, ...], monitor: Monitor, receiver: Receiver) -> None:
        self.revoked = self.held = self.is_stopped = False
        """`is_stopped`: the generation is over, or paused. One look tells a call that there is nothing to check."""
        self.background: list[Callable[[], bool]] = []
        """Non-blocking collectives: each is called after bytes moved, goes on as far as it can, and says whether it is over."""
        self._dialer, self._generation, self._addresses = dialer, generation, addresses
        self._monitor, self._intake = monitor, Intake(generation, receiver, monitor)
        self._out: dict[int, Outward] = {}
        self._in: dict[int, Inward] = {}
        self._looks: list[tuple[Callable[[], bool], Inward]] = []
        """The links in memory, each with how to see whether something came."""
        self._stuck: list[Outward] = []
        self._by_fd: dict[int, Callable[[], object]] = {}
        self._events: dict[int, int] = {}
        self._poll = select.poll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watch(self._wake, select.POLLIN, lambda: None)
        self._new: list[tuple[int, OneWayStream]] = []
        self._lock = threading.Lock()
        self.turns = Turns(self.look_again)
        self._lost_at: float | None = None
        self._lost: set[int] = set()
        self._may_go = threading.Event()
        self._may_go.set()

    def pass_commit(self, interval: int) -> None:
        """What is sent from now on is of this commit interval."""
        self._intake.interval = interval

    def half_received(self) -> list[Receive]:
        """Return the receives whose message has begun to come."""
        return [inward.wanted for inward in self._in.values() if inward.arrival is not None and inward.wanted is not None]

    def sent(self) -> dict[int, int]:
        """Return the number of frames sent, by receiver. Those that still wait to leave are counted."""
        return {rank: out.sequence for rank, out in self._out.items()}

    def received(self) -> dict[int, int]:
        """Return the number of frames that have come, by sender; a message counts when all its bytes are here."""
        return {rank: inward.sequence - (inward.arrival is not None and inward.arrival.kind != COPY) for rank, inward in self._in.items()}

    # ---- from other threads -----------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """The generation is over: every blocked and every later call raises."""
        with self._lock:
            self.revoked, self._intake.revoked, self.held, self.is_stopped = True, True, False, True
            self._may_go.set()
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def pause(self, *, paused: bool) -> None:
        """While paused no frame leaves and none is taken: the calling thread waits, woken by the end of the pause or by a revoke."""
        with self._lock:
            if self._wake < 0:
                return
            self.held = paused and not self.revoked
            self.is_stopped = self.held or self.revoked
            if self.held:
                self._may_go.clear()
                os.eventfd_write(self._wake, 1)
            else:
                self._may_go.set()

    def accepted(self, rank: int, stream: OneWayStream) -> None:
        """A link on which `rank` sends to this one."""
        with self._lock:
            if self._wake < 0:
                stream.close()
                return
            self._new.append((rank, stream))
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Gives all links back."""
        with self._lock:
            self.revoked = self._intake.revoked = self.is_stopped = True
            if self._wake < 0:
                return
            os.eventfd_write(self._wake, 1)
            os.close(self._wake)
            self._wake = -1
            for _, stream in self._new:
                stream.close()
        for stream in [*(out.stream for out in self._out.values()), *(inward.stream for inward in self._in.values())]:
            stream.close()

    def look_again(self) -> None:
        """Wake the thread that polls."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # ---- waiting ----------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Waits while paused; raises when the generation is over."""
        if self.held:
            self._may_go.wait()
        if self.revoked:
            raise GenerationRevoked(f"generation {self._generation} is over")

    def wait(self, part: Send | Receive) -> None:
        """Moves bytes until the part is done. Woken by messages, by `accepted` and by `revoke`."""
        until = 0.0
        spin_s = SPIN_S + min(len(part.data), SPIN_COPY_BYTES) / COPY_BYTES_PER_S if part.data else SPIN_S
        is_new, turns = True, self.turns
        try:
            while not part.done:
                if self.is_stopped:
                    self.check()
                if self._sweep() or self._sweep() or self._sweep():  # a look costs a fourth of giving the processor away
                    until, is_new = 0.0, True
                    if turns.contenders or turns.sleepers:
                        turns.share()
                    continue
                now = time.perf_counter() if self._looks and not turns.polls else 0.0
                until = until or now + spin_s
                if 0.0 < now < until and not turns.contenders:
                    os.sched_yield()
                else:
                    self._rest(is_new)
                    until, is_new = 0.0, False
        finally:
            if turns.sleepers:
                turns.moved()
        self.check()

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Moves bytes until `done()`."""
        is_new, turns = True, self.turns
        try:
            while not done():
                self.check()
                if self._sweep():
                    is_new = True
                    turns.share()
                else:
                    self._rest(is_new)
                    is_new = False
        finally:
            turns.moved()
        self.check()

    def _rest(self, is_new: bool) -> None:
        """Wait until something may have moved: for the thread that polls, or by polling. `is_new`: see `Turns.sleep`."""
        turns = self.turns
        if turns.contenders:
            turns.share()
        elif turns.polls:
            turns.sleep(is_new)
        else:
            self._sleep(self._patience_ms())

    def progress(self) -> None:
        """Moves what can be moved without waiting."""
        self.check()
        self._sweep()
        if self.turns.polls:  # another thread does, with the other object
            poll = select.poll()
            for fd, events in self._events.items():
                poll.register(fd, events)
            self._react(poll.poll(0))
            self.turns.share()
            self.turns.nudge()
        else:
            self._react(self._poll.poll(0))
        self.check()

    def _sweep(self) -> bool:
        """One look at all links in memory. Did anything move?"""
        moved = False
        for ready, inward in self._looks:
            if ready():
                self._pull(inward)
                moved = True
        if self._stuck:
            for out in [out for out in self._stuck if out.stream.in_memory]:
                moved |= self._push(out)
        if moved and self.background:
            self._advance()
        return moved

    def _advance(self) -> None:
        self.background = [task for task in self.background if not task()]

    def _sleep(self, timeout_ms: float | None) -> None:
        """Polls all links, at most so long, and moves what can be moved. None: there are no other threads, and no limit."""
        is_alone = timeout_ms is None
        armed = [inward.stream for _, inward in self._looks] + [out.stream for out in self._stuck if out.stream.in_memory]
        for stream in armed:
            stream.arm(armed=True)
        if any(stream.ready() for stream in armed):
            timeout_ms = 0
        ready = self._poll.poll(timeout_ms) if is_alone else self.turns.poll(self._poll, timeout_ms)
        for stream in armed:
            stream.arm(armed=False)
        if not ready and timeout_ms != 0:
            self._monitor.waits({*self.turns.waiting, threading.get_ident()})
        self._react(ready)
        if self.turns.sleepers and ready:
            self.turns.moved()

    def _react(self, ready: list[tuple[int, int]]) -> None:
        """Move what can be moved on these descriptors."""
        for fd, _ in ready:
            react = self._by_fd.get(fd)
            if react:
                react()
        if self._new or self.revoked or any(fd == self._wake for fd, _ in ready):
            self._take_new()
        if self.background:
            self._advance()

    def _take_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
            if self._wake >= 0 and not self.revoked:
                with contextlib.suppress(BlockingIOError):  # nobody woke the poll
                    os.eventfd_read(self._wake)
        for rank, stream in new:
            inward = self._in[rank] = Inward(rank, stream)
            if stream.in_memory or stream.reads_ahead:
                self._looks = [*self._looks, (stream.ready, inward)]
            self._watch(stream.fd, select.POLLIN, lambda inward=inward: self._readable(inward))  # type: ignore[misc]

    def _patience_ms(self) -> float | None:
        """How long to poll: for ever, unless there are other threads, because a timeout costs microseconds.

        InternalError: a peer is gone and the revoke does not come.
        """
        if self._lost_at is None:
            return LOOK_AGAIN_MS if self._monitor.has_company() else None
        left_s = self._lost_at + PEER_LOST_TIMEOUT_S - time.monotonic()
        if left_s <= 0:
            raise InternalError(
                f"rank {self._dialer.rank}: the links to ranks {sorted(self._lost)} ended, but the generation was not revoked"
            )
        return min(left_s * 1000, LOOK_AGAIN_MS)

    def _watch(self, fd: int, events: int, react: Callable[[], object]) -> None:
        self._by_fd[fd], self._events[fd] = react, events
        self._poll.register(fd, events)

    def _forget(self, fd: int) -> None:
        if self._by_fd.pop(fd, None):
            del self._events[fd]
            self._poll.unregister(fd)

    # ---- links ------------------------------------------------------------------------------------------------------------

    def outward(self, rank: int) -> Outward | None:
        """The link to a rank, made at the first message. None: nobody is there, and the revoke follows."""
        out = self._out.get(rank)
        if out is None:
            try:
                stream = self._dialer.dial(self._generation, self._addresses[rank], lambda: self.revoked)
            except LinkRefused:
                self.lose(rank)
                return None
            out = self._out[rank] = Outward(rank, stream, stream.direct)
            if stream.in_memory:
                self._watch(stream.fd, select.POLLIN, lambda: self._bell(out))
        return out

    def on_one_host(self, ranks: Sequence[int]) -> bool:
        """Do all these ranks have memory in common?"""
        return all(self._addresses[rank].startswith("shared:") for rank in ranks)

    def inward(self, rank: int) -> OneWayStream:
        """The stream on which a rank sends, which it has begun."""
        return self._in[rank].stream

    def lose(self, rank: int) -> None:
        """The link of a rank ended. The call goes on waiting for the revoke that must follow."""
        if rank not in self._lost and not self.revoked:
            self._lost.add(rank)
            self._lost_at = self._lost_at or time.monotonic()
            self._monitor.suspect(rank)

    def at_once(self, out: Outward, kind: int, context: int, tag: int, length: int, address: int, ticket: int, body: memoryview) -> bool:
        """`frame` in a few steps, if all of it goes into a ring in memory. False: nothing was sent."""
        near = out.near
        if near is None or out.pending:
            return False
        head = HEAD.pack(out.sequence, context, length, address, tag, self._generation, kind, ticket, self._intake.interval)
        if not near.ring.write_whole(head, body):
            return False
        out.sequence += 1
        if near.ring.consumer_sleeps():
            try:
                near.wake()
            except OSError:
                self.lose(out.rank)
        return True

    def frame(
        self, out: Outward, *, kind: int, context: int = 0, tag: int = 0, length: int = 0, address: int = 0, ticket: int = 0,
        message: Send | None = None, data: memoryview | None = None,
    ) -> None:  # fmt: skip
        """Sends a frame, or lets it wait behind others. `message` is done with it, unless an answer is due."""
        head = HEAD.pack(out.sequence, context, length, address, tag, self._generation, kind, ticket, self._intake.interval)
        out.sequence += 1
        ends = message if kind in _BY_ITSELF else None
        pieces: list[memoryview | bytes] = [head, data] if data else [head]
        if out.pending:
            out.pending.append((pieces, ends))
            return
        try:
            sent = out.stream.send(pieces)
        except OSError:
            self.lose(out.rank)
            return
        if sent == HEAD_BYTES + (len(data) if data else 0):
            if ends is not None:
                ends.done = True
            return
        out.pending.append((cut(pieces, sent), ends))
        self._stuck.append(out)
        if not out.stream.in_memory:
            self._watch(out.stream.fd, select.POLLOUT, lambda: self._push(out))

    def _push(self, out: Outward) -> bool:
        """Sends what is pending, as far as it goes. Did anything move?"""
        try:
            sent = out.push()
        except OSError:
            self.lose(out.rank)
            out.pending.clear()
            sent = 1
        if sent:
            self._monitor.progressed()
        if not out.pending and out in self._stuck:
            self._stuck.remove(out)
            if not out.stream.in_memory:
                self._forget(out.stream.fd)
        return sent > 0

    def _bell(self, out: Outward) -> None:
        if not out.stream.hear():
            self._forget(out.stream.fd)
            self.lose(out.rank)

    def _readable(self, inward: Inward) -> None:
        if inward.stream.hear():
            self._pull(inward)
        else:
            self._ended(inward)

    def _ended(self, inward: Inward) -> None:
        self._forget(inward.stream.fd)
        self._looks = [look for look in self._looks if look[1] is not inward]
        self.lose(inward.rank)

    def _pull(self, inward: Inward) -> None:
        if not self._intake.pull(inward):
            self._ended(inward)
