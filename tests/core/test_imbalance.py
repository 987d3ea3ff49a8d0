"""What uneven states cost is told: with numbers that are right, and only where it is worth it."""

from __future__ import annotations

import pytest

from perdure.core.imbalance import imbalance_of
from perdure.core.layout import COPIES, Geometry

MIB = 1 << 20


@pytest.mark.parametrize("m", [1, 2, 3])
def test_one_large_state_is_spread_over_its_group(m: int) -> None:
    """The parity that there is stays near to the least with which m members can be given back: the m largest states."""
    sizes = [64 * MIB, *[MIB] * 7]
    found = imbalance_of([range(8)], m, sizes)
    assert found is not None
    assert (found.rank, found.largest_bytes, found.others_bytes) == (0, 64 * MIB, MIB)
    assert found.parity_bytes == COPIES * 8 * m * Geometry(8, m).chunk_bytes(sizes)
    even = COPIES * m * 8 * -(-71 * MIB // 8 // (8 - m))
    assert found.waste_bytes == pytest.approx(found.parity_bytes - even, abs=COPIES * m * 8)
    assert found.parity_bytes < 1.7 * COPIES * m * 64 * MIB


@pytest.mark.parametrize(
    "sizes",
    [[64 * MIB] * 4, [64 * MIB, 64 * MIB, 64 * MIB, 50 * MIB], [4000, 1, 1, 1], [0, 0, 0, 0]],
    ids=["even", "nearly", "tiny", "none"],
)
def test_what_is_not_worth_it_is_not_told(sizes: list[int]) -> None:
    assert imbalance_of([(0, 1), (2, 3)], 1, sizes) is None


def test_without_parity_there_is_no_waste() -> None:
    assert imbalance_of([(0,), (1,)], 0, [64 * MIB, 0]) is None


def test_the_group_that_wastes_most_is_named_and_all_are_counted() -> None:
    found = imbalance_of([(0, 2), (1, 3)], 1, [8 * MIB, 20 * MIB, 0, 1 * MIB])
    assert found is not None
    assert (found.rank, found.others_bytes) == (1, MIB)
    assert found.parity_bytes == COPIES * (2 * 8 + 2 * 20) * MIB
    assert found.waste_bytes == found.parity_bytes - COPIES * (2 * 4 * MIB + 21 * MIB)
