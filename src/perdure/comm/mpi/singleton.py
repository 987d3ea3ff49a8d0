"""A process that no job started is a job of one rank, as `python script.py` is under MPI.

A process of a job never is one: there a communicator that is used before the job runs, or by a thread that belongs to no rank, is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from perdure.comm.messaging.engine import MessageEngine
from perdure.comm.messaging.mesh import Mesh
from perdure.errors import ProgramExited

_forbidden: Final[list[str]] = []
"""Why this process is no job by itself; empty: it may be one."""
_THREADS: Final = "ranks are threads"


def forbid() -> None:
    """From now on this process belongs to a job."""
    _forbidden.append("a process of a job")


@contextmanager
def forbidden() -> Iterator[None]:
    """While the block runs, this process has ranks that are threads."""
    _forbidden.append(_THREADS)
    try:
        yield
    finally:
        _forbidden.pop()


def is_allowed() -> bool:
    """May this process be a job of one rank?"""
    return not _forbidden


def why_none() -> str:
    """Why this thread has no rank, and what to do."""
    if _forbidden and _forbidden[-1] == _THREADS:
        return "this thread belongs to no rank: on the engine threads, pass job.comm to the threads that the program starts"
    return "no job is running in this process: start the program with `perdure run`"


def messages() -> MessageEngine | None:
    """Return the messages of a job of one rank; None: this process is or has part of a job."""
    if not is_allowed():
        return None
    mesh = Mesh(job=os.urandom(16), rank=0, incarnation=1, monitor=_Nobody(), transport="threads")
    return mesh.enter(generation=1, size=1, addresses=[mesh.address], incarnations=[1])


class _Nobody:
    """A `Monitor` where no runtime watches."""

    def enter(self, call: str) -> None:
        """See `Monitor.enter`."""

    def leave(self) -> None:
        """See `Monitor.leave`."""

    def moved(self, nbytes: int) -> None:
        """See `Monitor.moved`."""

    def progressed(self) -> None:
        """See `Monitor.progressed`."""

    def has_company(self) -> bool:
        """See `Monitor.has_company`."""
        return False

    def waits(self, threads: Collection[int]) -> None:
        """See `Monitor.waits`."""

    def abort(self, error: ProgramExited) -> NoReturn:
        """See `Monitor.abort`."""
        sys.stdout.flush()
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_status)

    def suspect(self, rank: int) -> None:
        """See `Monitor.suspect`."""

    def failed(self, error: BaseException) -> None:
        """Nobody connects to a single rank, so this is a fault of ours."""
        raise error
