"""What is simulated? A job's shape, its surroundings and its faults; one line of text, or one number.

A line such as "ranks=4 parity=1 spares=1 seed=17 kill:Prepared,nth=3,victim=1 orchestrator:Seal,delay=2" is all that a run depends on.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, replace
from typing import Final

from perdure.core.domains import Domains
from perdure.core.layout import default_group_size, nodes_with_ranks
from perdure.core.settings import MEMORY_MODES, OVERLAP, TIGHT
from perdure.errors import ConfigError
from perdure.sim import tokens

KINDS: Final = {
    "kill": "a node ends",
    "domain": "as many nodes as there are parity chunks end together",
    "row": "one node of every parity group stops for ever, all at one instant",
    "rack": "all nodes of a rack end together; without racks, one node",
    "spare": "a node without ranks ends",
    "crash": "a worker ends",
    "hangup": "a worker's connection with another one ends, so it waits for ever",
    "unlink": "a link between two vaults fails while a label is encoded or rebuilt, and both nodes live",
    "silence": "a node stops for ever",
    "stun": "a node stops for longer than silence is forgiven",
    "doze": "a node stops for a little longer than silence is forgiven",
    "arrive": "a node comes up that was not there at the start, and is a spare",
    "pause": "a node stops for a second",
    "cut": "for some seconds nothing that one node says reaches another",
    "deaf": "for some seconds nothing that one node says reaches the orchestrator",
    "orchestrator": "the orchestrator ends",
    "rival": "the end of the orchestrator is reported, and it goes on beside the next one",
    "orchestrator_stop": "the orchestrator stops, for a second, for longer than its silence is forgiven, or for ever",
    "orchestrators": "the orchestrator ends, and from now on each one when it begins",
    "standby": "the process of the next orchestrator, which waits, ends, or stops for ever",
    "lost_start": "a process that is being started never runs, and nothing is reported of it",
    "late_start": "a process that is being started is reported when its time is over",
    "failed_start": "a process that is being started ends before it is up",
    "refused_start": "the engine cannot start a process, and reports that",
    "bad_program": "a node that is being started cannot import the program",
    "join": "a fresh node comes up",
    "late_node": "a fresh node is requested, and the engine reports that it comes later, after the time for a start",
    "late_grant": "a fresh node is requested, and the engine grants it when the request was given up",
    "refused_node": "a fresh node is requested, and the engine refuses it",
    "drain": "the engine reports that a node will end, and ends it some time later",
    "false_end": "the engine reports, as a hint, that a node has ended, which goes on",
    "unavailable": "for some seconds the engine receives nothing and reports nothing",
    "flip": "a bit of a committed label in a node's memory changes",
}
SUPERVISOR_PHASES: Final = ("StartNode", "NodeListens", "StartOrchestrator", "BeginRound", "RegisterHolds", "AgentUp", "NoMoreNodes")
"""Of the start of a job and of a hand-over."""
ENGINE_KINDS: Final = ("late_node", "late_grant", "refused_node", "drain", "false_end", "unavailable")
"""Faults of the engine, which a drawn scenario may have besides others."""
START_KINDS: Final = ("lost_start", "late_start", "failed_start", "refused_start", "bad_program")
"""Faults that strike where a process is being started."""
PHASES: Final = (
    # the start
    *(phase for phase in SUPERVISOR_PHASES if phase != "RegisterHolds"),
    "Loaded", "Propose", "RegisterHolds", "Install", "Installed", "Ready", "Resume", "Enter",
    # a commit
    "AtPosition", "MayCopy", "Snapped", "Offered", "GroupOffer", "Protect", "ParityStored", "Prepared", "Committed", "LabelCommitted",
    # a decision and a rebuild: reached after a first fault only
    "Seal", "ShutLinks", "LinksQuiet", "Sealed", "Gathered", "Accept", "Accepted", "Note",
    "Amend", "Restore", "SlotRestored", "Assign", "Decode", "ChunkStored",
    "LinkFailed", "VerifySlot", "SlotVerified", "Rebuilt", "Unwound", "StartWorker", "WorkerEnded", "WorkerLost",
    # the end
    "AskResult", "Traffic", "Result",
)  # fmt: skip
MEMORY_PHASES: Final = ("Scrub", "Scrubbed", "ChunksWrong", "Repair", "Repaired", "ChunksLost", "BaseWrong")
"""Of memory that has changed by itself: reached after a flip only, but for the first two."""
CUSTODY_PHASES: Final = ("Custody",)
"""Of a node that was stopped, and that the job has gone on without: reached when it goes on before a commit is made without it."""
EARLY: Final = PHASES[: PHASES.index("Seal")]
TIGHT_PHASES: Final = ("CopySlot", "SlotCopied", "MoveLabel")
"""Of a commit in tight mode, and of a recovery right after one."""
MOVE_PHASES: Final = ("Hold",)
"""Of a planned move: reached when a node comes up while others hold too many ranks."""
ALL_PHASES: Final = (*PHASES, *MEMORY_PHASES, *CUSTODY_PHASES, *TIGHT_PHASES, *MOVE_PHASES)
CHOICES: Final = {
    "engine": ("prompt", "late", "never"),
    "notes": ("prompt", "late", "never"),
    "memory": MEMORY_MODES,
    "messages": tokens.PATTERNS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimFault:
    """`kind` happens `delay` deliveries after the `nth` time that `phase` (the name of a command, message or event) was seen.

    Attributes:
        victim: which one, counted among those that there are. It also chooses how long an orchestrator stops, and whether one ends.
        cut: a killed one did only the first commands of its last step.
    """

    kind: str
    phase: str
    nth: int = 1
    delay: int = 0
    victim: int = 0
    cut: bool = False

    def __str__(self) -> str:
        given = [f"{name}={value}" for name in ("nth", "delay", "victim") if (value := getattr(self, name)) != _FAULT_DEFAULTS[name]]
        return f"{self.kind}:" + ",".join([self.phase, *given, *(["cut"] if self.cut else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One job and what happens to it.

    Attributes:
        group_size: 0 for the default.
        count: supersteps.
        superstep_ms: how long one takes; long ones leave time between two commits.
        slow: so many nodes take twenty times as long for everything.
        skew: every process has a clock of its own, with its own zero and its own speed.
        repeats: facts are heard twice, the second time much later, in another generation perhaps.
        fan_out: agents pass on the orchestrator's words, each to so many others; 0: it speaks to each of them.
        engine: `late`: processes come up, and their ends are reported, up to two seconds late, they are ended late, and the
            register answers late. `never`: one node does not come up, and no end of a process is ever reported.
        scrub: agents read their vaults in the background.
        rivals: an older orchestrator's seals and pleas for votes are still heard when the next one has greeted.
        notes: what votes have chosen is told to the register up to two seconds `late`, or `never`.
        memory: as of `Settings`.
        messages: between ranks (`perdure.sim.tokens`). `racing`: senders run ahead of their receiver. One message may cross a
            commit. `crossing`: it is received after it; `left`: it is never received; `warned`: it is received, and that is allowed.
        racks: nodes lie in so many racks, one after the other in turn, and the groups are laid out by them; 0: nobody knows of racks.
    """

    ranks: int
    parity: int
    seed: int = 0
    spares: int = 1
    ranks_per_node: int = 1
    group_size: int = 0
    count: int = 4
    superstep_ms: int = 4
    slow: int = 0
    skew: bool = False
    repeats: bool = False
    fan_out: int = 0
    engine: str = "prompt"
    scrub: bool = False
    rivals: bool = False
    notes: str = "prompt"
    racks: int = 0
    memory: str = OVERLAP
    messages: str = tokens.NONE
    faults: tuple[SimFault, ...] = ()

    @property
    def domains(self) -> Domains:
        """Of the nodes that the job begins with, in the order in which they are started."""
        nodes = nodes_with_ranks(self.ranks, self.ranks_per_node) + self.spares
        return Domains(names=("rack",), paths=tuple((str(node % self.racks),) for node in range(nodes))) if self.racks else Domains()

    def __str__(self) -> str:
        words = [f"ranks={self.ranks}", f"parity={self.parity}"]
        for field in dataclasses.fields(self)[2:-1]:
            value = getattr(self, field.name)
            if value != field.default:
                words.append(field.name if value is True else f"{field.name}={value}")
        return " ".join([*words, *map(str, self.faults)])


