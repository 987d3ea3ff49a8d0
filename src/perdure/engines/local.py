"""The embedded engine: a node is a group of processes of this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from perdure.comm.transports import BETWEEN_PROCESSES, Kind
from perdure.engines import NODE_MARK, Process, job_environment
from perdure.errors import EngineFailed
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.posix import ending, how_it_ended, kill_and_wait, processes_with
from perdure.streams.addresses import unix_address
from perdure.streams.pairs import pair

LOOK_AGAIN_S: Final = 0.001
"""A process that was sent SIGKILL begins to end as soon as a core is free for it."""

SWEEP_S: Final = 1.0
"""How long processes that a node has left behind are killed again and again, because they start others. Arbitrary."""


class LocalProcess:
    """A child of this process, the first of a session of its own, so that all of a node can be ended at once.

    `pulse` is the reading end of a pipe whose writing end lies with a process of the node that holds little memory, so it is gone at
    once: the pulse ends long before the child has given its memory back. That is a hint; that the child ends, the kernel must say.
    """

    def __init__(self, child: subprocess.Popen[bytes], pulse: int, control: ControlStream, mark: str = "") -> None:
        """`mark`: the value of `NODE_MARK` in the node's environment; empty: it has none."""
        self._child, self._pulse, self.control, self._mark = child, pulse, control, mark
        self.pid = child.pid
        self._pidfd = os.pidfd_open(child.pid)
        self._either = select.epoll()
        for fd in (self._pidfd, pulse):
            self._either.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        """See `Process.fileno`."""
        return self._either.fileno()

    def how_it_ended(self) -> str:
        """See `Process.how_it_ended`. A node that has lost its pulse and not its agent is ended here."""
        status = ending(self.pid)
        while status is None:
            LocalEngine().kill(self)
            select.select([self._pidfd], [], [], LOOK_AGAIN_S)
            status = ending(self.pid)
        self._either.close()
        os.close(self._pulse)
        return how_it_ended(status)

    def sweep(self) -> None:
        """See `Process.sweep`."""
        deadline = time.monotonic() + SWEEP_S
        while self._mark and (found := [pid for pid in processes_with(NODE_MARK, self._mark) if ending(pid) is None]):
            kill_and_wait(found, patience_s=LOOK_AGAIN_S)
            if time.monotonic() > deadline:
                return

    def reap(self) -> None:
        """See `Process.reap`."""
        if self._child.returncode is None:
            self._child.wait()
            os.close(self._pidfd)


class LocalEngine:
    """Starts nodes as processes. `threads` are left to the program when the environment names a number.

    `program`: the module that each of them runs: another one may add to `perdure.streams.SCHEMES` before it calls `entrypoints.main`.
    """

    name = "local"
    nodes_max: int | None = None
    transports: tuple[Kind, ...] = BETWEEN_PROCESSES
    shares_memory = True
    program = "perdure.launch.entrypoints"
    labels: Sequence[Mapping[str, str]] = ()

    def address(self, node: int, name: str) -> str:
        """See `Engine.address`."""
        return unix_address(name)

    def start(self, node: int, what: str, config: bytes) -> Process:
        """See `Engine.start`. The process's arguments are open files and this process's number: its configuration, its pulse, to be kept
        open by what ends first, and its control stream."""
        read, write = os.pipe()
        pulse, beating = os.pipe()
        ours, theirs = pair()
        mark = secrets.token_hex(8)
        numbers = [str(number) for number in (read, beating, theirs.fileno(), os.getpid())]
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", self.program, what, *numbers], pass_fds=(read, beating, theirs.fileno()),
                start_new_session=True, env={**os.environ, **job_environment(), NODE_MARK: mark},
                stdin=_standard_input() if what == "agent" else subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            os.close(write)
            os.close(pulse)
            ours.close()
            raise EngineFailed(f"cannot start the process of node {node}: {error.strerror}") from error
        finally:
            os.close(read)
            os.close(beating)
            theirs.close()
        with open(write, "wb") as pipe, contextlib.suppress(BrokenPipeError):  # it has ended already: its pidfd says so
            pipe.write(config)
        return LocalProcess(child, pulse, ControlStream(ours), mark)

    def kill(self, process: Process) -> None:
        """See `Engine.kill`."""
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.killpg(process.pid, signal.SIGKILL)


def _standard_input() -> int | None:
    """For a node: ours, which rank 0 of a script may read; none from a terminal, which belongs to this process's session."""
    try:
        return subprocess.DEVNULL if os.isatty(0) else None
    except OSError:
        return subprocess.DEVNULL
