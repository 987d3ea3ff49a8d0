"""How many supersteps lie between two commits, when the program leaves it to the runtime.

The interval that wastes the least time is sqrt(2 C M), C the cost of a commit and M the mean time between failures of the job (Young
1974; Daly 2006, first order). It is bounded from below, so that commits never take more than `commit_overhead` of the time, and from
above by the work that a user is willing to repeat. It grows by a factor of `GROWTH` at most from one commit to the next, because the
first supersteps of a program are often not like its later ones.
"""

from __future__ import annotations

import math
from typing import Final

from perdure.core.settings import Settings

GROWTH: Final = 8
"""Arbitrary: 0, 1, 9, 73, 585: a thousand supersteps are reached after four commits."""


def optimal_interval(*, superstep_s: float, commit_s: float, failure_every_s: float, previous: int, settings: Settings) -> int:
    """Supersteps to the next commit, at least 1. All times in seconds; `previous` is the interval before."""
    wanted_s = math.sqrt(2 * commit_s * failure_every_s)
    wanted_s = max(wanted_s, commit_s / settings.commit_overhead)
    wanted_s = min(wanted_s, settings.commit_interval_max_s)
    return max(1, min(round(wanted_s / max(superstep_s, 1e-9)), previous * GROWTH))


def failure_interval(*, nodes: int, elapsed_s: float, failures: int, settings: Settings) -> float:
    """Mean time between failures of the whole job: the configured one until more were seen than it allows for."""
    configured = settings.mean_time_between_failures_s / nodes
    return min(configured, elapsed_s / failures) if failures else configured
