"""The common work as a perdure program."""

import os
import zlib

import numpy as np
from common_work import EDGE, Log, initial, step

import perdure
from perdure.comm import IN_PLACE, SUM

logs: dict[int, Log] = {}


def main(job: perdure.Job, folder: str, mb: int = 64, steps: int = 60, commit_every: int = 10) -> int:
    """Returns the checksum of all states."""
    log = logs.setdefault(job.rank, Log(folder, job.rank))
    log("entered", generation=job.generation)
    state = job.sharded("state", (job.size * mb * 131_072,), init=lambda index: initial(job.rank, mb))
    comm, right, left = job.comm, (job.rank + 1) % job.size, (job.rank - 1) % job.size
    edge = np.empty(EDGE)

    def reduce(vector: np.ndarray) -> np.ndarray:
        comm.Allreduce(IN_PLACE, vector, SUM)
        return vector

    def ring(mine: np.ndarray) -> np.ndarray:
        comm.Sendrecv(mine, right, 5, edge, left, 5)
        return edge

    for number in job.supersteps(steps, commit_every=commit_every or "auto"):
        log("begin", step=number)
        checksum = step(state, number, job.rank, reduce, ring)
        log("step", step=number, checksum=checksum)
    log("final", checksum=zlib.crc32(state.tobytes()), pid=os.getpid())
    return 0
