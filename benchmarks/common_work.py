"""The common work: what every contender in `recovery.py` computes.

Four ranks hold `mb` MiB of float64 each. A step is a little arithmetic on a sixteenth of the state, an all-reduce of 1 MiB and a ring
exchange of 64 KiB. Sums are of whole numbers, so every contender gets the same bits whatever order its library adds in. The state is
protected every ten steps; the victim ends its node by SIGKILL as it begins step 35, once a run.

Imports NumPy only, for every contender runs it in an environment of its own.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

SIZE: Final = 4
STEPS: Final = 60
PROTECT_EVERY: Final = 10
FATAL_STEP: Final = 35
VICTIM: Final = 2
MIB: Final = 131_072
"""Doubles in 1 MiB."""
REDUCED: Final = MIB
"""Doubles in the reduced vector: 1 MiB."""
EDGE: Final = 8_192
"""Doubles in the ring exchange: 64 KiB."""
Array = np.ndarray
Exchange = Callable[[Array], Array]
"""Of the reduced vector, (REDUCED,) float64, or of an edge, (EDGE,) float64; may answer in place."""


def initial(rank: int, mb: int) -> Array:
    """The state of one rank at step 0, (mb * MIB,) float64."""
    state = np.arange(mb * MIB, dtype=np.float64)
    state *= 1e-3
    state += rank * 17 + 1
    return state


def begin(state: Array, number: int) -> tuple[Array, Array]:
    """The first half of a step, in place: what is to be reduced, and the edge for the right neighbour."""
    part = len(state) // 16
    window = state[(number % 16) * part : (number % 16 + 1) * part]
    window *= 0.999
    window += 1.0
    return np.floor(state[:REDUCED]), state[-EDGE:].copy()


def end(state: Array, total: Array, edge: Array) -> int:
    """The second half, in place; returns the checksum of the reduced vector."""
    state[:EDGE] += edge * 1e-3
    state[EDGE : 2 * EDGE] += total[:EDGE] % 7
    return checksum(total)


def step(state: Array, number: int, reduce: Exchange, ring: Exchange) -> int:
    """One whole step."""
    vector, edge = begin(state, number)
    return end(state, reduce(vector), ring(edge))


def checksum(array: Array) -> int:
    """CRC-32 of the bytes of a contiguous array."""
    return zlib.crc32(array.data)


def reference(mb: int) -> tuple[list[int], list[int]]:
    """All ranks in this one process, undisturbed: the checksum of each step's reduced vector, and that of each rank's last state."""
    states = [initial(rank, mb) for rank in range(SIZE)]
    sums = []
    for number in range(STEPS):
        halves = [begin(state, number) for state in states]
        total = sum(vector for vector, _ in halves)
        sums += {end(state, total, halves[rank - 1][1]) for rank, state in enumerate(states)}
    return sums, [checksum(state) for state in states]


def reference_of_replicas(mb: int, steps: int) -> tuple[list[int], int]:
    """As `reference`, of ranks that all hold the state of rank 0 and average instead of adding up, without the ring."""
    state = initial(0, mb)
    sums = []
    for number in range(steps):
        vector, edge = begin(state, number)
        sums.append(end(state, vector, edge))
    return sums, checksum(state)


class Log:
    """One line of JSON for each event, one write each, so that a killed process leaves whole lines. Times are CLOCK_MONOTONIC."""

    def __init__(self, folder: str, name: object) -> None:
        self._fd = os.open(f"{folder}/{name}-{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, event: str, **fields: object) -> None:
        os.write(self._fd, (json.dumps({"at": time.monotonic(), "event": event, **fields}) + "\n").encode())


def must_die(folder: str, log: Log, rank: int, number: int) -> bool:
    """Is this the instant of the loss? True once a run; the caller then ends its node."""
    if rank != VICTIM or number != FATAL_STEP:
        return False
    try:
        os.close(os.open(f"{folder}/killed", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    log("kill")
    return True
