"""The embedded engine: a node is a group of processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Final

from perdure.engines import Process
from perdure.errors import EngineFailed
from perdure.runtime.posix import how_it_ended

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""A rank is one core's worth of work, and sums must not depend on how many cores a node has (rule P3). What the environment says, counts;
hashes must be the same in all processes, so there a `random` does not."""


class LocalProcess:
    """A child of this process, the first of a session of its own, so that all of a node can be ended at once."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid
        self._pidfd = os.pidfd_open(child.pid)

    def fileno(self) -> int:
        """Readable when the process has ended."""
        return self._pidfd

    def how_it_ended(self) -> str:
        """In words."""
        _, status = os.waitpid(self.pid, 0)
        self._child.returncode = os.waitstatus_to_exitcode(status)
        os.close(self._pidfd)
        return how_it_ended(status)


class LocalEngine:
    """Starts nodes as processes. `threads` are left to the program when the environment names a number."""

    def start(self, node: int, what: str, config: bytes, fds: tuple[int, ...]) -> Process:
        """See `Engine.start`."""
        environment = {**dict.fromkeys(ONE_THREAD, "1"), **os.environ}
        if not environment.get("PYTHONHASHSEED", "").isdecimal():
            environment["PYTHONHASHSEED"] = "0"
        read, write = os.pipe()
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "perdure.launch.processes", what, str(read)],
                pass_fds=(read, *fds), start_new_session=True, env=environment, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            os.close(write)
            raise EngineFailed(f"cannot start the process of node {node}: {error.strerror}") from error
        finally:
            os.close(read)
        with open(write, "wb") as pipe, contextlib.suppress(BrokenPipeError):  # it has ended already: its pidfd says so
            pipe.write(config)
        return LocalProcess(child)

    def kill(self, process: Process) -> None:
        """See `Engine.kill`."""
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.killpg(process.pid, signal.SIGKILL)
