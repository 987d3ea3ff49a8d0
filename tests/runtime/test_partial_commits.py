"""Commits that take over what has not changed (rule C4'): each parity byte is that of a whole encode, and no other byte is sent."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from perdure.adapters.change_detection import Memo, copy_changed, stretches
from perdure.adapters.tracking import Flags, Tracker
from perdure.core import changes
from perdure.core.ids import Label
from perdure.core.messages import Chunks
from perdure.core.snapshot_index import BLOCK_BYTES, SnapshotIndex, replicated_start
from perdure.runtime import exchange, links, tasks, vault_client
from perdure.runtime.dirty_pages import DirtyPages
from perdure.runtime.vault_protocol import CONFIRM, MAP, REQUEST, LinkDown, request
from perdure.streams import GivenUp, Stream, connect
from perdure.streams.pairs import pair
from tests.runtime.cluster import Cluster, cluster
from tests.runtime.test_dirty_pages import can_watch
from tests.runtime.test_exchange import BOTH_WAYS, Bytes, check_parity, check_slot, rebuild

CODES = [(2, 1), (4, 1), (4, 2), (5, 3)]


@pytest.fixture(autouse=True)
def some_by_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that both ways of handing parity over are met here."""
    for module in (exchange, tasks):
        monkeypatch.setattr(module, "RING_FROM_BYTES", 3 * BLOCK_BYTES)


def states_of(n: int) -> list[Bytes]:
    """The coded regions of n ranks, of unlike lengths; a chunk is some blocks long, and not a multiple of one."""
    rng = np.random.default_rng(n)
    return [rng.integers(0, 256, (n - 1) * (5 * BLOCK_BYTES + 1_001) - 70_000 * rank, np.uint8) for rank in range(n)]


