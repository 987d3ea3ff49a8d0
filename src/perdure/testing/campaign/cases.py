"""What is done to a job in one run of a campaign? A case is drawn from its seed: nothing here runs anything.

The recipes are biased to the dangerous instants, and each is drawn equally often. No case loses more than the parity covers, so each must
be survived: `losses` of nodes that hold ranks, `parity` at the most, or a failure domain that has no more than that of any group; besides,
workers, the orchestrator, and a replacement before it holds anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.testing.campaign.baseline import Baseline
from perdure.testing.campaign.testbeds import HostFault

DELAYS_MS: Final = (0, 0, 1, 2, 4)
"""After the instant; what a phase does takes some milliseconds in a small job."""
START_S: Final = 0.1
"""Before that a job has hardly a process."""
LATEST: Final = 0.8
"""Of the undisturbed run's time: on a quieter machine the job is over sooner."""


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

    def __init__(self, seed: int, baseline: Baseline) -> None:
        self.baseline = baseline
        self._random = random.Random(seed)
        self._nodes = list(baseline.homes)
        self._random.shuffle(self._nodes)
        self.last = -1
        """The node that was drawn last."""
        self.losses = self._random.randint(1, max(1, baseline.parity))
        later = baseline.commits[1:] or baseline.commits
        self.commit = self._random.choice(later)
        self.superstep = self._random.randrange(1, max(2, baseline.supersteps * 3 // 4))
        """Not among the last, so that something is left for the recovery, and for what strikes it."""
        self.early = 1 + self.superstep // 16
        """A new orchestrator takes a while to come, and is to find the job at work."""

    def node(self) -> int:
        """Another one at each call, with ranks."""
        self.last = self._nodes.pop()
        return self.last

    def domain(self) -> tuple[int, ...]:
        """The nodes of a failure domain whose loss parity gives back; none of them comes again."""
        nodes = self._random.choice(self.baseline.survivable_domains())
        self._nodes = [node for node in self._nodes if node not in nodes]
        return nodes

    def rank(self) -> int:
        """Of a node of its own."""
        return self._random.choice(self.baseline.ranks_of(self.node()))

    def delay(self) -> str:
        """For faults that take one."""
        delay_ms = self._random.choice(DELAYS_MS)
        return f",delay_ms={delay_ms}" if delay_ms else ""

    def seconds(self) -> float:
        """Some time in the life of the job."""
        return round(self._random.uniform(START_S, max(LATEST * self.baseline.wall_s, 2 * START_S)), 3)

    def number(self) -> int:
        """For a fault that has a seed of its own."""
        return self._random.randrange(1_000_000)

    def one_of(self, numbers: tuple[int, ...]) -> int:
        """Any."""
        return self._random.choice(numbers)

    def spares(self, least: int) -> int:
        """As many as may be."""
        most = self.baseline.spares_max
        return most if self.baseline.fixed_spares else self._random.randint(least, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a recipe needs: the parity, the nodes with ranks beside one, and the spares; plans that are chosen by votes; a failure domain of
    several nodes whose loss parity gives back; the mode in which ranks wait for their commits."""

    parity: int = 0
    beside: int = 0
    spares: int = 0
    votes: bool = False
    domain: bool = False
    tight: bool = False

    def are_met_by(self, baseline: Baseline) -> bool:
        """Is all of it there?"""
        there = self.parity <= baseline.parity and self.beside < len(baseline.homes) and self.spares <= baseline.spares_max
        there = there and (baseline.by_votes or not self.votes) and (baseline.tight or not self.tight)
        return there and (not self.domain or bool(baseline.survivable_domains()))


NOTHING: Final = Needs()
NODE: Final = Needs(parity=1)
AFTER: Final = Needs(parity=1, beside=1)
TWICE: Final = Needs(parity=2, beside=1)
SPARE: Final = Needs(parity=1, spares=1)
VOTES: Final = Needs(parity=1, beside=1, votes=True)
DOMAIN: Final = Needs(domain=True)
TIGHT: Final = Needs(tight=True)
TIGHT_NODE: Final = Needs(parity=1, tight=True)

Recipe = Callable[[Dice], tuple[tuple[str, ...], tuple[str, ...]]]
"""What leads there, and what it is about."""
Row = tuple[str, str, Needs, Recipe]
"""Its row of the table, what it needs, what is done."""


def draw(seed: int, baseline: Baseline) -> Case:
    """The case of this number. Seeds that follow one another go through all recipes."""
    able = [one for one in _RECIPES if one[2].are_met_by(baseline)]
    fault, phase, needs, recipe = able[seed % len(able)]
    dice = Dice(seed, baseline)
    before, faults = recipe(dice)
    return Case(seed=seed, fault=fault, phase=phase, spares=dice.spares(needs.spares), before=before, faults=faults)


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
    text = text.replace("{spare}", str(dice.baseline.replacement(dice.last))) if "{spare}" in text else text
    text = text.replace("{delay}", dice.delay())
    return text.format(commit=dice.commit, superstep=dice.superstep, early=dice.early, soon=dice.early + 1)


def _together(dice: Dice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The commit decision: a node that has prepared, and the orchestrator that counts."""
    return (), (
        f"orchestrator:superstep={dice.commit},phase=committing",
        f"kill:node={dice.node()},superstep={dice.commit},phase=prepared{dice.delay()}",
    )


def _domain(fault: str, first: str = "") -> Recipe:
    """All nodes of a failure domain at once, its spares too; in the recovery from `first`, or undisturbed."""

    def recipe(dice: Dice) -> tuple[tuple[str, ...], tuple[str, ...]]:
        nodes = "+".join(map(str, dice.domain()))
        return ((fill(first, dice),) if first else ()), (fill(f"kill:node={nodes},{fault}", dice),)

    return recipe


def _by_the_clock(kind: str) -> Recipe:
    return lambda dice: ((), tuple(f"{kind}:after={dice.seconds():g}s,seed={dice.number()}" for _ in range(dice.losses)))


KILL, CRASH, _ORCHESTRATOR = "kill:node={node},superstep={superstep}", "crash:rank={rank},superstep={superstep}", "orchestrator"
LEAVES: Final = f"{_ORCHESTRATOR}:superstep={{early}}"


def _recovery(phase: str) -> list[Row]:
    """A node is lost in a recovery: from a crash, which costs no parity, or from another loss, which does."""
    fault = f"kill:node={{node}},phase={phase}{{delay}}"
    name = f"recovery: {phase}"
    return [("kill node", name, AFTER, _after(CRASH, fault)), ("kill node", name, TWICE, _after(KILL, fault))]


def _leaderless(phase: str, needs: Needs = AFTER) -> list[Row]:
    return [("orchestrator", f"recovery: {phase}", needs, _after(KILL, f"orchestrator:phase={phase}{{delay}}"))]


_RECIPES: Final[list[Row]] = [
    ("kill node", "superstep", NODE, _plain),
    ("kill node", "copying", NODE, _kills("copying")),
    ("kill node", "encoding", NODE, _kills("encoding")),
    ("kill node", "encoding", NODE, _kills("encoding")),
    ("kill node", "prepared", NODE, _kills("prepared")),
    ("kill node", "prepared", NODE, _kills("prepared")),
    ("crash worker", "superstep", NOTHING, _at_commit(CRASH)),
    ("crash worker", "copying", NOTHING, _at_commit("crash:rank={rank},superstep={commit},phase=copying")),
    ("crash worker", "recovery: unwinding", AFTER, _after(KILL, "crash:rank={rank},phase=unwinding")),
    ("crash worker", "recovery: entering", AFTER, _after(KILL, "crash:rank={rank},phase=entering")),
    *_recovery("sealed"),
    *_recovery("unwinding"),
    *_recovery("installing"),
    *_recovery("entering"),
    ("kill node", "recovery: rebuilding", TWICE, _after(KILL, "kill:node={node},phase=rebuilding{delay}")),
    ("kill node", "recovery: rebuilding", TWICE, _after(KILL, "kill:node={node},phase=rebuilding{delay}")),
    ("kill replacement", "recovery: restoring", SPARE, _after(KILL, "kill:node={spare},phase=restoring{delay}")),
    ("kill replacement", "recovery: entering", SPARE, _after(KILL, "kill:node={spare},phase=entering")),
    ("orchestrator", "superstep", NOTHING, _at_commit(LEAVES)),
    ("orchestrator", "start", NOTHING, _at_commit("orchestrator:phase=starting{delay}")),
    ("orchestrator", "committing", NOTHING, _at_commit("orchestrator:superstep={commit},phase=committing")),
    ("orchestrator, node", "committing, prepared", NODE, _together),
    *_leaderless("sealing"),
    *_leaderless("accepting", VOTES),
    *_leaderless("choosing"),
    *_leaderless("chosen", VOTES),
    *_leaderless("installing"),
    *_leaderless("assigning"),
    *_leaderless("resuming"),
    ("orchestrator", "hand-over: greeting", NOTHING, _after(LEAVES, "orchestrator:phase=greeting{delay}")),
    ("kill node", "hand-over: away", NODE, _after(LEAVES, "kill:node={node},superstep={soon}")),
    ("kill node", "hand-over: greeted", NODE, _after(LEAVES, "kill:node={node},phase=greeted{delay}")),
    ("kill node", "hand-over: greeted", NODE, _after(LEAVES, "kill:node={node},phase=greeted{delay}")),
    ("any process", "any time", NODE, _by_the_clock("process")),
    ("any process", "any time", NODE, _by_the_clock("process")),
    ("any process", "any time", NODE, _by_the_clock("process")),
    ("freeze process", "any time", NODE, _by_the_clock("freeze")),
    ("stop node", "superstep", NODE, _at_commit("stop:node={node},superstep={superstep}")),
    ("stop node", "prepared", NODE, _at_commit("stop:node={node},superstep={commit},phase=prepared")),
    ("kill domain", "superstep", DOMAIN, _domain("superstep={superstep}")),
    ("kill domain", "prepared", DOMAIN, _domain("superstep={commit},phase=prepared{delay}")),
    ("kill domain", "recovery: sealed", DOMAIN, _domain("phase=sealed{delay}", CRASH)),
    ("hang rank", "superstep", NOTHING, _at_commit("hang:rank={rank},superstep={superstep}")),
    ("kill node", "keeping", TIGHT_NODE, _kills("keeping")),
    ("kill node", "keeping", TIGHT_NODE, _kills("keeping")),
    ("crash worker", "waiting", TIGHT, _at_commit("crash:rank={rank},superstep={commit},phase=waiting")),
]  # fmt: skip
