"""The embedded engine: a node is a group of processes of this machine."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import Final

from perdure.engines import Process
from perdure.errors import EngineFailed
from perdure.runtime.posix import ending, how_it_ended

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""A rank is one core's worth of work, and sums must not depend on how many cores a node has (rule P3). What the environment says, counts;
hashes must be the same in all processes, so there a `random` does not."""
LOOK_AGAIN_S: Final = 0.001
"""A process that was sent SIGKILL begins to end as soon as a core is free for it."""


class LocalProcess:
    """A child of this process, the first of a session of its own, so that all of a node can be ended at once.

    `pulse` is the reading end of a pipe whose writing end lies with a process of the node that holds little memory, so it is gone at
    once: the pulse ends long before the child has given its memory back. That is a hint; that the child ends, the kernel must say.
    """

    def __init__(self, child: subprocess.Popen[bytes], pulse: int) -> None:
        self._child, self._pulse = child, pulse
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

    def reap(self) -> None:
        """See `Process.reap`."""
        if self._child.returncode is None:
            self._child.wait()
            os.close(self._pidfd)


class LocalEngine:
    """Starts nodes as processes. `threads` are left to the program when the environment names a number."""

    def start(self, node: int, what: str, config: bytes, fds: tuple[int, ...]) -> Process:
        """See `Engine.start`. The last argument of the process is the fd of its pulse, to be kept open by what ends first."""
        environment = {**dict.fromkeys(ONE_THREAD, "1"), **os.environ}
        if not environment.get("PYTHONHASHSEED", "").isdecimal():
            environment["PYTHONHASHSEED"] = "0"
        read, write = os.pipe()
        pulse, beating = os.pipe()
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "perdure.launch.processes", what, str(read), str(beating)],
                pass_fds=(read, beating, *fds), start_new_session=True, env=environment, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            os.close(write)
            os.close(pulse)
            raise EngineFailed(f"cannot start the process of node {node}: {error.strerror}") from error
        finally:
            os.close(read)
            os.close(beating)
        with open(write, "wb") as pipe, contextlib.suppress(BrokenPipeError):  # it has ended already: its pidfd says so
            pipe.write(config)
        return LocalProcess(child, pulse)

    def kill(self, process: Process) -> None:
        """See `Engine.kill`."""
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.killpg(process.pid, signal.SIGKILL)
