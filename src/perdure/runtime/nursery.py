"""Where workers are born: a process that has imported the program and forks a worker in milliseconds when its agent asks for one.

It has one thread, so forking is safe; it talks to its agent over a sequenced-packet socket: a request carries the rank, the incarnation
and the worker's file descriptors, an answer says that a worker was born or has ended. Workers die with the nursery, the nursery with
the agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
from collections.abc import Callable

from perdure.runtime.posix import die_with_parent, how_it_ended

Run = Callable[[int, int, list[int]], None]
"""run(rank, incarnation, fds): the life of a worker; its return is the end of the process."""


def serve(sock: socket.socket, run: Run) -> None:
    """Forks workers until the agent hangs up. Blocks; woken by requests and by the ends of workers."""
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    born: dict[int, tuple[int, int, int]] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is sock:
                try:
                    data, fds, _, _ = socket.recv_fds(sock, 65536, 8)
                except ConnectionError:
                    return
                if not data:
                    return
                request = json.loads(data)
                pid = _fork(sock, run, request["rank"], request["incarnation"], fds)
                for fd in fds:
                    os.close(fd)
                pidfd = os.pidfd_open(pid)
                born[pidfd] = (pid, request["rank"], request["incarnation"])
                selector.register(pidfd, selectors.EVENT_READ)
                _tell(sock, born=pid, rank=request["rank"], incarnation=request["incarnation"])
            else:
                pidfd = key.fd
                pid, rank, incarnation = born.pop(pidfd)
                selector.unregister(pidfd)
                os.close(pidfd)
                _, status = os.waitpid(pid, 0)
                _tell(sock, ended=pid, rank=rank, incarnation=incarnation, how=how_it_ended(status))


def _tell(sock: socket.socket, **fields: object) -> None:
    with contextlib.suppress(ConnectionError):  # the agent has hung up: the next request is the end of the stream
        sock.send(json.dumps(fields).encode())


def _fork(sock: socket.socket, run: Run, rank: int, incarnation: int, fds: list[int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        die_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sock.close()
        run(rank, incarnation, fds)
        status = 0
    finally:
        os._exit(status)


class NurseryClient:
    """The agent's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def start(self, rank: int, incarnation: int, fds: list[int]) -> None:
        """Asks for a worker; `receive` says when it is born."""
        socket.send_fds(self.sock, [json.dumps({"rank": rank, "incarnation": incarnation}).encode()], fds)

    def receive(self) -> dict[str, object] | None:
        """One answer; None when the nursery is gone."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            return None
        answer: dict[str, object] = json.loads(data) if data else {}
        return answer or None
