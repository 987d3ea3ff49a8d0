"""Groups of processes of this machine: started, watched and ended together. The embedded engine's nodes, the node at the far end of a
shell, and the supervisor's orchestrators are such groups.

A group dies with the thread that has started it: PR_SET_PDEATHSIG of its first process follows that thread, not the process.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from perdure.engines.protocol import EntryPoint
from perdure.errors import EngineFailed
from perdure.runtime.posix import descendants, ending, how_it_ended, kill_and_wait, processes_with
from perdure.runtime.reactor import ReactorThread
from perdure.streams.pairs import pair
from perdure.streams.protocol import Stream

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that limit each rank to one thread: a rank is one core's worth of work, and sums must not depend on the number of cores of a
node (rule P3). Values of the environment are kept, except `random` for hashes, which must be equal in all processes."""
NODE_MARK: Final = "PERDURE_NODE"
"""A variable in the environment of all processes of a node, and of what they start: a child that leaves the session, and whose parent is
gone, is found by it. One that has emptied its environment as well is found only while its worker or agent lives."""
LOOK_AGAIN_S: Final = 0.001
"""A process that was sent SIGKILL begins to end as soon as a core is free for it."""
SWEEP_S: Final = 1.0
"""Seconds during which the remaining processes of a node are killed repeatedly, because they start others. Arbitrary."""
REAP_AFTER_S: Final = 5.0
"""A group that has ended leaves a zombie and a descriptor until then; to reap it at once would wait for its memory to be freed."""


def job_environment() -> dict[str, str]:
    """Return what the environment of every process of a job has in common (rule P3)."""
    found = {name: os.environ.get(name, "1") for name in ONE_THREAD}
    seed = os.environ.get("PYTHONHASHSEED", "")
    return found | {"PYTHONHASHSEED": seed if seed.isdecimal() else "0"}


class ProcessGroup:
    """A child of this process in a session of its own, so that all processes of the session can be ended at once.

    `pulse` is the reading end of a pipe whose writing end lies with a process of the group that holds little memory, so it is gone at
    once: the pulse ends long before the child has given its memory back. That is a hint; only the kernel can confirm the end of the child.
    """

    def __init__(self, child: subprocess.Popen[bytes], pulse: int, control: Stream, mark: str = "") -> None:
        """`control`: this process's end of the stream to it. `mark`: the value of `NODE_MARK` in its environment; empty: it has none."""
        self._child, self._pulse, self.control, self._mark = child, pulse, control, mark
        self.pid = child.pid
        self._pidfd = os.pidfd_open(child.pid)
        self._either = select.epoll()
        for fd in (self._pidfd, pulse):
            self._either.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        """Return a descriptor that is readable when the first process has ended, or when nothing can keep it from ending."""
        return self._either.fileno()

    def kill(self) -> None:
        """Send SIGKILL to the session. May be repeated until `reap`."""
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.killpg(self.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Return in words how the first process has ended; to be called once, when `fileno` is readable. A group that has lost its pulse
        and not its first process is ended here."""
        status = ending(self.pid)
        while status is None:
            self.kill()
            select.select([self._pidfd], [], [], LOOK_AGAIN_S)
            status = ending(self.pid)
        self._either.close()
        os.close(self._pulse)
        return how_it_ended(status)

    def sweep(self) -> None:
        """End what the group has started and that has left its session. To be called after the group's end."""
        deadline = time.monotonic() + SWEEP_S
        while self._mark and (found := [pid for pid in processes_with(NODE_MARK, self._mark) if ending(pid) is None]):
            kill_and_wait(found, patience_s=LOOK_AGAIN_S)
            if time.monotonic() > deadline:
                return

    def reap(self) -> None:
        """Block until nothing is left of a first process that has ended: the kernel may take a while to free its memory."""
        if self._child.returncode is None:
            self._child.wait()
            os.close(self._pidfd)


def start_group(entry_point: EntryPoint, config: bytes, *, is_node: bool) -> ProcessGroup:
    """Start a process that receives `config` (`perdure.engines.entry`). A node may read this process's standard input, and is marked.

    Raises:
        EngineFailed: no process could be started.
    """
    given = _file_of(config)
    pulse, beating = os.pipe()
    ours, theirs = pair()
    mark = secrets.token_hex(8) if is_node else ""
    numbers = [str(number) for number in (given, beating, theirs.fileno(), os.getpid())]
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", *entry_point, *numbers], pass_fds=(given, beating, theirs.fileno()), start_new_session=True,
            env={**os.environ, **job_environment(), **({NODE_MARK: mark} if is_node else {})},
            stdin=_standard_input() if is_node else subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        os.close(pulse)
        ours.close()
        raise EngineFailed(f"cannot start a process: {error.strerror}") from error
    finally:
        os.close(given)
        os.close(beating)
        theirs.close()
    return ProcessGroup(child, pulse, ours, mark)


def _file_of(config: bytes) -> int:
    """Return a file without a name: unlike a pipe it takes any number of bytes before somebody reads."""
    fd = os.memfd_create("perdure-config", os.MFD_CLOEXEC)
    with open(os.dup(fd), "wb") as file:
        file.write(config)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _standard_input() -> int | None:
    """For a node: ours, which rank 0 of a script may read; none from a terminal, which belongs to this process's session."""
    try:
        return subprocess.DEVNULL if os.isatty(0) else None
    except OSError:
        return subprocess.DEVNULL


class ProcessGroups:
    """Watches groups on a thread of its own, and cleans up after them. Its methods are for one thread, which starts the groups as well."""

    def __init__(self, name: str) -> None:
        self._thread = ReactorThread(name)
        self._reactor = self._thread.reactor
        self._running: list[ProcessGroup] = []
        self._unreaped: list[ProcessGroup] = []
        """Groups that have ended."""

    def watch(self, group: ProcessGroup, ended: Callable[[str], None]) -> None:
        """Call `ended`, on the watching thread, with how the group has ended; once. Its last messages can be received then."""

        def begin() -> None:
            self._running.append(group)
            self._reactor.watch(group, lambda: self._end(group, ended))

        self._reactor.post(begin)

    def kill(self, group: ProcessGroup) -> None:
        """End the group and all that it has started, if it still runs. May be repeated."""
        self._reactor.post(lambda: group.kill() if group in self._running else None)

    def _end(self, group: ProcessGroup, ended: Callable[[str], None]) -> None:
        self._reactor.unwatch(group)
        self._running.remove(group)
        self._unreaped.append(group)
        how = group.how_it_ended()
        group.kill()  # and what is left of its session
        ended(how)
        self._reactor.after(0.0, group.sweep)  # when the ends of others have been reported
        self._reactor.after(REAP_AFTER_S, lambda: self._reap(group))

    def _reap(self, group: ProcessGroup) -> None:
        self._unreaped.remove(group)
        group.reap()

    def close(self) -> None:
        """End all groups, and what they have started. Nothing of them is left, and no end is reported any more."""
        self._thread.close()
        below = descendants(*(group.pid for group in self._running))  # also what has left its session
        for group in self._running:
            group.kill()
        for group in self._running:
            group.how_it_ended()
        kill_and_wait(below)
        for group in (*self._running, *self._unreaped):
            group.reap()
            group.sweep()
        self._running.clear()
        self._unreaped.clear()
