"""A program that commits, and copies its state to a warm buffer for comparison. Run by `overhead.py`."""

from __future__ import annotations

import time

import numpy as np
from common_work import MIB

import perdure

EVERY = 4
"""Supersteps between commits: the second copies on all ranks at once, the third on one rank after the other."""


def main(job: perdure.Job, mb: int, commits: int) -> dict[str, list[float]]:
    """Seconds on the slowest rank of each commit and copy; on rank 0."""
    state = job.sharded("state", (job.size * mb * MIB,), init=lambda index: np.arange(mb * MIB, dtype=float))
    warm = np.ones_like(state)
    times: dict[str, list[float]] = {"commit": [], "at once": [], "alone": []}

    def slowest(seconds: float) -> float:
        return max(job.comm.allgather(seconds))

    began = 0.0
    for number in job.supersteps((commits + 1) * EVERY, commit_every=EVERY):
        took = time.monotonic() - began
        match number % EVERY:
            case 0 if number:
                times["commit"].append(slowest(took))
            case 2:
                times["at once"].append(slowest(_copy(warm, state)))
            case 3:
                for rank in range(job.size):
                    job.comm.Barrier()
                    if rank == job.rank:
                        alone = _copy(warm, state)
                times["alone"].append(slowest(alone))
        for _ in range(10):  # the commit before is encoded meanwhile, and all ranks have the arrays in the same caches
            state += 1.0
        job.comm.Barrier()
        began = time.monotonic()
    return times


def _copy(warm: np.ndarray, state: np.ndarray) -> float:
    began = time.monotonic()
    np.copyto(warm, state)
    return time.monotonic() - began
