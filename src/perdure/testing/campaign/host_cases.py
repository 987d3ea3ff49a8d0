"""What is done to the hosts of a job in one run of a campaign? As in `testing.campaign.cases`, from a seed, and nothing runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from perdure.core.job_events import GenerationStartedEvent, JobEvent, NodeLostEvent, OrchestratorLostEvent, WorkerLostEvent
from perdure.testing.campaign import cases
from perdure.testing.campaign.baseline import Baseline
from perdure.testing.campaign.cases import AFTER, DOMAIN, NODE, TWICE, Case, Dice, Needs
from perdure.testing.campaign.testbeds import HostFault

SHORT_MS: Final = (300, 900, 1500)
"""Nobody is lost, and nobody pauses."""
LONGER_MS: Final = 2500
"""The host pauses by itself, and nobody is lost."""

Recipe = Callable[[Dice], tuple[tuple[str, ...], tuple[HostFault, ...]]]
"""Faults of processes that lead there, and what it is about."""


def draw(seed: int, baseline: Baseline) -> Case:
    """The case of this number: every other one is about processes, on these hosts."""
    if seed % 2:
        return cases.draw(seed // 2, baseline)
    able = [one for one in _RECIPES if one[2].are_met_by(baseline)]
    kind, phase, _, recipe = able[seed // 2 % len(able)]
    dice = Dice(seed, baseline)
    before, strikes = recipe(dice)
    return Case(seed=seed, fault=kind, phase=phase, spares=dice.spares(0), before=before, faults=(), strikes=strikes)


def _losses(kind: str) -> Recipe:
    """So many hosts as are drawn, at the same time."""
    return lambda dice: ((), tuple(HostFault(kind=kind, host=dice.node(), superstep=dice.superstep) for _ in range(dice.losses)))


def _domain(kind: str) -> Recipe:
    """All hosts of a failure domain, at the same time."""
    return lambda dice: ((), tuple(HostFault(kind=kind, host=node, superstep=dice.superstep) for node in dice.domain()))


def _one(kind: str, ms: tuple[int, ...] = (0,)) -> Recipe:
    return lambda dice: ((), (HostFault(kind=kind, host=dice.node(), superstep=dice.superstep, ms=dice.one_of(ms)),))


def _cut(dice: Dice) -> tuple[tuple[str, ...], tuple[HostFault, ...]]:
    return (), (HostFault(kind="cut", host=dice.node(), to=dice.node(), superstep=dice.superstep),)


def _after(first: str, event: type[JobEvent], kind: str) -> Recipe:
    """The host goes in the recovery from `first`, or in the hand-over."""
    return lambda dice: ((cases.fill(first, dice),), (HostFault(kind=kind, host=dice.node(), event=event),))


_RECIPES: Final[list[tuple[str, str, Needs, Recipe]]] = [
    # its row of the table; what it needs; what is done
    ("power off", "superstep", NODE, _losses("power_off")),
    ("cut one way", "superstep", AFTER, _cut),
    ("stop host", "superstep", NODE, _losses("stop_all")),
    ("kill host", "superstep", NODE, _losses("kill_all")),
    ("power off domain", "superstep", DOMAIN, _domain("power_off")),
    ("link down", "for a moment", NODE, _one("link_down", SHORT_MS)),
    ("power off", "recovery: sealing", AFTER, _after(cases.CRASH, WorkerLostEvent, "power_off")),
    ("link down", "superstep", NODE, _losses("link_down")),
    ("lossy link", "superstep", NODE, _one("lossy")),
    ("power off", "recovery: rebuilding", TWICE, _after(cases.KILL, GenerationStartedEvent, "power_off")),
    ("stop host", "hand-over: away", NODE, _after(cases.LEAVES, OrchestratorLostEvent, "stop_all")),
    ("link down", "until it pauses", NODE, _one("link_down", (LONGER_MS,))),
    ("slow link", "superstep", NODE, _one("slow")),
    ("kill host", "recovery: sealing", TWICE, _after(cases.KILL, NodeLostEvent, "kill_all")),
    ("power off", "hand-over: away", NODE, _after(cases.LEAVES, OrchestratorLostEvent, "power_off")),
]
