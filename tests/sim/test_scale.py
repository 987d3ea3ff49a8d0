"""The work of one failure grows with the parity group and the fan-out of the tree, not with the job."""

from __future__ import annotations

import pytest

from perdure.sim.scale import measure
from perdure.wire import encode


def test_what_is_rebuilt_watched_and_said_to_stop_does_not_grow_with_the_job() -> None:
    small, large = (measure(ranks, lambda message: len(encode(message))) for ranks in (64, 512))
    for what in ("stripes", "restores", "chunks", "watched"):
        assert getattr(small, what) == getattr(large, what), what
    assert small.stripes == 8
    assert small.restores == 1


def test_what_is_said_to_a_node_does_not_grow_with_the_job() -> None:
    """Plans and addresses travel as differences, but to the replacement, which has nothing that they could differ from."""
    cost = measure(2048, lambda message: len(encode(message)))
    assert cost.member_bytes <= 1024
    assert cost.bystander_bytes <= 640


def test_the_orchestrator_tells_and_hears_as_much_in_a_large_job_as_in_a_very_large_one() -> None:
    """The group and the fan-out of the tree: at the 100,000 ranks of the issue these are the same numbers."""
    large, larger = (measure(ranks, lambda message: 0) for ranks in (2048, 8192))
    assert (larger.told, larger.heard) == (large.told, large.heard)
    assert larger.told < 200
    assert large.words_per_s == pytest.approx(larger.words_per_s, rel=0.1)
    assert larger.words_per_s <= 40, "in an undisturbed job"


def test_where_there_are_few_nodes_each_is_spoken_to() -> None:
    """A tree costs a hop in latency, and a small job has nothing to gain from it."""
    cost = measure(64, lambda message: 0)
    assert cost.told >= 3 * 63
    assert cost.words_per_s == pytest.approx(64 * 5, rel=0.15)
