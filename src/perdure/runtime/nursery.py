"""Where workers are born: a process that has imported the program and forks a worker in milliseconds when its agent asks for one.

It has one thread, so forking is safe; it talks to its agent in packets: a request carries the rank, the incarnation
and the worker's file descriptors, an answer says that a worker was born or has ended. Workers die with the nursery, the nursery with
the agent.

On a spare node workers are *prepared*: forked before they have a rank, they map the memory files of two slots and touch memory for live
arrays, and wait. Doing that at the time of a loss costs more than decoding what was lost (measured: 64 MiB, 20 ms to map two slots, 55
on a busy machine). A request that comes with the memory files of a prepared worker goes to it.

Processes that a worker has started and left behind become children of the nursery, whatever session they are in, and are killed. Where the
end of one worker could be meant or that of another, one that was started anew (exec) by a worker that lives is spared.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from perdure.runtime.posix import (
    become_subreaper,
    call_when_orphaned,
    die_with_parent,
    end_descendants,
    has_ended,
    how_it_ended,
    is_stopped,
    own_children,
    variable_of,
)
from perdure.streams.packets import PacketSocket, packet_pair

REAP_EVERY_S: Final = 10.0
"""How long an orphan that has ended by itself may wait to be reaped. Arbitrary."""
LOOK_EVERY_S: Final = 1.0
"""Between two looks at prepared workers: are they stopped?"""
STOPPED_LOOKS: Final = 2
"""A prepared worker that is stopped at more looks in a row than these is replaced: after some 3 s, as a silent node (`silence_s`)."""
PREPARE_ATTEMPTS: Final = 3
"""Prepared workers for the same slots, one after the other. Arbitrary."""
WORKER_MARK: Final = "PERDURE_WORKER"
"""A variable in the environment of what a worker starts: the worker's process id."""

Run = Callable[[int, int, list[int]], None]
"""run(rank, incarnation, fds): the life of a worker; its return is the end of the process. `fds`: connection, page, two slots."""
Prepare = Callable[[int, list[int]], None]
"""prepare(live_bytes, fds): what can be done before there is a rank. `fds`: two slots."""


def serve(agent: PacketSocket, run: Run, prepare: Prepare, own_fd: int) -> None:
    """Forks workers until the agent hangs up. Blocks; woken by requests and by the ends of workers. They do not get `own_fd`."""
    become_subreaper()

    def orphaned() -> NoReturn:
        """The agent has ended, or the supervisor: nobody else knows of what workers have started in sessions of their own."""
        with contextlib.suppress(OSError):  # the signal has come twice
            os.close(own_fd)
        end_descendants()
        os._exit(0)

    call_when_orphaned(orphaned)
    try:
        _Nursery(agent, run, prepare, own_fd).serve()
    finally:  # an agent that is killed with unread packets ends the connection with an error
        end_descendants()


@dataclass(slots=True)
class _Child:
    """A process. `file`: the inode of its first slot; `orders`: while it is only prepared, where it hears what it shall be.

    `requests`: for a prepared one, what it was asked, with duplicates of the file descriptors: another may have to take its place.
    """

    pid: int
    rank: int = -1
    incarnation: int = 0
    orders: PacketSocket | None = None
    file: int = 0
    requests: list[tuple[bytes, list[int]]] = field(default_factory=list)
    attempt: int = 1
    stopped_looks: int = 0

    def forget(self) -> None:
        """It is not prepared any more."""
        if self.orders is not None:
            self.orders.close()
            self.orders = None
        for _, fds in self.requests:
            for fd in fds:
                os.close(fd)
        self.requests.clear()


