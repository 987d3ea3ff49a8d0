"""Faults that a test or an operator asks for, as text: what is to happen, to whom, and when.

    kill:node=2,superstep=35        SIGKILL to all processes of a node when a rank of it reaches that superstep
    kill:node=2+5,superstep=35      to those of several nodes, when a rank of one of them does
    crash:rank=1,superstep=20       SIGKILL to one worker
    stop:node=0,superstep=12        SIGSTOP to all processes of a node: silent, but not gone
    hang:rank=3,superstep=9         the rank computes for ever
    kill:every=5s,seed=7            a node chosen by the seed, again and again
    orchestrator:superstep=30       SIGKILL to the orchestrator
    flip:rank=1,superstep=9,where=parity    a bit in memory changes, in what that rank keeps of the first commit from that superstep on:
                                    of its `snapshot`, its `parity` or its `replicated` items; `seed=` chooses the bit
    process:after=1.2s,seed=7       SIGKILL to one process of the job, chosen by the seed, so long after the start
    freeze:after=1.2s,seed=7        SIGSTOP to one

`phase=` in place of the superstep, or beside it, names the instant inside a commit or a recovery (see `PHASES`); `kill`, `stop`, `crash`
and `orchestrator` take it. `delay_ms=` strikes so many milliseconds after that instant; `kill` and `orchestrator` take it. Each fault
happens once, however often its superstep is computed; `every` goes on until the job ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.job_events import CommittedEvent, ProposedEvent
from perdure.errors import ConfigError

WORKER_PHASES: Final = ("copying", "waiting", "unwinding", "entering")
"""A rank copies its state; waits for the commit (at the ends of a job, and in tight mode); `main` has been left because the generation is
over; it is about to be entered again."""
NODE_PHASES: Final = ("encoding", "prepared", "keeping", "sealed", "installing", "restoring", "rebuilding", "greeted")
"""An agent encodes; has said that a label is prepared; copies one that is committed to the snapshot slot (tight mode); stops a generation;
has opened the links of the next one; fetches what a lost rank needs; decodes; has answered another orchestrator than the first."""
ORCHESTRATOR_PHASES: Final = (
    "starting", "committing", "sealing", "accepting", "choosing", "chosen", "installing", "assigning", "resuming", "greeting",
)  # fmt: skip
"""The orchestrator has proposed the first plan; has published a commit and told nobody. In a recovery it has told one node, of all, to stop
the generation; has asked one node for its votes; has asked all of them, or has proposed a plan to the register; has told the register what
the votes have chosen; has told one node of the plan, of what to decode, to resume. It has, as another than the first, greeted one node."""
PHASES: Final = tuple(dict.fromkeys((*WORKER_PHASES, *NODE_PHASES, *ORCHESTRATOR_PHASES)))
NOBODY: Final = -1
"""The node of an orchestrator, and the rank of all that is no worker."""
_PHASES_OF: Final = {
    "kill": WORKER_PHASES + NODE_PHASES, "stop": WORKER_PHASES + NODE_PHASES, "crash": WORKER_PHASES, "orchestrator": ORCHESTRATOR_PHASES,
}  # fmt: skip
WHERE: Final = ("snapshot", "parity", "replicated")
"""What of a rank's memory a flipped bit is in."""
_KEYS: Final = {
    "kill": {"node", "superstep", "phase", "every", "seed", "delay_ms"},
    "stop": {"node", "superstep", "phase"},
    "crash": {"rank", "superstep", "phase"},
    "hang": {"rank", "superstep"},
    "orchestrator": {"superstep", "phase", "delay_ms"},
    "flip": {"rank", "superstep", "where", "seed"},
    "process": {"after", "seed"},
    "freeze": {"after", "seed"},
}
GRAMMAR: Final = (
    "kill:node=N,superstep=S | kill:node=N+M,superstep=S | crash:rank=R,superstep=S | stop:node=N,superstep=S | hang:rank=R,superstep=S | "
    "kill:every=5s,seed=7 | orchestrator:superstep=S | flip:rank=R,superstep=S,where=snapshot|parity|replicated | "
    "process:after=1.2s,seed=7 | freeze:after=1.2s,seed=7"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. -1, 0.0 and an empty phase mean: not given. `others`: nodes that are lost with `node`."""

    kind: str
    node: int = -1
    others: tuple[int, ...] = ()
    rank: int = -1
    superstep: int = -1
    phase: str = ""
    every_s: float = 0.0
    after_s: float = 0.0
    seed: int = 0
    where: str = ""
    delay_ms: int = 0

    def __str__(self) -> str:
        for key, seconds in (("every", self.every_s), ("after", self.after_s)):
            if seconds:
                return f"{self.kind}:{key}={seconds:g}s,seed={self.seed}"
        given = [f"node={'+'.join(map(str, self.nodes))}"] if self.nodes else []
        given += [f"{key}={value}" for key in ("rank", "superstep") if (value := getattr(self, key)) >= 0]
        given += [f"{key}={value}" for key in ("phase", "where") if (value := getattr(self, key))]
        given += [f"delay_ms={self.delay_ms}"] if self.delay_ms else []
        return f"{self.kind}:" + ",".join(given)

    @property
    def nodes(self) -> tuple[int, ...]:
        """All that it names."""
        return (self.node, *self.others) if self.node >= 0 else ()

    @property
    def has_clock(self) -> bool:
        """Does the time of day choose its instant, and no process of the job?"""
        return bool(self.every_s or self.after_s)

    def strikes(self, *, node: int, rank: int, superstep: int, phase: str) -> bool:
        """Is this its instant? `rank` NOBODY: at an agent; `node` too: at the orchestrator; an empty `phase`: a superstep begins.

        An orchestrator has no supersteps: the worker of rank 0 strikes for it.
        """
        if phase != self.phase or self.has_clock or self.kind == "flip" or (self.superstep >= 0 and superstep != self.superstep):
            return False
        if self.kind == "orchestrator":
            return node == NOBODY if self.phase else rank == 0
        return node in self.nodes if self.nodes else rank == self.rank

    def flips(self, *, rank: int, superstep: int) -> bool:
        """Is this its instant? The label of `superstep` is known to be committed where `rank` lives."""
        return self.kind == "flip" and rank == self.rank and superstep >= self.superstep


def orchestrator_instant(command: do.OrchestratorCommand, orchestrator: int) -> tuple[str, int]:
    """The phase, and the superstep or -1, of the instant after a command; an empty phase for most. `orchestrator`: 1 for the first."""
    match command:
        case do.Publish(event=CommittedEvent(superstep=superstep)):
            return "committing", superstep
        case do.TellAgent(message=msg.Accept()):
            return "accepting", -1
        case do.Propose(plan=plan) if plan.generation == 1:
            return "starting", -1
        case do.Propose() | do.Publish(event=ProposedEvent()):
            return "choosing", -1
        case do.Note():
            return "chosen", -1
        case do.TellAgent(message=msg.Seal()):
            return "sealing", -1
        case do.TellAgent(message=msg.Install(plan=plan)) if plan.generation > 1:
            return "installing", -1
        case do.TellAgent(message=msg.Amend()):
            return "installing", -1
        case do.TellAgent(message=msg.Assign()):
            return "assigning", -1
        case do.TellAgent(message=msg.Resume(generation=generation)) if generation > 1:
            return "resuming", -1
        case do.TellAgent(message=msg.Greet()) if orchestrator > 1:
            return "greeting", -1
        case _:
            return "", -1


def parse_fault(text: str, *, nodes: int, ranks: int) -> Fault:
    """Reads one fault of a job with so many nodes (spares included) and ranks. ConfigError says what is wrong, and the grammar."""
    kind, _, rest = text.partition(":")
    if kind not in _KEYS:
        raise ConfigError(f"--fault {text}: unknown fault {kind!r}; write one of {GRAMMAR}")
    values: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS[kind]:
            raise ConfigError(f"--fault {text}: {part!r} is not one of {', '.join(sorted(_KEYS[kind]))}; write one of {GRAMMAR}")
        values[key] = value
    node, others = _nodes(text, values)
    fault = Fault(
        kind=kind,
        node=node,
        others=others,
        rank=_number(text, values, "rank"),
        superstep=_number(text, values, "superstep"),
        phase=values.get("phase", ""),
        every_s=_seconds(text, values, "every"),
        after_s=_seconds(text, values, "after"),
        seed=max(_number(text, values, "seed"), 0),
        where=values.get("where", "snapshot" if kind == "flip" else ""),
        delay_ms=max(_number(text, values, "delay_ms"), 0),
    )
    _check(text, fault, nodes, ranks)
    return fault


def _number(text: str, values: dict[str, str], key: str) -> int:
    if key not in values:
        return -1
    if not values[key].isdecimal():
        raise ConfigError(f"--fault {text}: {key} must be a number that is not negative, not {values[key]!r}")
    return int(values[key])


def _nodes(text: str, values: dict[str, str]) -> tuple[int, tuple[int, ...]]:
    """The first, and the others; -1: none is named."""
    if "+" not in values.get("node", ""):
        return _number(text, values, "node"), ()
    first, *others = (_number(text, {"node": word}, "node") for word in values["node"].split("+"))
    return first, tuple(others)


def _seconds(text: str, values: dict[str, str], key: str) -> float:
    if key not in values:
        return 0.0
    try:
        seconds = float(values[key].removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--fault {text}: {key} must be a time such as 5s, not {values[key]!r}")
    return seconds


def _check(text: str, fault: Fault, nodes: int, ranks: int) -> None:
    if fault.phase and fault.phase not in PHASES:
        raise ConfigError(f"--fault {text}: unknown phase {fault.phase!r}; the phases are {', '.join(PHASES)}")
    if fault.where and fault.where not in WHERE:
        raise ConfigError(f"--fault {text}: where must be one of {', '.join(WHERE)}, not {fault.where!r}")
    if fault.phase and fault.phase not in _PHASES_OF[fault.kind]:
        raise ConfigError(f"--fault {text}: {fault.kind} has the phases {', '.join(_PHASES_OF[fault.kind])}, not {fault.phase}")
    if fault.others and (fault.kind != "kill" or len(set(fault.nodes)) < len(fault.nodes)):
        raise ConfigError(f"--fault {text}: only kill takes several nodes, each once, such as kill:node=2+5,superstep=35")
    if fault.has_clock:
        if fault.node >= 0 or fault.superstep >= 0 or fault.phase or fault.delay_ms:
            raise ConfigError(f"--fault {text}: every and after can be combined with seed only")
        return
    if fault.kind in ("process", "freeze"):
        raise ConfigError(f"--fault {text}: give the time after the start, such as {fault.kind}:after=1.2s,seed=7")
    what, count = ("node", nodes) if fault.kind in ("kill", "stop") else ("rank", ranks)
    target = 0 if fault.kind == "orchestrator" else max(fault.nodes, default=-1) if what == "node" else fault.rank
    if target < 0 or (fault.superstep < 0 and not fault.phase):
        raise ConfigError(f"--fault {text}: give the {what} and the superstep; write one of {GRAMMAR}")
    if target >= count:
        raise ConfigError(f"--fault {text}: {what} {target} does not exist; this job has {what}s 0 to {count - 1}")