_FAULT_DEFAULTS = {field.name: field.default for field in dataclasses.fields(SimFault)}
_FIELDS = {field.name: field for field in dataclasses.fields(Scenario) if field.name != "faults"}


def parse(text: str) -> Scenario:
    """The inverse of `str`. ConfigError says which word is wrong."""
    values: dict[str, int | bool | str] = {}
    faults = []
    for word in text.split():
        name, equals, value = word.partition("=")
        if ":" in word:
            faults.append(_parse_fault(word))
        elif value in CHOICES.get(name, ()):
            values[name] = value
        elif name in ("skew", "repeats", "scrub", "rivals") and not equals:
            values[name] = True
        elif name in _FIELDS and value.isdecimal():
            values[name] = int(value)
        else:
            raise ConfigError(f"{word!r} is no part of a scenario: write {', '.join(f'{name}=..' for name in _FIELDS)} and kind:phase,..")
    if "ranks" not in values or "parity" not in values:
        raise ConfigError("a scenario names its ranks=.. and parity=..")
    return _checked(Scenario(**values, faults=tuple(faults)))  # type: ignore[arg-type]


def _parse_fault(word: str) -> SimFault:
    kind, _, rest = word.partition(":")
    phase, *more = rest.split(",")
    if kind not in KINDS:
        raise ConfigError(f"{word!r}: there is no fault {kind!r}, only {', '.join(KINDS)}")
    if phase not in ALL_PHASES:
        raise ConfigError(f"{word!r}: there is no phase {phase!r}, only {', '.join(ALL_PHASES)}")
    values: dict[str, int] = {}
    for part in more:
        name, _, value = part.partition("=")
        if part != "cut" and not (name in ("nth", "delay", "victim") and value.isdecimal()):
            raise ConfigError(f"{word!r}: {part!r} is none of nth=.., delay=.., victim=.. and cut")
        values |= {name: int(value)} if part != "cut" else {}
    return SimFault(kind=kind, phase=phase, cut="cut" in more, **values)


