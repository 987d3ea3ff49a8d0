"""What is done to a job in one run of a campaign? A case is drawn from its seed: nothing here runs anything.

The recipes are biased to the dangerous instants, and each is drawn equally often. No case loses more than the parity covers, so each must
be survived: `losses` of nodes that hold ranks, `parity` at the most; besides, workers, the orchestrator, and a replacement before
it holds anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.core.layout import nodes_with_ranks
from perdure.launch.places import HostFault

DELAYS_MS: Final = (0, 0, 1, 2, 4)
"""After the instant; what a phase does takes some milliseconds in a small job."""
START_S: Final = 0.1
"""Before that a job has hardly a process."""
LATEST: Final = 0.8
"""Of the undisturbed run's time: on a quieter machine the job is over sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What cases are drawn on: the job's shape, and what its undisturbed run showed. `commits`: the supersteps that it committed, without
    the end; `wall_s`: the time that it took; `tight`: in that mode."""

    ranks: int
    ranks_per_node: int
    parity: int
    spares_max: int
    supersteps: int
    commits: tuple[int, ...]
    wall_s: float
    tight: bool = False

    @property
    def nodes(self) -> int:
        """With ranks; the first spare has this number."""
        return nodes_with_ranks(self.ranks, self.ranks_per_node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run. It is about `faults`, and `strikes` from outside; `before` leads there; `fault` and `phase` name its row of the table."""

    seed: int
    fault: str
    phase: str
    spares: int
    before: tuple[str, ...] = ()
    faults: tuple[str, ...]
    strikes: tuple[HostFault, ...] = ()