class Ranks:
    """The workers' part of commits: each copies into the slot what differs from the label before the last."""

    def __init__(self, group: Cluster, states: Sequence[Bytes], trackers: Sequence[Tracker] = ()) -> None:
        self.group, self.states, self.trackers = group, list(states), trackers
        self.offers: dict[Label, tuple[SnapshotIndex, ...]] = {}
        self.memos = [Memo() for _ in states]

    def commit(self, step: int, not_compared: Sequence[int] = ()) -> Label:
        """Slot and parity of `step - 2` become those of `step`; ranks of `not_compared` name no label."""
        label, since = Label(1, step), Label(1, step - 2)
        self.candidates = [self._candidates(rank, label, None if rank in not_compared else since) for rank in range(len(self.states))]
        if since not in self.offers:
            offers = self.group.snap(label, self.states, step % 2)
        else:
            offers = tuple(self._copied(rank, label, since, compared=rank not in not_compared) for rank in range(len(self.states)))
        self.offers[label] = offers
        self.group.protect(label, offers)
        self.group.wait_stored(self.group.parity_keys(label))
        return label

    def _candidates(self, rank: int, label: Label, since: Label | None) -> Flags | None:
        state = self.states[rank]
        return self.trackers[rank].candidates("state", state, label, since, bytes(-(-len(state) // BLOCK_BYTES))) if self.trackers else None

    def _copied(self, rank: int, label: Label, since: Label, *, compared: bool) -> SnapshotIndex:
        vault, state, old = self.group.node(rank).vault, self.states[rank], self.offers[since][rank]
        vault.forget(rank, since)
        vault.bind(rank, label, label.superstep % 2, since if compared else None)
        slot = vault.slot(rank, label, replicated_start(len(state)) + old.replicated_bytes)
        blocks, flags = copy_changed(slot[: len(state)], state, old.items[0].blocks, self.memos[rank], "state", self.candidates[rank])
        items = (dataclasses.replace(old.items[0], blocks=blocks), old.items[1])
        changed = changes.joined(stretches(flags, 0, len(state))) if compared else ()
        offer = dataclasses.replace(old, items=items, since=since if compared else None, changed=changed)
        vault.expose(rank, label, offer)
        return offer

    def sent(self) -> int:
        """Bytes of chunks that all have sent so far."""
        return sum(node.links.sent.parity for node in self.group.nodes)

    def change(self, seed: int, count: int = 2) -> None:
        """Some bytes of each rank's state, one of them across a block's end."""
        rng = np.random.default_rng(seed)
        for state in self.states:
            for at in (*rng.integers(0, len(state), count), BLOCK_BYTES - 1, BLOCK_BYTES):
                state[at] ^= np.uint8(1 + seed)


@BOTH_WAYS
@pytest.mark.parametrize(("n", "m"), CODES)
def test_parity_is_that_of_a_whole_encode_and_only_changed_columns_are_sent(n: int, m: int, maps_peers: bool) -> None:
    with cluster(n, m, maps_peers=maps_peers) as group:
        ranks = Ranks(group, states_of(n))
        for step in range(6):
            before = ranks.sent()
            label = ranks.commit(step)
            check_parity(group, ranks.states, label)
            sent = ranks.sent() - before
            for rank in range(n):
                assert group.node(rank).vault.wrong_chunks(rank, label, group.geometry, parity=True) == Chunks()
            offers = ranks.offers[label]
            columns = [stop - start for stripe in range(n) for start, stop in changes.columns(group.geometry, stripe, offers, BLOCK_BYTES)]
            assert sent <= (n - 1) * sum(columns)
            if step > 1:
                assert sent > 0
            ranks.change(step)


@pytest.mark.skipif(not can_watch(), reason="this kernel does not tell which pages were written")
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(code=st.sampled_from([(3, 1), (4, 2)]), data=st.data())
def test_commits_that_read_only_what_was_written_have_the_parity_of_whole_ones(code: tuple[int, int], data: st.DataObject) -> None:
    n, m = code
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(cluster(n, m))
        trackers = [stack.enter_context(contextlib.closing(Tracker(DirtyPages()))) for _ in range(n)]
        ranks = Ranks(group, states_of(n), trackers)
        for step in range(7):
            label = ranks.commit(step, not_compared=data.draw(st.sampled_from([(), (), (), (n - 1,)])) if step > 2 else ())
            check_parity(group, ranks.states, label)
            for rank in range(n):
                check_slot(group, rank, ranks.states[rank], label)
            if step > 2:
                assert any(found is not None for found in ranks.candidates), "else nothing is shown here"
            for state in ranks.states:
                for place in data.draw(st.lists(st.floats(0, 1, exclude_max=True), max_size=2)):
                    start = int(place * len(state))
                    state[start : start + 5_000] += np.uint8(1)


def test_a_commit_in_which_nothing_has_changed_sends_nothing() -> None:
    with cluster(4, 2) as group:
        ranks = Ranks(group, states_of(4))
        ranks.commit(0)
        ranks.commit(1)
        before = ranks.sent()
        label = ranks.commit(2)
        assert ranks.sent() == before
        check_parity(group, ranks.states, label)


def test_a_stripe_is_encoded_whole_if_one_rank_has_not_compared() -> None:
    with cluster(3, 1) as group:
        ranks = Ranks(group, states_of(3))
        ranks.commit(0)
        ranks.commit(1)
        whole = ranks.sent() // 2
        before = ranks.sent()
        ranks.change(1)
        label = ranks.commit(2, not_compared=[1])
        assert ranks.sent() - before == whole
        check_parity(group, ranks.states, label)


@pytest.mark.parametrize("lost", [(0,), (3,), (1, 2)])
def test_what_is_rebuilt_from_parity_that_was_taken_over_is_right(lost: tuple[int, ...]) -> None:
    with cluster(4, 2, spares=len(lost)) as group:
        ranks = Ranks(group, states_of(4))
        for step in range(4):
            label = ranks.commit(step)
            ranks.change(step)
        ranks.change(9)
        label = ranks.commit(4)
        for rank in range(4):
            group.node(rank).vault.forget(rank, Label(1, 3))
        rebuild(group, lost, label)
        for rank in lost:
            check_slot(group, rank, ranks.states[rank], label)
        check_parity(group, ranks.states, label)


def test_a_bit_of_parity_that_changed_before_it_was_taken_over_is_found() -> None:
    """Its block keeps the digest that it had: what is wrong is not made right by being taken over."""
    with cluster(3, 1) as group:
        ranks = Ranks(group, states_of(3))
        first = ranks.commit(0)
        ranks.commit(1)
        held = group.node(1).vault.held(1, first)
        assert held.parity is not None
        held.parity[3 * BLOCK_BYTES + 5] ^= 1
        label = ranks.commit(2)
        assert group.node(1).vault.wrong_chunks(1, label, group.geometry, parity=True) == Chunks(parity=1)


@BOTH_WAYS
def test_links_are_dialled_once_a_generation(maps_peers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dial costs more than a commit of which little has changed."""
    dialled: list[str] = []

    def noted(address: str, given_up: GivenUp) -> Stream:
        dialled.append(address)
        return connect(address, given_up)

    monkeypatch.setattr(links, "connect", noted)
    with cluster(4, 2, maps_peers=maps_peers) as group:
        ranks = Ranks(group, states_of(4))
        ranks.commit(0)
        for node in group.nodes:
            node.links.wait_quiet(group.plan.generation)
        count = len(dialled)
        assert count == 4 * (2 + 1), "of each stripe two data chunks that lie elsewhere or one's own, and a parity chunk"
        for step in (1, 2, 3):
            ranks.change(step)
            label = ranks.commit(step)
            check_parity(group, ranks.states, label)
            for node in group.nodes:
                node.links.wait_quiet(group.plan.generation)
        assert len(dialled) == count


def test_a_file_is_asked_for_once_a_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where its label's predecessor lay is read without a word to its holder; in the next generation it may lie elsewhere."""
    asked: list[int] = []

    def noted(stream: Stream, verb: int, label: Label, rank: int, *more: int) -> None:
        asked.append(verb)
        request(stream, verb, label, rank, *more)

    monkeypatch.setattr(vault_client, "request", noted)
    with cluster(4, 1) as group:
        ranks = Ranks(group, states_of(4))
        for step in range(6):
            label = ranks.commit(step)
            check_parity(group, ranks.states, label)
            ranks.change(step)
            assert asked.count(MAP) == 4 * 3 * min(step + 1, 2), "of each stripe three chunks that lie elsewhere, in two files"
        assert CONFIRM not in asked
        held = group.node(1).links.peer_maps
        assert held is not None
        later = Label(2, 9)
        with contextlib.ExitStack() as streams:
            ours, theirs = (streams.enter_context(contextlib.closing(end)) for end in pair())
            held.asked(ours, later, (2, group.plan.agent_of(2)), 0, 1, known=label)
            assert len(theirs.receive_bytes(1000)) == REQUEST.size


def test_a_link_that_is_kept_ends_with_its_generation() -> None:
    with cluster(3, 1) as group:
        ranks = Ranks(group, states_of(3))
        ranks.commit(0)
        for node in group.nodes:
            node.links.wait_quiet(1)
            node.links.shut(1)
        for node in group.nodes:
            node.links.wait_quiet(1)
            assert not node.links._streams
            with pytest.raises(LinkDown, match="over"):
                node.links.dial(group.address_of(0), 1)
