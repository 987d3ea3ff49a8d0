"""Four ranks reduce for ever; rank 2 is killed; how long until each survivor is out of its all-reduce? For perdure and for ULFM.

    mpirun --with-ft ulfm ... python revoke_work.py FOLDER BYTES

Each rank writes a file with the monotonic clock of the machine: rank 2 just before it kills itself, a survivor when the error is raised.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from typing import Any

VICTIM = 2
BEFORE = 200
"""All-reduces before the end: all links are there, and everybody is in step."""


def note(folder: str, rank: int) -> None:
    """The instant."""
    now = time.monotonic()
    pathlib.Path(folder, f"rank-{rank}").write_text(repr(now))


def reduce_until_it_ends(comm: Any, folder: str, nbytes: int, kill: str) -> None:
    """Rank 2 does not come back. The others leave by an exception."""
    import numpy as np

    data, result = np.ones(nbytes // 8), np.zeros(nbytes // 8)
    for number in range(sys.maxsize):
        if comm.Get_rank() == VICTIM and number == BEFORE:
            note(folder, VICTIM)
            if kill == "node":
                os.killpg(os.getpgid(0), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        comm.Allreduce(data, result)


def main(job: Any, folder: str, nbytes: int, kill: str) -> None:
    """The program under perdure; `kill`: the process of the rank, or its node."""
    from perdure import GenerationRevoked

    for _ in job.supersteps(1):
        if job.generation > 1:
            return
        try:
            reduce_until_it_ends(job.comm, folder, nbytes, kill)
        except GenerationRevoked:
            note(folder, job.rank)
            raise


def over_mpi(folder: str, nbytes: int) -> None:
    """The program under mpirun: whoever sees the failure revokes the communicator, as ULFM's users do."""
    import mpi4py

    mpi4py.rc.finalize = False
    from mpi4py import MPI

    comm = MPI.COMM_WORLD.Dup()
    comm.Set_errhandler(MPI.ERRORS_RETURN)
    try:
        reduce_until_it_ends(comm, folder, nbytes, "process")
    except MPI.Exception:
        note(folder, comm.Get_rank())
        comm.Revoke()
    wait_for_all(folder)
    os._exit(0)


def wait_for_all(folder: str) -> None:
    """A process that left at once would take the connections down that the others are to hear of the revoke on."""
    deadline = time.monotonic() + 30
    while len(list(pathlib.Path(folder).glob("rank-*"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing is measured any more


if __name__ == "__main__":
    over_mpi(sys.argv[1], int(sys.argv[2]))