def _checked(scenario: Scenario) -> Scenario:
    size = scenario.group_size or default_group_size(scenario.ranks, scenario.ranks_per_node, scenario.parity)
    if scenario.ranks < 1 or not 0 <= scenario.parity <= 3:
        raise ConfigError(f"a job of {scenario.ranks} ranks with parity {scenario.parity}: use 1 rank or more, and parity 0 to 3")
    if size < 1 or smallest_group(scenario.ranks, size) <= scenario.parity:
        raise ConfigError(f"parity {scenario.parity} needs groups of more than {scenario.parity} ranks")
    return scenario


def smallest_group(ranks: int, group_size: int) -> int:
    """Members of the smallest group, when the ranks are split as evenly as can be."""
    return ranks // -(-ranks // group_size)


def draw(seed: int, ranks: tuple[int, int] = (2, 8), parity: tuple[int, int] = (0, 2)) -> Scenario:
    """The scenario of a number: shape within these bounds (both included), surroundings, and up to three faults."""
    dice = random.Random(f"scenario {seed} of {ranks} {parity}")
    size = round(ranks[0] * (ranks[1] / ranks[0]) ** dice.random())
    m = min(dice.randint(*parity), size - 1)
    per_node = dice.choice((1, 1, 1, 2)) if size >= 4 * (m + 1) else 1
    wanted = dice.choice((0, 0, dice.randint(min(size, m + 1), min(size, m + 7))))
    group = wanted if wanted and smallest_group(size, wanted) > m else 0
    superstep_ms = dice.choice((4, 4, 4, 4, 30, 2000))
    scenario = Scenario(
        ranks=size,
        parity=m,
        seed=seed,
        spares=dice.choice((0, 1, 1, 2, 3)),
        ranks_per_node=per_node,
        group_size=group,
        superstep_ms=superstep_ms,
        slow=dice.choice((0, 0, 0, 1)) if superstep_ms < 1000 else 0,
        skew=dice.random() < 0.5,
        repeats=dice.random() < 0.3,
        engine=dice.choice(("prompt", "prompt", "prompt", "late", "never")),
        faults=_draw_faults(dice, size),
        fan_out=dice.choice((0, 0, 2, 3)),
        rivals=dice.random() < 0.3,
        notes=dice.choice(("prompt", "prompt", "late", "never")),
    )
    scenario = _in_tight_memory(dice, scenario) if dice.random() < 0.3 else scenario
    scenario = replace(scenario, messages=tokens.RACING) if dice.random() < 0.3 else scenario
    return _with_engine_faults(scenario)


def _with_engine_faults(scenario: Scenario) -> Scenario:
    """The same, perhaps with one or two faults of the engine, which other dice draw: so older scenarios keep their numbers."""
    dice = random.Random(f"engine of {scenario}")
    kinds = [dice.choice(ENGINE_KINDS) for _ in range(dice.choice((0, 0, 0, 1, 1, 2)))]
    faults = [
        SimFault(
            kind=kind, phase=dice.choice(("StartNode", "Committed", "Committed", "Seal", "Prepared", "AgentUp")),
            nth=1 + dice.randrange(3 * scenario.ranks), delay=dice.choice((0, 0, 1, 5, 20)), victim=dice.randrange(64),
        )
        for kind in kinds
    ]  # fmt: skip
    return replace(scenario, faults=(*scenario.faults, *faults))


def _in_tight_memory(dice: random.Random, scenario: Scenario) -> Scenario:
    """The same in tight mode; perhaps the first fault strikes at the copy that only this mode makes."""
    first, *more = scenario.faults or (None,)
    if first is not None and dice.random() < 0.4:
        nth = 1 + dice.randrange(4 * scenario.ranks)
        first = replace(first, phase=dice.choice(TIGHT_PHASES), nth=nth)
    return replace(scenario, memory=TIGHT, faults=(first, *more) if first is not None else ())


