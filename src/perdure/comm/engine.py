"""Progress: one thread moves all bytes of one generation while it waits for any of them.

A blocked call polls every connection at once: it sends what is pending, and drains what is readable, into posted receives or into
the queue of unexpected messages. So two ranks that send to each other and only then receive do not wait for ever, and a message that
nobody asked for yet holds nobody up. A revoke closes nothing here: it sets a flag and wakes the poll by an eventfd.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from perdure.errors import GenerationRevoked, InternalError, UsageError

if TYPE_CHECKING:
    from perdure.comm.mesh import Mesh, Monitor

HEAD: Final = struct.Struct("<IQBqQ")
"""generation, sequence number, context, tag, length."""
PEER_LOST_TIMEOUT_S: Final = 60.0
"""After a peer's connection ended, the revoke must follow: detection takes seconds at most."""
Key = tuple[int, int, int]
"""(source rank, context, tag)."""


class LinkRefused(ConnectionError):
    """Nobody listens at a rank's address."""


@dataclass(slots=True, eq=False)
class Receive:
    """A posted receive: into `buffer`, or into fresh memory when there is none. `data` holds what came."""

    key: Key
    buffer: memoryview | None
    data: memoryview | None = None
    done: bool = False
    error: str = ""


@dataclass(slots=True, eq=False)
class Send:
    """Pieces still to be given to the kernel."""

    pieces: collections.deque[memoryview]
    done: bool = False


@dataclass(slots=True, eq=False)
class _Out:
    sock: socket.socket
    sequence: int = 0
    pending: collections.deque[Send] = field(default_factory=collections.deque)


@dataclass(slots=True, eq=False)
class _In:
    rank: int
    sock: socket.socket
    sequence: int = 0
    head: bytearray = field(default_factory=lambda: bytearray(HEAD.size))
    filled: int = 0
    key: Key | None = None
    target: memoryview | None = None
    received: int = 0
    receive: Receive | None = None