class Dice:
    """What recipes choose with."""

    def __init__(self, seed: int, ground: Ground) -> None:
        self.ground = ground
        self._random = random.Random(seed)
        self._nodes = list(range(ground.nodes))
        self._random.shuffle(self._nodes)
        self.losses = self._random.randint(1, max(1, ground.parity))
        later = ground.commits[1:] or ground.commits
        self.commit = self._random.choice(later)
        self.superstep = self._random.randrange(1, max(2, ground.supersteps * 3 // 4))
        """Not among the last, so that something is left for the recovery, and for what strikes it."""
        self.early = 1 + self.superstep // 16
        """A new orchestrator takes a while to come, and is to find the job at work."""

    def node(self) -> int:
        """Another one at each call."""
        return self._nodes.pop()

    def rank(self) -> int:
        """Of a node of its own."""
        node, per_node = self.node(), self.ground.ranks_per_node
        return self._random.randrange(node * per_node, min((node + 1) * per_node, self.ground.ranks))

    def delay(self) -> str:
        """For faults that take one."""
        delay_ms = self._random.choice(DELAYS_MS)
        return f",delay_ms={delay_ms}" if delay_ms else ""

    def seconds(self) -> float:
        """Some time in the life of the job."""
        return round(self._random.uniform(START_S, max(LATEST * self.ground.wall_s, 2 * START_S)), 3)

    def number(self) -> int:
        """For a fault that has a seed of its own."""
        return self._random.randrange(1_000_000)

    def one_of(self, numbers: tuple[int, ...]) -> int:
        """Any."""
        return self._random.choice(numbers)

    def spares(self, least: int) -> int:
        """As many as may be."""
        return self._random.randint(least, max(least, self.ground.spares_max))


Recipe = Callable[[Dice], tuple[tuple[str, ...], tuple[str, ...]]]
"""What leads there, and what it is about."""


def draw(seed: int, ground: Ground) -> Case:
    """The case of this number. Seeds that follow one another go through all recipes."""
    able = [one for one in (*_RECIPES, *(_TIGHT_RECIPES if ground.tight else ())) if one[2] <= ground.parity and one[3] < ground.nodes]
    fault, phase, _, _, spares_min, recipe = able[seed % len(able)]
    dice = Dice(seed, ground)
    before, faults = recipe(dice)
    return Case(seed=seed, fault=fault, phase=phase, spares=dice.spares(spares_min), before=before, faults=faults)


def _kills(phase: str) -> Recipe:
    """So many nodes as are drawn, at the same commit."""
    return lambda dice: (
        (),
        tuple(f"kill:node={dice.node()},superstep={dice.commit},phase={phase}{dice.delay()}" for _ in range(dice.losses)),
    )


def _plain(dice: Dice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (), tuple(f"kill:node={dice.node()},superstep={dice.superstep}" for _ in range(dice.losses))


def _at_commit(fault: str) -> Recipe:
    """`fault` with the place left open: `{node}`, `{rank}`, `{commit}`, `{superstep}`, `{early}`."""

    def recipe(dice: Dice) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (), (fill(fault, dice),)

    return recipe


def _after(first: str, fault: str) -> Recipe:
    """Two losses, the second at an instant of the recovery from the first."""
    return lambda dice: ((fill(first, dice),), (fill(fault, dice),))


def fill(text: str, dice: Dice) -> str:
    """A fault with its places filled in: see `_at_commit`."""
    text = text.replace("{node}", str(dice.node())) if "{node}" in text else text
    text = text.replace("{rank}", str(dice.rank())) if "{rank}" in text else text
    text = text.replace("{delay}", dice.delay())
    return text.format(commit=dice.commit, superstep=dice.superstep, early=dice.early, soon=dice.early + 1, spare=dice.ground.nodes)


def _together(dice: Dice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The commit decision: a node that has prepared, and the orchestrator that counts."""
    return (), (
        f"orchestrator:superstep={dice.commit},phase=committing",
        f"kill:node={dice.node()},superstep={dice.commit},phase=prepared{dice.delay()}",
    )


def _by_the_clock(kind: str) -> Recipe:
    return lambda dice: ((), tuple(f"{kind}:after={dice.seconds():g}s,seed={dice.number()}" for _ in range(dice.losses)))


KILL, CRASH, _ORCHESTRATOR = "kill:node={node},superstep={superstep}", "crash:rank={rank},superstep={superstep}", "orchestrator"
LEAVES: Final = f"{_ORCHESTRATOR}:superstep={{early}}"


def _recovery(phase: str) -> list[tuple[str, str, int, int, int, Recipe]]:
    """A node is lost in a recovery: from a crash, which costs no parity, or from another loss, which does."""
    fault = f"kill:node={{node}},phase={phase}{{delay}}"
    name = f"recovery: {phase}"
    return [("kill node", name, 1, 1, 0, _after(CRASH, fault)), ("kill node", name, 2, 1, 0, _after(KILL, fault))]


def _leaderless(phase: str) -> list[tuple[str, str, int, int, int, Recipe]]:
    return [("orchestrator", f"recovery: {phase}", 1, 1, 0, _after(KILL, f"orchestrator:phase={phase}{{delay}}"))]


_RECIPES: Final[list[tuple[str, str, int, int, int, Recipe]]] = [
    # its row of the table; the parity, the nodes beside one, and the spares that it needs; what is done
    ("kill node", "superstep", 1, 0, 0, _plain),
    ("kill node", "copying", 1, 0, 0, _kills("copying")),
    ("kill node", "encoding", 1, 0, 0, _kills("encoding")),
    ("kill node", "encoding", 1, 0, 0, _kills("encoding")),
    ("kill node", "prepared", 1, 0, 0, _kills("prepared")),
    ("kill node", "prepared", 1, 0, 0, _kills("prepared")),
    ("crash worker", "superstep", 0, 0, 0, _at_commit(CRASH)),
    ("crash worker", "copying", 0, 0, 0, _at_commit("crash:rank={rank},superstep={commit},phase=copying")),
    ("crash worker", "recovery: unwinding", 1, 1, 0, _after(KILL, "crash:rank={rank},phase=unwinding")),
    ("crash worker", "recovery: entering", 1, 1, 0, _after(KILL, "crash:rank={rank},phase=entering")),
    *_recovery("sealed"),
    *_recovery("unwinding"),
    *_recovery("installing"),
    *_recovery("entering"),
    ("kill node", "recovery: rebuilding", 2, 1, 0, _after(KILL, "kill:node={node},phase=rebuilding{delay}")),
    ("kill node", "recovery: rebuilding", 2, 1, 0, _after(KILL, "kill:node={node},phase=rebuilding{delay}")),
    ("kill replacement", "recovery: restoring", 1, 0, 1, _after(KILL, "kill:node={spare},phase=restoring{delay}")),
    ("kill replacement", "recovery: entering", 1, 0, 1, _after(KILL, "kill:node={spare},phase=entering")),
    ("orchestrator", "superstep", 0, 0, 0, _at_commit(LEAVES)),
    ("orchestrator", "committing", 0, 0, 0, _at_commit("orchestrator:superstep={commit},phase=committing")),
    ("orchestrator, node", "committing, prepared", 1, 0, 0, _together),
    *_leaderless("sealing"),
    *_leaderless("choosing"),
    *_leaderless("installing"),
    *_leaderless("assigning"),
    *_leaderless("resuming"),
    ("orchestrator", "hand-over: greeting", 0, 0, 0, _after(LEAVES, "orchestrator:phase=greeting{delay}")),
    ("kill node", "hand-over: away", 1, 0, 0, _after(LEAVES, "kill:node={node},superstep={soon}")),
    ("kill node", "hand-over: greeted", 1, 0, 0, _after(LEAVES, "kill:node={node},phase=greeted{delay}")),
    ("kill node", "hand-over: greeted", 1, 0, 0, _after(LEAVES, "kill:node={node},phase=greeted{delay}")),
    ("any process", "any time", 1, 0, 0, _by_the_clock("process")),
    ("any process", "any time", 1, 0, 0, _by_the_clock("process")),
    ("any process", "any time", 1, 0, 0, _by_the_clock("process")),
    ("freeze process", "any time", 1, 0, 0, _by_the_clock("freeze")),
    ("stop node", "superstep", 1, 0, 0, _at_commit("stop:node={node},superstep={superstep}")),
    ("stop node", "prepared", 1, 0, 0, _at_commit("stop:node={node},superstep={commit},phase=prepared")),
    ("hang rank", "superstep", 0, 0, 0, _at_commit("hang:rank={rank},superstep={superstep}")),
]  # fmt: skip
_TIGHT_RECIPES: Final[list[tuple[str, str, int, int, int, Recipe]]] = [
    # of the mode in which ranks wait for their commits
    ("kill node", "keeping", 1, 0, 0, _kills("keeping")),
    ("kill node", "keeping", 1, 0, 0, _kills("keeping")),
    ("crash worker", "waiting", 0, 0, 0, _at_commit("crash:rank={rank},superstep={commit},phase=waiting")),
]  # fmt: skip