def with_moves(seed: int) -> Scenario:
    """A node ends and no spare is left, so a survivor hosts its ranks too; later a node comes up, ranks move there, and one or two more
    faults strike at about that time."""
    dice = random.Random(f"moves {seed}")
    parity = dice.choice((1, 1, 2))
    ranks = dice.randint(parity + 2, 7)
    loss = SimFault(
        kind=dice.choice(("kill", "kill", "silence")), phase="Committed", nth=1 + 2 * ranks + dice.randrange(ranks), victim=seed
    )
    arrivals = [
        SimFault(kind="arrive", phase="Committed", nth=4 * ranks + dice.randrange(2 * ranks)) for _ in range(dice.choice((1, 1, 2)))
    ]
    phases = (*MOVE_PHASES, "Committed", "Seal", "Sealed", "Accept", "Amend", "Install", "Restore", "SlotRestored", "Decode", "ChunkStored",
              "Rebuilt", "Ready", "Enter", "Prepared", "WorkerEnded")  # fmt: skip
    more = []
    for _ in range(dice.choice((0, 1, 1, 2))):
        phase = dice.choice(phases)
        late = ranks if phase in ("Committed", "Prepared", "Enter", "Ready") else 1
        nth = dice.randint(4 * late, 8 * late) if late > 1 else dice.randint(1, 2 * ranks)
        kind = dice.choice(("kill", "kill", "kill", "crash", "orchestrator", "orchestrator", "stun", "silence", "spare", "rival", "doze"))
        more.append(SimFault(kind=kind, phase=phase, nth=nth, delay=dice.choice((0, 0, 1, 3, 10)), victim=dice.randrange(64)))
    return Scenario(
        ranks=ranks, parity=parity, seed=seed, spares=0, count=dice.choice((8, 12)), superstep_ms=dice.choice((4, 30, 500, 2000)),
        ranks_per_node=dice.choice((1, 1, 2)), group_size=ranks, skew=dice.random() < 0.3, repeats=dice.random() < 0.3,
        fan_out=dice.choice((0, 0, 2)), engine=dice.choice(("prompt", "prompt", "late")), memory=dice.choice((OVERLAP, OVERLAP, TIGHT)),
        rivals=dice.random() < 0.2, notes=dice.choice(("prompt", "late", "never")),
        messages=dice.choice((tokens.NONE, tokens.RACING)), faults=(loss, *arrivals, *more),
    )  # fmt: skip


def with_flips(scenario: Scenario) -> Scenario:
    """The same in memory that fails: up to two bits change, with the scrub or without it, and a fault may strike what finds that."""
    dice = random.Random(f"memory of {scenario}")
    flips = [
        SimFault(kind="flip", phase="Committed", nth=1 + dice.randrange(6 * scenario.ranks), victim=dice.randrange(64))
        for _ in range(dice.choice((1, 1, 2)))
    ]
    more = [SimFault(kind=dice.choice(("kill", "crash", "orchestrator")), phase=dice.choice(MEMORY_PHASES), delay=dice.choice((0, 1, 5)))]
    faults = (*scenario.faults, *flips, *(more if dice.random() < 0.4 else ()))
    return replace(scenario, scrub=dice.random() < 0.7, superstep_ms=dice.choice((scenario.superstep_ms, 30, 500)), faults=faults)


WEIGHTS: Final = {
    "kill": 4.0, "crash": 3.0, "orchestrator": 3.0, "orchestrators": 0.2, "standby": 0.5,
    **dict.fromkeys(START_KINDS, 0.5), "refused_start": 0.2, "bad_program": 0.2,
}  # fmt: skip
"""How often a fault is drawn, against 1 for the others; those that end a job are rare."""


def _draw_faults(dice: random.Random, ranks: int) -> tuple[SimFault, ...]:
    """The first one early, or nothing would ever be sealed; the others at any phase."""
    kinds = [kind for kind in KINDS if kind not in ("flip", "rack", "arrive", *ENGINE_KINDS)]
    weights = [WEIGHTS.get(kind, 1.0) for kind in kinds]
    faults: list[SimFault] = []
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 2, 3, 3))):
        kind = dice.choices(kinds, weights)[0]
        phase = dice.choice(PHASES if faults else EARLY)
        if kind in START_KINDS:
            phase = dice.choice(("StartNode", "StartOrchestrator") if kind != "bad_program" else ("StartNode",))
        often = ranks if phase in EARLY and phase not in ("StartOrchestrator", "BeginRound") else 3
        often = 1 if kind in START_KINDS else often
        faults.append(
            SimFault(
                kind=kind,
                phase=phase,
                nth=1 + dice.randrange(3 * often),
                delay=dice.choice((0, 0, 1, 2, 5, 20)),
                victim=dice.randrange(64),
                cut=kind in ("kill", "orchestrator") and dice.random() < 0.3,
            )
        )
    return tuple(faults)
