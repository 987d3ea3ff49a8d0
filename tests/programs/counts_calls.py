"""Does not recover: what the item is computed from is a module's global."""

from __future__ import annotations

import numpy as np

calls = 0


def main(job, supersteps: int = 12):
    global calls
    total = job.private("total", np.zeros(1))
    for _ in job.supersteps(supersteps):
        calls += 1
        total += calls
    return float(total[0])
