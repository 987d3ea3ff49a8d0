"""Faults that a test or an operator asks for, as text: what is to happen, to whom, and when.

    kill:node=2,superstep=35        SIGKILL to all processes of a node when a rank of it reaches that superstep
    crash:rank=1,superstep=20       SIGKILL to one worker
    stop:node=0,superstep=12        SIGSTOP to all processes of a node: silent, but not gone
    hang:rank=3,superstep=9         the rank computes for ever
    kill:every=5s,seed=7            a node chosen by the seed, again and again
    orchestrator:superstep=30       SIGKILL to the orchestrator
    flip:rank=1,superstep=9,where=parity    a bit in memory changes, in what that rank keeps of the first commit from that superstep on:
                                    of its `snapshot`, its `parity` or its `replicated` items; `seed=` chooses the bit

`phase=` in place of the superstep, or beside it, names the instant inside a commit or a recovery (see `PHASES`); `kill`, `stop` and
`crash` take it. Each fault happens once, however often its superstep is computed; `every` goes on until the job ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from perdure.errors import ConfigError

PHASES: Final = ("copying", "encoding", "prepared", "sealed", "rebuilding", "entering")
"""A rank copies its state; its agent encodes; a rank's label was prepared; a node stopped for a new generation; a node decodes; `main`
is about to be entered again."""
WHERE: Final = ("snapshot", "parity", "replicated")
"""What of a rank's memory a flipped bit is in."""
_KEYS: Final = {
    "kill": {"node", "superstep", "phase", "every", "seed"},
    "stop": {"node", "superstep", "phase"},
    "crash": {"rank", "superstep", "phase"},
    "hang": {"rank", "superstep"},
    "orchestrator": {"superstep"},
    "flip": {"rank", "superstep", "where", "seed"},
}
GRAMMAR: Final = "kill:node=N,superstep=S | crash:rank=R,superstep=S | stop:node=N,superstep=S | hang:rank=R,superstep=S | " + (
    "kill:every=5s,seed=7 | orchestrator:superstep=S | flip:rank=R,superstep=S,where=snapshot|parity|replicated"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. -1, 0.0 and an empty phase mean: not given."""

    kind: str
    node: int = -1
    rank: int = -1
    superstep: int = -1
    phase: str = ""
    every_s: float = 0.0
    seed: int = 0
    where: str = ""

    def __str__(self) -> str:
        if self.every_s:
            return f"{self.kind}:every={self.every_s:g}s,seed={self.seed}"
        given = [f"{key}={value}" for key in ("node", "rank", "superstep") if (value := getattr(self, key)) >= 0]
        more = [f"{key}={value}" for key in ("phase", "where") if (value := getattr(self, key))]
        return f"{self.kind}:" + ",".join([*given, *more])

    def strikes(self, *, node: int, rank: int, superstep: int, phase: str) -> bool:
        """Is this its instant? `rank` -1: at an agent; an empty `phase`: a superstep begins."""
        if phase != self.phase or self.every_s or self.kind == "flip" or (self.superstep >= 0 and superstep != self.superstep):
            return False
        if self.kind == "orchestrator":
            return rank >= 0
        return node == self.node if self.node >= 0 else rank == self.rank

    def flips(self, *, rank: int, superstep: int) -> bool:
        """Is this its instant? The label of `superstep` is known to be committed where `rank` lives."""
        return self.kind == "flip" and rank == self.rank and superstep >= self.superstep


def parse_fault(text: str, *, nodes: int, ranks: int) -> Fault:
    """Reads one fault of a job with so many nodes (spares included) and ranks. ConfigError says what is wrong, and the grammar."""
    kind, _, rest = text.partition(":")
    if kind not in _KEYS:
        raise ConfigError(f"--fault {text}: there is no fault {kind!r}; write one of {GRAMMAR}")
    values: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS[kind]:
            raise ConfigError(f"--fault {text}: {part!r} is none of {', '.join(sorted(_KEYS[kind]))}; write one of {GRAMMAR}")
        values[key] = value
    fault = Fault(
        kind=kind,
        node=_number(text, values, "node"),
        rank=_number(text, values, "rank"),
        superstep=_number(text, values, "superstep"),
        phase=values.get("phase", ""),
        every_s=_seconds(text, values.get("every")),
        seed=max(_number(text, values, "seed"), 0),
        where=values.get("where", "snapshot" if kind == "flip" else ""),
    )
    _check(text, fault, nodes, ranks)
    return fault


def _number(text: str, values: dict[str, str], key: str) -> int:
    if key not in values:
        return -1
    if not values[key].isdecimal():
        raise ConfigError(f"--fault {text}: {key} must be a number from 0 on, not {values[key]!r}")
    return int(values[key])


def _seconds(text: str, value: str | None) -> float:
    if value is None:
        return 0.0
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--fault {text}: every must be a time such as 5s, not {value!r}")
    return seconds


def _check(text: str, fault: Fault, nodes: int, ranks: int) -> None:
    if fault.phase and fault.phase not in PHASES:
        raise ConfigError(f"--fault {text}: there is no phase {fault.phase!r}; phases are {', '.join(PHASES)}")
    if fault.where and fault.where not in WHERE:
        raise ConfigError(f"--fault {text}: where is {', '.join(WHERE)}, not {fault.where!r}")
    if fault.kind == "crash" and fault.phase not in ("", "copying", "entering"):
        raise ConfigError(f"--fault {text}: a worker has the phases copying and entering only; use kill:node=N for the others")
    if fault.every_s:
        if fault.node >= 0 or fault.superstep >= 0 or fault.phase:
            raise ConfigError(f"--fault {text}: every goes with seed only")
        return
    what, count = ("node", nodes) if fault.kind in ("kill", "stop") else ("rank", ranks)
    target = 0 if fault.kind == "orchestrator" else fault.node if what == "node" else fault.rank
    if target < 0 or (fault.superstep < 0 and not fault.phase):
        raise ConfigError(f"--fault {text}: name the {what} and the superstep; write one of {GRAMMAR}")
    if target >= count:
        raise ConfigError(f"--fault {text}: there is no {what} {target}; this job has {what}s 0 to {count - 1}")
