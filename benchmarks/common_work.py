"""The common work: what every contender in `recovery.py` computes.

Ranks hold `mb` MiB of float64 each. A step is a little arithmetic on a sixteenth of the state, an all-reduce of 1 MiB and a ring exchange
of 64 KiB. Sums are of whole numbers, so every contender gets the same bits. Times are CLOCK_MONOTONIC, one clock for all processes.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable

import numpy as np

REDUCED = 131_072
"""Doubles in the reduced vector: 1 MiB."""
EDGE = 8_192
"""Doubles in the ring exchange: 64 KiB."""
MIB = 131_072
"""Doubles in 1 MiB."""
Array = np.ndarray


def initial(rank: int, mb: int) -> Array:
    """The state of one rank at step 0, (mb * 131072,) float64."""
    state = np.arange(mb * MIB, dtype=np.float64)
    state *= 1e-3
    state += rank * 17 + 1
    return state


def step(state: Array, number: int, rank: int, reduce: Callable[[Array], Array], ring: Callable[[Array], Array]) -> int:
    """One step in place; returns the checksum of the reduced vector."""
    part = len(state) // 16
    window = state[(number % 16) * part : (number % 16 + 1) * part]
    window *= 0.999
    window += 1.0
    vector = np.floor(state[:REDUCED])
    total = reduce(vector)
    state[:EDGE] += ring(state[-EDGE:].copy()) * 1e-3
    state[EDGE : 2 * EDGE] += total[:EDGE] % 7
    return zlib.crc32(total.tobytes())


class Log:
    """One line of JSON for each event, one write each, so that a killed process leaves whole lines."""

    def __init__(self, folder: str, rank: int) -> None:
        self._rank = rank
        self._fd = os.open(f"{folder}/{rank}-{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, event: str, **fields: object) -> None:
        os.write(self._fd, (json.dumps({"t": time.monotonic(), "event": event, "rank": self._rank, **fields}) + "\n").encode())
