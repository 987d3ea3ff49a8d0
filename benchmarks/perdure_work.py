"""The common work on perdure: `python perdure_work.py FOLDER MB` runs it on four nodes and a spare. A node is a group of processes."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import machine
import numpy as np
from common_work import EDGE, MIB, PROTECT_EVERY, SIZE, STEPS, Log, checksum, initial, must_die, step

import perdure
from perdure.comm import IN_PLACE, SUM

logs: dict[int, Log] = {}
"""One file a process: `main` is entered again in the same one."""


def main(job: perdure.Job, folder: str, mb: int) -> None:
    """One rank."""
    log = logs.setdefault(job.rank, Log(folder, job.rank))
    state = job.sharded("state", (job.size * mb * MIB,), init=lambda index: initial(job.rank, mb))
    comm, right, left = job.comm, (job.rank + 1) % job.size, (job.rank - 1) % job.size
    received = np.empty(EDGE)

    def reduce(vector: np.ndarray) -> np.ndarray:
        comm.Allreduce(IN_PLACE, vector, SUM)
        return vector

    def ring(edge: np.ndarray) -> np.ndarray:
        comm.Sendrecv(edge, right, 5, received, left, 5)
        return received

    begun_at = job.superstep
    log("entered", rank=job.rank)
    for number in job.supersteps(STEPS, commit_every=PROTECT_EVERY):
        if number == begun_at:
            log("resume", rank=job.rank, epoch=job.generation - 1, step=number)
        if must_die(folder, log, job.rank, number):
            os.killpg(0, signal.SIGKILL)
        log("step", rank=job.rank, epoch=job.generation - 1, step=number, sum=step(state, number, reduce, ring))
    log("final", rank=job.rank, sum=checksum(state))


def run(folder: str, mb: int) -> None:
    """The whole job; its events go to the log too, so that they are on the clock of the steps."""
    log = Log(folder, "job")

    def note(event: dict[str, Any]) -> None:
        if event["event"] in ("orchestrator_started", "agent_started"):
            machine.prioritise(event["pid"])
        log(event["event"], **{name: event[name] for name in ("generation", "superstep", "protect_s", "rank") if name in event})

    perdure.run(__file__ + ":main", ranks=SIZE, spares=1, arguments={"folder": folder, "mb": mb}, on_event=note)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
