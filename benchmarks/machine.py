"""The machine that a benchmark ran on: what else ran there, said beside every result; and a priority over it, the same for all."""

from __future__ import annotations

import os
import statistics
import time

NICE = "BENCHMARK_NICE"
"""The environment variable with the priority that `prioritise` gives, if any."""


def prioritise(pid: object = "self") -> None:
    """Gives a process's session the priority that was asked for. The kernel shares cores between sessions, whatever their processes' own
    priorities are, and contenders differ in how many sessions they have: so each says this of all of them."""
    if nice := os.environ.get(NICE):
        with open(f"/proc/{pid}/autogroup", "w") as file:
            file.write(nice)


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
