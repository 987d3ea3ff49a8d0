"""A message in transit at a commit is never overlooked, and its channel is named."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from perdure.core.channel_sums import CELLS, Sums, Transit, crossing, in_transit, of_rank, total

SIZES = st.integers(1, 200)
Messages = Counter[tuple[int, int]]


def sums_of(size: int, sent: Messages, received: Messages) -> list[Sums]:
    """Of every rank; both have the number of messages by (sender, receiver)."""
    return [
        of_rank(
            rank, size,
            {receiver: count for (sender, receiver), count in sent.items() if sender == rank},
            {sender: count for (sender, receiver), count in received.items() if receiver == rank},
        )
        for rank in range(size)
    ]  # fmt: skip


@st.composite
def traffic(draw: st.DrawFn) -> tuple[int, Messages]:
    size = draw(SIZES)
    ranks = st.integers(0, size - 1)
    return size, Counter(draw(st.dictionaries(st.tuples(ranks, ranks), st.integers(1, 10**12), max_size=30)))


@given(traffic())
def test_nothing_is_in_transit_where_all_was_received(case: tuple[int, Messages]) -> None:
    size, sent = case
    assert in_transit(total(sums_of(size, sent, sent)), size) == ""


@given(traffic(), st.data())
def test_the_channel_of_messages_in_transit_is_named(case: tuple[int, Messages], data: st.DataObject) -> None:
    size, received = case
    ranks = st.integers(0, size - 1)
    sender, receiver, count = data.draw(ranks), data.draw(ranks), data.draw(st.integers(1, 1000))
    sent = received + Counter({(sender, receiver): count})
    words = in_transit(total(sums_of(size, sent, received)), size)
    assert words == f"messages are in transit ({count} from rank {sender} to rank {receiver})"


@given(traffic(), traffic())
def test_many_channels_are_never_taken_for_none(one: tuple[int, Messages], other: tuple[int, Messages]) -> None:
    size = max(one[0], other[0])
    sent, received = one[1] + other[1], one[1]
    assert bool(in_transit(total(sums_of(size, sent, received)), size)) == bool(other[1])


def test_a_message_that_is_missing_and_one_that_is_too_many_do_not_cancel() -> None:
    sent, received = Counter({(0, CELLS): 1}), Counter({(CELLS, 0): 1})
    assert "several channels" in in_transit(total(sums_of(2 * CELLS, sent, received)), 2 * CELLS)


def test_an_unfinished_operation_is_named_first() -> None:
    assert crossing([Transit(), Transit(unfinished="rank 1 has a receive under way")], 2) == "rank 1 has a receive under way"