class Engine:
    """All connections and messages of one generation of one rank. Only `revoke` and `accepted` may be called from other threads."""

    def __init__(
        self, mesh: Mesh, generation: int, size: int, addresses: tuple[str, ...], incarnations: tuple[int, ...], monitor: Monitor
    ) -> None:
        self.generation, self.size, self.rank = generation, size, mesh.rank
        self.incarnations, self.monitor = incarnations, monitor
        self._mesh, self._addresses = mesh, addresses
        self._out: dict[int, _Out] = {}
        self._in: dict[int, _In] = {}
        self._by_fd: dict[int, Callable[[int], None]] = {}
        self._poll = select.poll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._register(self._wake, select.POLLIN, lambda _: None)
        self._new: list[tuple[int, socket.socket]] = []
        self._lock = threading.Lock()
        self._posted: dict[Key, collections.deque[Receive]] = {}
        self._unexpected: dict[Key, collections.deque[memoryview]] = {}
        self._lost_at: float | None = None
        self._lost: set[int] = set()
        self.revoked = False
        self._may_go = threading.Event()
        self._may_go.set()

    # ---- from other threads -----------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """The generation is over: every blocked and every later call raises."""
        with self._lock:
            self.revoked = True
            self._may_go.set()
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def pause(self, *, paused: bool) -> None:
        """While paused no frame leaves and none is taken: the calling thread waits, woken by the end of the pause or by a revoke."""
        with self._lock:
            if paused and not self.revoked:
                self._may_go.clear()
                os.eventfd_write(self._wake, 1)
            else:
                self._may_go.set()

    def accepted(self, rank: int, sock: socket.socket) -> None:
        """A connection on which `rank` sends to this one."""
        with self._lock:
            if self._wake < 0:
                sock.close()
                return
            self._new.append((rank, sock))
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Gives all connections back. The engine is of no use afterwards."""
        with self._lock:
            self.revoked = True
            os.close(self._wake)
            self._wake = -1
            for _, sock in self._new:
                sock.close()
        for out in self._out.values():
            out.sock.close()
        for inward in self._in.values():
            inward.sock.close()

    # ---- calls of the thread that runs main -------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises when the generation is over."""
        if self.revoked:
            raise GenerationRevoked(f"generation {self.generation} is over")

    def send(self, rank: int, context: int, tag: int, data: memoryview) -> Send:
        """Starts a message. `data` must stay as it is until the returned send is done."""
        self._may_go.wait()
        self.check()
        out = self._out.get(rank)
        if out is None:
            try:
                sock = self._mesh.dial(self.generation, self._addresses[rank])
            except LinkRefused:
                self._lose(rank)
                return Send(collections.deque())
            out = self._out[rank] = _Out(sock)
        head = HEAD.pack(self.generation, out.sequence, context, tag, len(data))
        out.sequence += 1
        message = Send(collections.deque([memoryview(head), data] if len(data) else [memoryview(head)]))
        out.pending.append(message)
        if len(out.pending) == 1:
            self._push(rank, out)
            if out.pending:
                self._register(out.sock.fileno(), select.POLLOUT, lambda _: self._push(rank, out))
        self.monitor.moved(len(data))
        return message

    def receive(self, rank: int, context: int, tag: int, buffer: memoryview | None) -> Receive:
        """Posts a receive; a message that is here already completes it."""
        self.check()
        wanted = Receive((rank, context, tag), buffer)
        waiting = self._unexpected.get(wanted.key)
        if waiting:
            self._complete(wanted, waiting.popleft())
        else:
            self._posted.setdefault(wanted.key, collections.deque()).append(wanted)
        return wanted

    def wait(self, done: Callable[[], bool]) -> None:
        """Moves bytes until `done()`. Woken by messages, by `accepted` and by `revoke`."""
        while not done():
            self.check()
            timeout = None
            if self._lost_at is not None:
                timeout = max(0.0, self._lost_at + PEER_LOST_TIMEOUT_S - time.monotonic()) * 1000
                if timeout == 0:
                    raise InternalError(f"rank {self.rank}: the connections of ranks {sorted(self._lost)} ended, and no revoke followed")
            self.progress(timeout)
        self.check()

    def progress(self, timeout_ms: float | None) -> None:
        """One round: waits for anything to happen, at most so long, and moves what can be moved."""
        self._may_go.wait()
        for fd, events in self._poll.poll(timeout_ms):
            react = self._by_fd.get(fd)
            if react:
                react(events)
        with self._lock:
            new, self._new = self._new, []
            if self._wake >= 0 and not self.revoked:
                with contextlib.suppress(BlockingIOError):  # nobody woke the poll
                    os.eventfd_read(self._wake)
        for rank, sock in new:
            inward = self._in[rank] = _In(rank, sock)
            self._register(sock.fileno(), select.POLLIN, lambda _, inward=inward: self._pull(inward))  # type: ignore[misc]

    # ---- bytes ------------------------------------------------------------------------------------------------------------

    def _register(self, fd: int, events: int, react: Callable[[int], None]) -> None:
        self._by_fd[fd] = react
        self._poll.register(fd, events)

    def _forget(self, sock: socket.socket) -> None:
        if self._by_fd.pop(sock.fileno(), None):
            self._poll.unregister(sock)

    def _lose(self, rank: int) -> None:
        """The connection of a rank ended. The call goes on waiting for the revoke that must follow."""
        if rank not in self._lost and not self.revoked:
            self._lost.add(rank)
            self._lost_at = self._lost_at or time.monotonic()
            self.monitor.suspect(rank)

    def _push(self, rank: int, out: _Out) -> None:
        try:
            while out.pending:
                message = out.pending[0]
                while message.pieces:
                    piece = message.pieces[0]
                    sent = out.sock.sendmsg(list(message.pieces)[:2])
                    while message.pieces and sent >= len(message.pieces[0]):
                        sent -= len(message.pieces.popleft())
                    if sent:
                        piece = message.pieces[0]
                        message.pieces[0] = piece[sent:]
                message.done = True
                out.pending.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._lose(rank)
        self._forget(out.sock)

    def _pull(self, inward: _In) -> None:
        try:
            while True:
                if inward.key is None:
                    count = inward.sock.recv_into(memoryview(inward.head)[inward.filled :])
                    inward.filled += count
                    if count and inward.filled == HEAD.size:
                        self._begin(inward)
                else:
                    assert inward.target is not None
                    count = inward.sock.recv_into(inward.target[inward.received :])
                    inward.received += count
                if not count:
                    break
                if inward.key is not None and inward.target is not None and inward.received == len(inward.target):
                    self._end(inward)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._forget(inward.sock)
        self._lose(inward.rank)

    def _begin(self, inward: _In) -> None:
        generation, sequence, context, tag, length = HEAD.unpack(inward.head)
        if generation != self.generation or sequence != inward.sequence:
            raise InternalError(
                f"rank {inward.rank} sent frame {sequence} of generation {generation}; frame {inward.sequence} of {self.generation} was due"
            )
        inward.sequence += 1
        inward.filled = inward.received = 0
        inward.key = (inward.rank, context, tag)
        posted = self._posted.get(inward.key)
        inward.receive = posted.popleft() if posted else None
        buffer = inward.receive.buffer if inward.receive else None
        fits = buffer is not None and len(buffer) >= length
        inward.target = buffer[:length] if buffer is not None and fits else memoryview(bytearray(length))

    def _end(self, inward: _In) -> None:
        assert inward.key is not None
        assert inward.target is not None
        data, key, wanted = inward.target, inward.key, inward.receive
        inward.key = inward.target = inward.receive = None
        self.monitor.moved(len(data))
        if wanted is None:
            posted = self._posted.get(key)
            wanted = posted.popleft() if posted else None
        if wanted is None:
            self._unexpected.setdefault(key, collections.deque()).append(data)
        else:
            self._complete(wanted, data)

    def _complete(self, wanted: Receive, data: memoryview) -> None:
        buffer = wanted.buffer
        wanted.done = True
        wanted.data = data
        if buffer is None:
            return
        if len(data) > len(buffer):
            source, _, tag = wanted.key
            wanted.error = (
                f"rank {source} sent {len(data)} bytes with tag {tag} and rank {self.rank} receives into {len(buffer)} bytes: "
                "make the receive buffer as large as the message"
            )
        elif len(data) and data.obj is not buffer.obj:
            buffer[: len(data)] = data


def finish(wanted: Receive) -> memoryview:
    """The data of a receive that is done; UsageError when it did not fit."""
    if wanted.error:
        raise UsageError(wanted.error)
    assert wanted.data is not None
    return wanted.data
