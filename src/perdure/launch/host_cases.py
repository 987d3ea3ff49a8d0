"""What is done to the hosts of a job in one run of a campaign? As in `perdure.launch.cases`, from a seed, and nothing runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from perdure.launch import cases
from perdure.launch.cases import Case, Dice, Ground
from perdure.launch.places import HostFault

SHORT_MS: Final = (300, 900, 1500)
"""Nobody is lost, and nobody pauses."""
LONGER_MS: Final = 2500
"""The host pauses by itself, and nobody is lost."""

Recipe = Callable[[Dice], tuple[tuple[str, ...], tuple[HostFault, ...]]]
"""Faults of processes that lead there, and what it is about."""


def draw(seed: int, ground: Ground) -> Case:
    """The case of this number: every other one is about processes, on these hosts."""
    if seed % 2:
        return cases.draw(seed // 2, ground)
    able = [one for one in _RECIPES if one[2] <= ground.parity and one[3] < ground.nodes]
    kind, phase, _, _, recipe = able[seed // 2 % len(able)]
    dice = Dice(seed, ground)
    before, strikes = recipe(dice)
    return Case(seed=seed, fault=kind, phase=phase, spares=dice.spares(0), before=before, faults=(), strikes=strikes)


def _losses(kind: str) -> Recipe:
    """So many hosts as are drawn, at the same time."""
    return lambda dice: ((), tuple(HostFault(kind=kind, host=dice.node(), superstep=dice.superstep) for _ in range(dice.losses)))


def _one(kind: str, ms: tuple[int, ...] = (0,)) -> Recipe:
    return lambda dice: ((), (HostFault(kind=kind, host=dice.node(), superstep=dice.superstep, ms=dice.one_of(ms)),))


def _cut(dice: Dice) -> tuple[tuple[str, ...], tuple[HostFault, ...]]:
    return (), (HostFault(kind="cut", host=dice.node(), to=dice.node(), superstep=dice.superstep),)


def _after(first: str, event: str, kind: str) -> Recipe:
    """The host goes in the recovery from `first`, or in the hand-over."""
    return lambda dice: ((cases.fill(first, dice),), (HostFault(kind=kind, host=dice.node(), event=event),))


_RECIPES: Final[list[tuple[str, str, int, int, Recipe]]] = [
    # its row of the table; the parity and the nodes beside one that it needs; what is done
    ("power off", "superstep", 1, 0, _losses("power_off")),
    ("cut one way", "superstep", 1, 1, _cut),
    ("stop host", "superstep", 1, 0, _losses("stop_all")),
    ("kill host", "superstep", 1, 0, _losses("kill_all")),
    ("link down", "for a moment", 1, 0, _one("link_down", SHORT_MS)),
    ("power off", "recovery: sealing", 1, 1, _after(cases.CRASH, "worker_lost", "power_off")),
    ("link down", "superstep", 1, 0, _losses("link_down")),
    ("lossy link", "superstep", 1, 0, _one("lossy")),
    ("power off", "recovery: rebuilding", 2, 1, _after(cases.KILL, "generation_started", "power_off")),
    ("stop host", "hand-over: away", 1, 0, _after(cases.LEAVES, "orchestrator_lost", "stop_all")),
    ("link down", "until it pauses", 1, 0, _one("link_down", (LONGER_MS,))),
    ("slow link", "superstep", 1, 0, _one("slow")),
    ("kill host", "recovery: sealing", 2, 1, _after(cases.KILL, "node_lost", "kill_all")),
    ("power off", "hand-over: away", 1, 0, _after(cases.LEAVES, "orchestrator_lost", "power_off")),
]
