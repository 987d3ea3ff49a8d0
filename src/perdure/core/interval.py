"""How many supersteps lie between two commits, when the program leaves it to the runtime, and why.

The interval that wastes the least time is sqrt(2 C M), C the cost of a commit and M the mean time between failures of the job (Young
1974; Daly 2006, first order). What a recovery costs besides the work repeated does not move it: it is paid per failure, whatever the
interval (Daly 2006, section 3). It is bounded from below, so that commits never take more than `commit_overhead` of the time, and from
above by the work that a user is willing to repeat. It grows by a factor of `GROWTH` at most from one commit to the next, because the
first supersteps of a program are often not like its later ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from perdure.core.settings import Settings

GROWTH: Final = 8
"""Arbitrary: 0, 1, 9, 73, 585: a thousand supersteps are reached after four commits."""
BOUNDS: Final = ("", "unmeasured", "overhead", "loss", "growth", "superstep")
"""What an interval is cut to, of `Choice.bound`: nothing; no superstep was measured yet; the share of commits; the work that a user is
willing to lose; the growth since the last commit; one superstep, the shortest that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Mean time between failures of the whole job, in seconds. `learnt`: more were seen than the configured one allows for."""

    every_s: float
    learnt: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An interval between commits, and what it follows from. Times in seconds.

    Attributes:
        supersteps: between the two commits, at least 1.
        superstep_s: the time of one superstep; 0 if none was measured.
        commit_s: the cost of a commit, C.
        failure_every_s: the mean time between failures of the whole job, M.
        learnt: M is of the failures that were seen, which are more than the configured mean allows for.
        optimum_s: the interval that wastes least, sqrt(2 C M).
        bound: what the interval is cut to: `unmeasured`, `overhead`, `loss`, `growth` or `superstep`; empty: nothing (`BOUNDS`).
    """

    supersteps: int
    superstep_s: float
    commit_s: float
    failure_every_s: float
    learnt: bool
    optimum_s: float
    bound: str


def choose_interval(*, superstep_s: float | None, commit_s: float, failures: Failures, previous: int, settings: Settings) -> Choice:
    """The interval after the next commit. All times in seconds; `superstep_s` None: none was measured; `previous`: the interval before."""
    optimum_s = math.sqrt(2 * commit_s * failures.every_s)
    wanted_s, bound = optimum_s, ""
    if wanted_s < commit_s / settings.commit_overhead:
        wanted_s, bound = commit_s / settings.commit_overhead, "overhead"
    if wanted_s > settings.commit_interval_max_s:
        wanted_s, bound = settings.commit_interval_max_s, "loss"
    if superstep_s is None:
        supersteps, bound = 1, "unmeasured"
    else:
        supersteps = round(wanted_s / max(superstep_s, 1e-9))
        if supersteps > previous * GROWTH:
            supersteps, bound = previous * GROWTH, "growth"
        if supersteps < 1:
            supersteps, bound = 1, "superstep"
    return Choice(
        supersteps=supersteps, superstep_s=superstep_s or 0.0, commit_s=commit_s, failure_every_s=failures.every_s, learnt=failures.learnt,
        optimum_s=optimum_s, bound=bound,
    )  # fmt: skip


def failure_interval(*, nodes: int, elapsed_s: float, failures: int, settings: Settings) -> Failures:
    """The configured one until more failures were seen than it allows for."""
    configured_s = settings.mean_time_between_failures_s / nodes
    seen_s = elapsed_s / failures if failures else math.inf
    return Failures(every_s=min(configured_s, seen_s), learnt=seen_s < configured_s)


def expected_waste(*, interval_s: float, commit_s: float, recovery_s: float, failure_every_s: float) -> tuple[float, float]:
    """The shares of time for commits, and for failures: half an interval is repeated, and the recovery besides (Young 1974)."""
    return commit_s / interval_s, (interval_s / 2 + recovery_s) / failure_every_s


def explained(choice: Choice, recovery_s: float | None, settings: Settings) -> str:
    """Why this interval, with the numbers; `recovery_s`: the mean of those that there were, without the work repeated."""
    if choice.bound == "unmeasured":
        return "the job ended before a superstep was measured"
    interval_s = choice.supersteps * choice.superstep_s
    source = "seen" if choice.learnt else "configured"
    cost = "" if recovery_s is None else f", a recovery {_seconds(recovery_s)} and the repeated work"
    numbers = f"a commit costs {_seconds(choice.commit_s)}{cost}; a failure every {_seconds(choice.failure_every_s)} ({source})"
    commits, losses = expected_waste(
        interval_s=max(interval_s, 1e-9), commit_s=choice.commit_s, recovery_s=recovery_s or 0.0, failure_every_s=choice.failure_every_s
    )
    return (
        f"{every(choice.supersteps)} ({_seconds(interval_s)}): {numbers}; "
        f"optimum sqrt(2 x commit x failure) = {_seconds(choice.optimum_s)}{_bound(choice.bound, settings)}; "
        f"expected waste: commits {commits:.2%}, failures {losses:.2%}"
    )


def every(supersteps: int) -> str:
    """As "every 3 supersteps"."""
    return "every superstep" if supersteps == 1 else f"every {supersteps} supersteps"


def _bound(bound: str, settings: Settings) -> str:
    match bound:
        case "overhead":
            return f", lengthened so that commits take at most {settings.commit_overhead * 100:g}% (commit_overhead)"
        case "loss":
            return (
                f", shortened to {_seconds(settings.commit_interval_max_s)}, the maximum of work that may be lost (commit_interval_max_s)"
            )
        case "growth":
            return f", not reached: an interval is at most {GROWTH} times the previous one"
        case "superstep":
            return ", less than a superstep"
        case _:
            return ""


def _seconds(value: float) -> str:
    """With three digits, in the unit that fits."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)):
        if value >= (2 * size if size > 1 else size):
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"
