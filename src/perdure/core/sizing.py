"""How many ranks share parity, when that is left to the runtime, and why.

Larger groups hold less parity: a rank takes S (1 + 2 + 2 m / (n - m)) bytes, its live items, two snapshots and two sets of parity chunks;
in tight mode one S less, if its live items lie in the vault.
Smaller ones are safer: a loss is more than the parity gives back if m of the n - 1 others are lost before it is rebuilt. Nodes are taken
to fail independently; what fails together is for `core.domains`, which comes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.core.layout import well_spread

RISK_MAX: Final = 1e-3
"""Of the losses, those that may be more than the parity gives back. Arbitrary: one in a thousand."""
NEAR: Final = 1.05
"""A larger group than one that takes at most this much more than the smallest memory is not worth its risk. Arbitrary."""
REBUILD_BYTES_PER_S: Final = 0.5e9
"""Of a lost rank's state; measured between four ranks on two cores: 0.6 GB/s."""
DATA_CHUNKS_MAX: Final = 32
"""For which the code is known to be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a group size is chosen for.

    Attributes:
        ranks_per_node: how many of them share a node's memory.
        fullest: the most ranks in one failure domain of each kind, the outermost first; the node last.
        state_bytes: the largest state of a rank; None: not known, so it is taken to fill its share of the node.
        node_bytes: memory of a node.
        node_failure_every_s: mean time between failures of one node.
        silence_s: until a loss is known at the latest.
        snapshots: beside the live items: 2, or 1 in tight mode.
    """

    ranks: int
    ranks_per_node: int
    parity: int
    fullest: Sequence[int]
    state_bytes: int | None
    node_bytes: int
    node_failure_every_s: float
    silence_s: float
    snapshots: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """A group size, and why, in a sentence. `fits`: what a node will hold fits its memory."""

    size: int
    reason: str
    fits: bool


def memory_factor(n: int, m: int, snapshots: int = 2) -> float:
    """What a rank takes in units of its state: 1 + snapshots + 2 m / (n - m)."""
    return 1 + snapshots + 2 * m / (n - m)


def chance_of_too_many(n: int, m: int, window_s: float, node_failure_every_s: float) -> float:
    """That m or more of the n - 1 others of a group are lost within the window after a first loss."""
    lost = -math.expm1(-window_s / node_failure_every_s)
    return sum(math.comb(n - 1, k) * lost**k * (1 - lost) ** (n - 1 - k) for k in range(m, n))


def choose_group_size(job: Circumstances) -> Sizing | None:
    """Of the sizes that spread the groups best over the failure domains: the least memory among those with a risk of at most `RISK_MAX`,
    and then the smallest that takes hardly more. None: there is no parity, or no size that the ranks can be split into."""
    sizes = {one.size: one for one in _candidates(job)} if job.parity else {}
    spread = [sizes[size] for size in well_spread(job.ranks, job.fullest, job.parity, list(sizes))]
    if not spread:
        return None
    fitting = [one for one in spread if one.fits] or spread[-1:]
    safe = [one for one in fitting if one.risk <= RISK_MAX] or fitting[:1]
    least = min(one.factor for one in safe)
    best = next(one for one in safe if one.factor <= NEAR * least)
    return Sizing(size=best.size, reason=_reason(job, best, spread, fitting, safe), fits=best.fits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """One size: `factor` of its smallest group, `risk` of its largest, as of `memory_factor` and `chance_of_too_many`."""

    size: int
    factor: float
    risk: float
    window_s: float
    fits: bool


def _candidates(job: Circumstances) -> list[_Candidate]:
    """By size; only sizes that groups then have."""
    found = []
    for count in range(job.ranks, 0, -1):
        smallest, largest = job.ranks // count, -(-job.ranks // count)
        if smallest <= job.parity or largest - job.parity > DATA_CHUNKS_MAX or -(-job.ranks // largest) != count:
            continue
        factor = memory_factor(smallest, job.parity, job.snapshots)
        state = job.state_bytes if job.state_bytes is not None else job.node_bytes / job.ranks_per_node / factor
        window_s = job.silence_s + state / REBUILD_BYTES_PER_S
        risk = chance_of_too_many(largest, job.parity, window_s, job.node_failure_every_s)
        fits = job.ranks_per_node * state * factor <= job.node_bytes * (1 + 1e-9)
        found.append(_Candidate(size=largest, factor=factor, risk=risk, window_s=window_s, fits=fits))
    return found


def _reason(job: Circumstances, best: _Candidate, spread: list[_Candidate], fitting: list[_Candidate], safe: list[_Candidate]) -> str:
    days = job.node_failure_every_s / 86_400
    odds = f"{best.risk:.2g}" if best.risk else "0"
    state = "a state that fills the node" if job.state_bytes is None else f"a state of {_size(job.state_bytes)}"
    why = [
        f"{best.size} ranks per group: memory {best.factor:.2f} times the state; with {days:.3g} days between a node's failures "
        f"and {state}, "
        f"rebuilt in {best.window_s:.3g} s, a loss exceeds parity {job.parity} with probability {odds}"
    ]
    if not best.fits:
        why.append(f"no group size fits into {_size(job.node_bytes)} per node: use more nodes, or less parity")
    elif len(fitting) < len(spread):
        why.append(f"smaller groups do not fit into {_size(job.node_bytes)} per node")
    if best.risk > RISK_MAX:
        why.append(f"no size that fits has a probability of {RISK_MAX:g} or less: use more parity")
    elif len(safe) < len(fitting):
        why.append(f"in groups of {min(one.size for one in fitting if one not in safe)} or more it is above {RISK_MAX:g}")
    elif best is not safe[-1]:
        why.append("larger groups save little memory")
    return "; ".join(why)


def _size(count: int) -> str:
    """Three digits, in powers of a thousand."""
    unit, size = next((one for one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= one[1]), ("B", 1.0))
    return f"{count / size:.3g} {unit}"
