"""A program that holds a state and commits it at every superstep, slowly enough to be looked at. Run by `memory.py`."""

from __future__ import annotations

import time

import numpy as np

import perdure

STEPS = 6
PAUSE_S = 0.5
"""Between commits: to add up the pages of a job's processes takes less."""


def main(job: perdure.Job, mib: int) -> None:
    """The state changes as a whole."""
    state = job.private("state", init=lambda: np.ones(mib << 17))
    for _ in job.supersteps(STEPS):
        state += 1.0
        time.sleep(PAUSE_S)
        job.comm.Barrier()
