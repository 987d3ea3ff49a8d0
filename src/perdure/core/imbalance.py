"""How much of the parity is there only because the states of a group differ in size?

A chunk is as long as the largest state of the group divided by d, and every member holds m of them in each set. So one large state is
spread over its whole group, which is as balanced as it can be: to give back any m members, parity must be as long as the m largest states.
What it takes more than the same bytes spread evenly over the ranks would take is worth knowing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perdure.core.layout import COPIES, Geometry

WORTH_SHARE, WORTH_BYTES = 1 / 4, 1 << 20
"""Of the parity; and at all. What is less is not told. Arbitrary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imbalance:
    """The parity of a job whose states differ in size, with the rank that costs most.

    Attributes:
        rank: the rank with the largest state in the group that wastes most.
        largest_bytes: the size of its state.
        others_bytes: the mean size of the states of the other ranks of its group.
        parity_bytes: the parity of all groups, both sets.
        waste_bytes: what of `parity_bytes` would not be there if the states of each group had one size.
    """

    rank: int
    largest_bytes: int
    others_bytes: int
    parity_bytes: int
    waste_bytes: int


def imbalance_of(groups: Sequence[Sequence[int]], m: int, state_bytes: Sequence[int]) -> Imbalance | None:
    """`state_bytes`: by rank. None: nothing worth telling."""
    parity = waste = most = 0
    worst: Sequence[int] = ()
    for group in groups:
        geometry, sizes = Geometry(len(group), m), [state_bytes[rank] for rank in group]
        held = COPIES * geometry.n * m * geometry.chunk_bytes(sizes)
        more = held - COPIES * geometry.n * m * geometry.chunk_bytes([-(-sum(sizes) // geometry.n)])
        parity, waste = parity + held, waste + more
        if more > most:
            most, worst = more, group
    if waste < max(WORTH_BYTES, WORTH_SHARE * parity):
        return None
    rank = max(worst, key=lambda one: state_bytes[one])
    largest = state_bytes[rank]
    return Imbalance(
        rank=rank, largest_bytes=largest, others_bytes=(sum(state_bytes[one] for one in worst) - largest) // (len(worst) - 1),
        parity_bytes=parity, waste_bytes=waste,
    )  # fmt: skip