class _Nursery:
    def __init__(self, agent: PacketSocket, run: Run, prepare: Prepare, own_fd: int) -> None:
        self._agent, self._run, self._prepare_with, self._own_fd = agent, run, prepare, own_fd
        self._selector = selectors.DefaultSelector()
        self._selector.register(agent, selectors.EVENT_READ)
        self._children: dict[int, _Child] = {}
        """By pidfd."""
        self._orphans: dict[int, int] = {}
        """Processes that workers have left behind, and that were killed: pidfd -> process id."""

    def serve(self) -> None:
        """See `serve` above."""
        while True:
            is_prepared = any(child.orders for child in self._children.values())
            ready = self._selector.select(LOOK_EVERY_S if is_prepared else REAP_EVERY_S)
            for key, _ in ready:
                if key.fd in self._orphans:
                    self._orphan_ended(key.fd)
                elif key.fileobj is not self._agent:
                    self._ended(key.fd)
                elif not self._asked():
                    return
            if not ready:
                self._end_orphans(only_ended=True)
                self._end_stopped()

    def _asked(self) -> bool:
        """One request; false at the end of the agent."""
        data, fds = self._agent.receive()
        if not data:
            return False
        request = json.loads(data)
        if "live_bytes" in request:
            self._prepare(data, fds)
        elif "kill" in request:
            self._kill(request["kill"], request["incarnation"])
        else:
            self._start(data, fds, request["rank"], request["incarnation"])
        for fd in fds:
            os.close(fd)
        return True

    def _prepare(self, data: bytes, fds: list[int]) -> None:
        child = next((child for child in self._children.values() if child.file == _file(fds[0])), None)
        if child is None:
            ours, theirs = packet_pair()
            child = self._fork(lambda: self._wait_for_rank(theirs))
            theirs.close()
            child.orders, child.file = ours, _file(fds[0])
        if child.orders is not None:  # otherwise a loss came first: the slots have their worker
            child.requests.append((data, [os.dup(fd) for fd in fds]))
            with contextlib.suppress(ConnectionError):  # it has ended, which its pidfd is about to say
                child.orders.send(data, fds)

    def _start(self, data: bytes, fds: list[int], rank: int, incarnation: int) -> None:
        child = next((child for child in self._children.values() if child.orders and child.file == _file(fds[2])), None)
        if child is None or child.orders is None:
            child = self._fork(lambda: self._run(rank, incarnation, fds))
            child.file = _file(fds[2])
        else:
            with contextlib.suppress(ConnectionError):  # it has ended, which its pidfd is about to say
                child.orders.send(data, fds)
            child.forget()
        child.rank, child.incarnation = rank, incarnation
        self._tell(born=child.pid, rank=rank, incarnation=incarnation)

    def _kill(self, rank: int, incarnation: int) -> None:
        """By pidfd, so never another process that has got the number of one that is gone."""
        for pidfd, child in self._children.items():
            if (child.rank, child.incarnation) == (rank, incarnation):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _wait_for_rank(self, orders: PacketSocket) -> None:
        """The life of a prepared worker."""
        while True:
            data, fds = orders.receive()
            if not data:
                return
            request = json.loads(data)
            if "live_bytes" not in request:
                self._run(request["rank"], request["incarnation"], fds)
                return
            self._prepare_with(request["live_bytes"], fds)

    def _fork(self, live: Callable[[], None]) -> _Child:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            child = _Child(pid)
            pidfd = os.pidfd_open(pid)
            self._children[pidfd] = child
            self._selector.register(pidfd, selectors.EVENT_READ)
            return child
        status = 70
        os.environ[WORKER_MARK] = str(os.getpid())  # for what it starts
        try:
            signal.signal(signal.SIGCONT, signal.SIG_DFL)
            die_with_parent(parent)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(self._own_fd)
            self._agent.close()
            for other in self._children.values():
                other.forget()
            live()
            status = 0
        finally:
            os._exit(status)

    def _ended(self, pidfd: int) -> None:
        child = self._children.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(child.pid, 0)
        if child.orders is not None:
            self._replace(child)
        self._end_orphans()
        if child.rank >= 0:
            self._tell(ended=child.pid, rank=child.rank, incarnation=child.incarnation, how=how_it_ended(status))

    def _end_stopped(self) -> None:
        """A prepared worker that is stopped by a signal would be of no use at a loss."""
        for pidfd, child in self._children.items():
            child.stopped_looks = child.stopped_looks + 1 if child.orders and is_stopped(child.pid) else 0
            if child.stopped_looks > STOPPED_LOOKS:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _replace(self, gone: _Child) -> None:
        """A prepared worker has ended: another takes its place, unless several have ended."""
        for data, fds in gone.requests if gone.attempt < PREPARE_ATTEMPTS else ():
            self._prepare(data, fds)
        for child in self._children.values():
            if child.file == gone.file:
                child.attempt = gone.attempt + 1
        gone.forget()

    def _end_orphans(self, *, only_ended: bool = False) -> None:
        """Kill what ended workers have left behind. Their children are orphans then too, so each end is looked at again."""
        known = {child.pid for child in self._children.values()} | set(self._orphans.values())
        for pid in own_children():
            if pid in known or (not has_ended(pid) and (only_ended or self._is_spared(pid))):
                continue
            pidfd = os.pidfd_open(pid)
            self._orphans[pidfd] = pid
            self._selector.register(pidfd, selectors.EVENT_READ)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _is_spared(self, pid: int) -> bool:
        return variable_of(pid, WORKER_MARK) in {str(child.pid) for child in self._children.values()}

    def _orphan_ended(self, pidfd: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(self._orphans.pop(pidfd), 0)
        self._end_orphans()

    def _tell(self, **fields: object) -> None:
        with contextlib.suppress(ConnectionError):  # the agent has hung up: the next request is the end of the stream
            self._agent.send(json.dumps(fields).encode())


def _file(fd: int) -> int:
    return os.fstat(fd).st_ino


class NurseryClient:
    """The agent's end. Requests may be made from any thread: each is one packet. `pid`: the nursery's process."""

    def __init__(self, nursery: PacketSocket, pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.fileno, self.close = nursery.fileno, nursery.close

    def start(self, rank: int, incarnation: int, fds: list[int]) -> None:
        """Asks for a worker; `receive` says when it is born. `fds`: its connection, its page, two slots."""
        self._nursery.send(json.dumps({"rank": rank, "incarnation": incarnation}).encode(), fds)

    def prepare(self, live_bytes: int, slots: Sequence[int]) -> None:
        """Asks for a worker that is ready for `start` with the same two slots, and has touched `live_bytes` for arrays. Said again, that
        worker maps what has come to the slots."""
        self._nursery.send(json.dumps({"live_bytes": live_bytes}).encode(), slots)

    def kill(self, rank: int, incarnation: int) -> None:
        """Ends a worker that was asked for before, wherever it is in its life; `receive` says when it has ended."""
        self._nursery.send(json.dumps({"kill": rank, "incarnation": incarnation}).encode())

    def receive(self) -> dict[str, object] | None:
        """One answer; None when the nursery is gone."""
        data, _ = self._nursery.receive()
        answer: dict[str, object] = json.loads(data) if data else {}
        return answer or None
