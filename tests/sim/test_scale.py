"""The work of one failure grows with the parity group, not with the job, wherever that is so today; the rest is told as it is."""

from __future__ import annotations

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
    assert cost.bystander_bytes <= 512


def test_the_orchestrator_tells_and_hears_each_node_a_fixed_number_of_times() -> None:
    """Or a failure would cost the square of the job."""
    small, large = (measure(ranks, lambda message: 0) for ranks in (64, 512))
    assert large.told / large.ranks <= 1.1 * small.told / small.ranks
    assert large.heard / large.ranks <= 1.1 * small.heard / small.ranks
