"""Which part of a failing scenario is to blame? Cut away what the failure does not need, until nothing more can go.

Greedy, after Zeller's delta debugging (2002): every simpler scenario that breaks the same promise takes the place of the one before. A
schedule follows from the whole scenario, so a simpler one is tried with a few seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from perdure.sim.campaign import Failure, run_scenario
from perdure.sim.scenario import Scenario, smallest_group

SEEDS: Final = 12
"""How many schedules a simpler scenario may try before it counts as innocent. Arbitrary."""
RUNS: Final = 600
"""Bound on all runs together, so that shrinking takes seconds."""


def shrink(failure: Failure, runs: int = RUNS) -> Failure:
    """The simplest scenario found that breaks the same promise; the given one at worst."""
    left = runs
    found = True
    while found and left > 0:
        found = False
        for simpler in _simpler(failure.scenario):
            for seed in (simpler.seed, *range(SEEDS)):
                left -= 1
                came = run_scenario(dataclasses.replace(simpler, seed=seed))
                if isinstance(came, Failure) and came.what == failure.what:
                    failure, found = came, True
                    break
                if left <= 0:
                    return failure
            if found:
                break
    return failure


SIMPLER_KINDS: Final = {
    "rival": "orchestrator", "orchestrator_stop": "orchestrator", "orchestrators": "orchestrator", "standby": "orchestrator",
    "late_start": "lost_start", "lost_start": "failed_start", "refused_start": "failed_start", "bad_program": "failed_start",
}  # fmt: skip
"""What is tried in place of a fault of a start or of a hand-over."""


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    """One thing less, the greatest first."""
    for index in range(len(scenario.faults)):
        yield dataclasses.replace(scenario, faults=scenario.faults[:index] + scenario.faults[index + 1 :])
    for ranks in sorted({scenario.parity + 1, scenario.ranks // 2, scenario.ranks - 1}):
        if scenario.parity < ranks < scenario.ranks and _fits(scenario, ranks):
            yield dataclasses.replace(scenario, ranks=ranks)
    if scenario.parity > 1:
        yield dataclasses.replace(scenario, parity=scenario.parity - 1)
    plain: dict[str, int | bool | str] = {
        "ranks_per_node": 1, "group_size": 0, "engine": "prompt", "notes": "prompt", "slow": 0, "skew": False, "rivals": False,
        "repeats": False, "spares": 1, "superstep_ms": 4,
    }  # fmt: skip
    for name, value in plain.items():
        if getattr(scenario, name) != value:
            yield dataclasses.replace(scenario, **{name: value})  # type: ignore[arg-type]
    if scenario.count > 1:
        yield dataclasses.replace(scenario, count=scenario.count - 1)
    for index, fault in enumerate(scenario.faults):
        kind = SIMPLER_KINDS.get(fault.kind)
        if kind is not None:
            simpler = dataclasses.replace(fault, kind=kind)
            yield dataclasses.replace(scenario, faults=(*scenario.faults[:index], simpler, *scenario.faults[index + 1 :]))
        for changed in (
            {"cut": False},
            {"delay": 0},
            {"victim": fault.victim % (scenario.ranks + scenario.spares)},
            {"nth": fault.nth // 2},
        ):
            other = dataclasses.replace(fault, **changed)
            if other != fault and other.nth > 0:
                yield dataclasses.replace(scenario, faults=(*scenario.faults[:index], other, *scenario.faults[index + 1 :]))


def _fits(scenario: Scenario, ranks: int) -> bool:
    return not scenario.group_size or smallest_group(ranks, scenario.group_size) > scenario.parity
