"""The group size that is chosen by memory and failure rate, and what it says of itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.sizing import NEAR, RISK_MAX, Circumstances, Sizing, chance_of_too_many, choose_group_size, memory_factor

GB = 10**9
DAY_S = 86_400.0


def job(**given: Any) -> Circumstances:
    """64 ranks of 1 GB on nodes of 8 GB, which fail once in 100 days."""
    usual = {
        "ranks": 64, "ranks_per_node": 1, "parity": 1, "fullest": (1,), "state_bytes": GB, "node_bytes": 8 * GB,
        "node_failure_every_s": 100 * DAY_S, "silence_s": 3.0,
    }  # fmt: skip
    return Circumstances(**{**usual, **given})


def size_of(**given: Any) -> Sizing:
    choice = choose_group_size(job(**given))
    assert choice is not None
    return choice


@given(st.integers(2, 9), st.integers(1, 3), st.floats(0.01, 100.0))
def test_the_chance_is_that_of_all_ways_to_lose_too_many(n: int, m: int, window_s: float) -> None:
    """Summed over every set of other members that may be lost."""
    lost = 1 - 2.718281828459045 ** (-window_s / 50.0)
    ways = sum(
        lost ** sum(which) * (1 - lost) ** (n - 1 - sum(which)) for which in itertools.product((0, 1), repeat=n - 1) if sum(which) >= m
    )
    assert chance_of_too_many(n, m, window_s, 50.0) == pytest.approx(ways, rel=1e-9, abs=1e-12)


def test_with_memory_and_rare_failures_it_is_near_the_least_memory() -> None:
    choice = size_of()
    assert choice.fits
    assert memory_factor(choice.size, 1) <= NEAR * memory_factor(32, 1)
    assert 8 <= choice.size < 16
    assert choice.reason.startswith("13 ranks per group: memory 3.18 times the state; with 100 days between a node's failures")
    assert "a state of 1 GB, rebuilt in 5 s, a loss exceeds parity 1 with probability" in choice.reason
    assert "larger groups save little memory" in choice.reason


def test_where_nodes_fail_often_groups_are_small() -> None:
    often = size_of(node_failure_every_s=DAY_S / 6)
    assert often.size < size_of().size
    assert f"or more it is above {RISK_MAX:g}" in often.reason
    assert size_of(node_failure_every_s=DAY_S / 6, parity=2).size > often.size


def test_where_memory_is_short_groups_are_large_and_it_is_said() -> None:
    short = size_of(node_bytes=int(3.1 * GB))
    assert short.fits
    assert short.size >= 21
    assert "smaller groups do not fit into 3.1 GB per node" in short.reason
    none = size_of(node_bytes=3 * GB)
    assert not none.fits
    assert "no group size fits into 3 GB per node" in none.reason


def test_memory_comes_before_risk_and_it_is_said() -> None:
    choice = size_of(node_bytes=int(3.1 * GB), node_failure_every_s=DAY_S / 60)
    assert "no size that fits has a probability of 0.001 or less: use more parity" in choice.reason


def test_failure_domains_come_first() -> None:
    """Sixteen ranks in each of four racks: sixteen groups of four are needed for a parity of one."""
    assert size_of(fullest=(16, 1)).size == 4


def test_an_unknown_state_is_taken_to_fill_the_node() -> None:
    assert "a state that fills the node" in size_of(state_bytes=None).reason
    assert size_of(state_bytes=None).fits


@pytest.mark.parametrize("given", [{"parity": 0}, {"ranks": 2, "parity": 2}])
def test_where_there_is_nothing_to_choose_there_is_no_choice(given: dict[str, Any]) -> None:
    assert choose_group_size(job(**given)) is None


@given(st.integers(2, 200), st.integers(1, 3), st.integers(1, 4), st.floats(3600.0, 1e8))
def test_every_choice_is_a_size_that_can_be(ranks: int, parity: int, per_node: int, failure_s: float) -> None:
    choice = choose_group_size(job(ranks=ranks, parity=parity, ranks_per_node=per_node, node_failure_every_s=failure_s))
    if choice is None:
        assert ranks <= parity
        return
    count = -(-ranks // choice.size)
    assert ranks // count > parity
    assert -(-ranks // count) - parity <= 32
    assert "\n" not in choice.reason
