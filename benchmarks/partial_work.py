"""A program that commits after a part of its state has changed, or all of it. Run by `partial.py`."""

from __future__ import annotations

import time

import numpy as np
from common_work import MIB

import perdure

SETTLE = 20
"""Commits of a kind that do not count: each slot must hold a state of that kind, and the memory of changed blocks must have learnt it;
writes are tracked from the third on, and known of the last two intervals at the fifth. Measured: a full one takes 40 ms at first and 27
from the twentieth on, for memory that was touched lately is faster."""


def main(job: perdure.Job, mb: int, commits: int, shares: list[float]) -> dict[str, list[list[float]]]:
    """For each share of the state that changes: seconds on the slowest rank until it may go on, and until all have it committed."""
    state = job.sharded("state", (job.size * mb * MIB,), init=lambda index: np.arange(mb * MIB, dtype=float))
    each = SETTLE + commits
    times: dict[str, list[list[float]]] = {"held": [[] for _ in shares], "committed": [[] for _ in shares]}
    began = 0.0
    for number in job.supersteps(len(shares) * each + 1, commit_every=1):
        held = time.monotonic() - began
        if number:
            wait_committed(job, number)
            slowest = np.max(job.comm.allgather((held, time.monotonic() - began)), axis=0)
            kind, turn = divmod(number - 1, each)
            if turn >= SETTLE:
                times["held"][kind].append(float(slowest[0]))
                times["committed"][kind].append(float(slowest[1]))
        kind = min(number // each, len(shares) - 1)
        part = round(len(state) * shares[kind])
        start = number * part % (len(state) - part + 1)
        state[start : start + part] += 1.0
        job.comm.Barrier()
        began = time.monotonic()
    return times


def wait_committed(job: perdure.Job, number: int) -> None:
    """Until this process has heard that the state before superstep `number` is committed."""
    heard = job._session._heard
    with heard.changed:
        heard.changed.wait_for(lambda: heard.committed is not None and heard.committed.superstep >= number)
