"""How far are many ranks, told as one? Sums of `Progress`, and what they say about a deadlock (rule W4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from perdure.core.messages import Progress

AT_THE_END: Final = "the end of main"
"""What a worker calls the wait for the last commit."""
OUTPUT: Final = "print"
"""What a worker calls the wait for a reader of its output: it is not hung, and other ranks that wait for it are in no deadlock."""
CALLS_MAX: Final = 16
"""How many calls are named in one word. Arbitrary: enough to see a pattern, and all of a usual node."""


def of_rank(generation: int, rank: int, superstep: int, count: int, frames: int, inside_s: float, call: str) -> Progress:
    """Of one rank; `call` is empty in user code."""
    call = "" if call == OUTPUT else call
    in_comm = call.startswith("comm.")
    return Progress(
        generation=generation,
        ranks=1,
        superstep=superstep,
        count=count,
        frames=frames,
        inside_s=inside_s if call else -1.0,
        in_comm=int(in_comm),
        elsewhere=int(bool(call) and not in_comm and call != AT_THE_END),
        calls=((rank, call),) if call else (),
    )


def total(parts: Iterable[Progress]) -> Progress:
    """Of disjoint ranks of one generation, at least one."""
    known = list(parts)
    superstep, count = max((part.superstep, part.count) for part in known)
    return Progress(
        generation=known[0].generation,
        ranks=sum(part.ranks for part in known),
        superstep=superstep,
        count=count,
        frames=sum(part.frames for part in known),
        inside_s=min(part.inside_s for part in known),
        in_comm=sum(part.in_comm for part in known),
        elsewhere=sum(part.elsewhere for part in known),
        calls=tuple(sorted(call for part in known for call in part.calls)[:CALLS_MAX]),
    )
