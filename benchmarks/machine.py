"""The machine that a benchmark ran on: what else ran there, said beside every result."""

from __future__ import annotations

import os
import statistics
import time


def busy_cores(seconds: float = 0.5) -> float:
    """Cores in use by anybody over the next `seconds`; call it while the benchmark itself does nothing."""
    before, began = _busy_s(), time.monotonic()
    time.sleep(seconds)  # a sampling interval: nothing is waited for
    return (_busy_s() - before) / (time.monotonic() - began)


def _busy_s() -> float:
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def describe(loads: list[float]) -> str:
    """One line: the cores, and how much of them others used before the runs."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores; others used {statistics.median(loads):.2f} of them before the runs (median; at most {max(loads):.2f})"
