"""The scrub and its repairs between vaults: what is stored is right whatever it was decoded from, and right bytes are not touched."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.agent.scrub import repair_tasks
from perdure.core.ids import Label
from perdure.core.messages import Chunks
from perdure.core.records import replace
from perdure.core.snapshot_index import BLOCK_BYTES
from perdure.runtime.scrub import LEAD_BYTES, Scrubber, flip, repair
from perdure.runtime.tasks import Task
from tests.runtime.cluster import DEADLINE_S, Cluster, cluster

X = Label(1, 0)
STATES = [np.random.default_rng(rank).integers(0, 256, 2 * BLOCK_BYTES + 777 * rank + 13, np.uint8) for rank in range(4)]
COMMON = np.arange(1_000, dtype=np.uint8)
FAST = 1 << 40


@pytest.fixture(params=[True, False], ids=["maps", "streams"])
def group(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Four ranks with two parity chunks, and a label that is committed."""
    with cluster(4, 2, maps_peers=request.param) as made:
        made.protect(X, made.snap(X, STATES, replicated=COMMON))
        made.wait_stored(made.parity_keys(X))
        yield made


def scrubbed(group: Cluster, rank: int, bytes_per_s: int = FAST) -> Chunks:
    """What a read of all that a rank holds finds."""
    found: list[ev.AgentEvent] = []
    scrubber = Scrubber(found.append)
    assert scrubber.order(X.generation, do.Scrub(rank=rank, label=X, bytes_per_s=bytes_per_s))
    _run(group, rank, scrubber.work, found)
    (event,) = found
    assert isinstance(event, ev.Scrubbed)
    return event.wrong


def repaired(group: Cluster, rank: int, wrong: Chunks, attempt: int = 0) -> Chunks:
    """What is wrong after an attempt to repair it."""
    found: list[ev.AgentEvent] = []
    source = (rank + 1 + attempt) % 4 if wrong.replicated else -1
    command = do.Repair(rank=rank, label=X, tasks=repair_tasks(group.plan, rank, X, wrong, attempt), replicated_from_rank=source)
    _run(group, rank, lambda task: repair(task, command, found.append), found)
    (event,) = found
    assert isinstance(event, ev.Repaired)
    return event.wrong


def _run(group: Cluster, rank: int, work: object, found: list[ev.AgentEvent]) -> None:
    group.node(rank).run(work)
    deadline = time.monotonic() + DEADLINE_S
    while not found and time.monotonic() < deadline:
        assert not group.node(rank).failures
        group.node(rank).links.rest(1, 0.01)
    assert found, "no answer"


@pytest.mark.parametrize("where", ["snapshot", "parity", "replicated"])
@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_is_found_and_mended(group: Cluster, where: str, seed: int) -> None:
    vault = group.node(1).vault
    assert not scrubbed(group, 1)
    flip(vault, 1, X, group.geometry, where, seed)
    wrong = scrubbed(group, 1)
    assert {what for what, _ in wrong.named()} == {"data" if where == "snapshot" else where}
    assert not repaired(group, 1, wrong)
    assert (vault.slot(1, X)[: len(STATES[1])] == STATES[1]).all()
    assert (vault.replicated_view(1, X) == COMMON).all()
    assert not scrubbed(group, 1)


def test_what_was_decoded_from_wrong_bytes_is_not_stored_and_other_sources_are(group: Cluster) -> None:
    """All of another member's snapshot has changed too: of three attempts some leave it out."""
    vault, other = group.node(1).vault, group.node(2).vault
    vault.slot(1, X)[5] ^= 4
    before = vault.slot(1, X).copy()
    other.slot(2, X)[: len(STATES[2])] ^= 255
    held = other.held(2, X)
    assert held.parity is not None
    held.parity ^= 255
    wrong = scrubbed(group, 1)
    attempts = [bool(repaired(group, 1, wrong, attempt)) for attempt in range(3)]
    assert attempts[-1] is False, "the last attempt has found nothing wrong any more"
    now = vault.slot(1, X)[: len(STATES[1])]
    assert (now == STATES[1]).all()
    assert int((before[: len(now)] != now).sum()) == 1, "a byte that was right was written with another"


def test_without_right_sources_nothing_is_stored(group: Cluster) -> None:
    vault = group.node(1).vault
    vault.slot(1, X)[5] ^= 4
    before = vault.slot(1, X).copy()
    for rank in (0, 2, 3):
        group.node(rank).vault.slot(rank, X)[: len(STATES[rank])] ^= 255
        held = group.node(rank).vault.held(rank, X)
        assert held.parity is not None
        held.parity ^= 170
    wrong = scrubbed(group, 1)
    assert [repaired(group, 1, wrong, attempt) for attempt in range(3)] == [wrong] * 3
    assert (vault.slot(1, X) == before).all()


def test_the_rate_is_bounded(group: Cluster) -> None:
    """A lower bound only: nothing is asserted about how fast it can be."""
    started = time.monotonic()
    scrubbed(group, 1, bytes_per_s=4 << 20)
    nbytes = len(STATES[1]) + 2 * group.node(1).vault.held(1, X).chunk
    assert time.monotonic() - started >= nbytes / (4 << 20)


def test_a_label_that_is_given_up_meanwhile_is_not_judged(group: Cluster) -> None:
    """Its memory is another label's by then, and digests would say that everything is wrong."""
    found: list[ev.AgentEvent] = []
    node, scrubber = group.node(1), Scrubber(found.append)
    scrubber.order(X.generation, do.Scrub(rank=1, label=X, bytes_per_s=1 << 20))
    node.run(scrubber.work)
    node.vault.forget(1, X)
    node.vault.bind(1, dataclasses.replace(X, superstep=1), 0)
    node.links.shut(1)
    node.links.wait_quiet(1)
    assert found == []


def test_an_order_that_is_replaced_needs_no_other_thread(group: Cluster) -> None:
    """A label is held until its slot is needed, which may be long after the next label's scrub has begun: threads would pile up."""
    found: list[ev.AgentEvent] = []
    node, scrubber = group.node(1), Scrubber(found.append)
    slow = do.Scrub(rank=1, label=X, bytes_per_s=4 * LEAD_BYTES)
    assert scrubber.order(X.generation, slow)
    node.run(scrubber.work)
    flip(node.vault, 1, X, group.geometry, "snapshot", 1)
    assert not any([scrubber.order(X.generation, replace(slow, bytes_per_s=rate)) for rate in (1 << 20, FAST)])
    deadline = time.monotonic() + DEADLINE_S
    while not found and time.monotonic() < deadline:
        node.links.rest(1, 0.01)
    (event,) = found
    assert isinstance(event, ev.Scrubbed)
    assert event.wrong


def test_the_next_generation_has_a_thread_of_its_own(group: Cluster) -> None:
    """The one before may still rest: its links are shut, and what is ordered now is not for it."""
    found: list[ev.AgentEvent] = []
    node, scrubber = group.node(1), Scrubber(found.append)
    ended = threading.Event()

    def work(task: Task) -> None:
        try:
            scrubber.work(task)
        finally:
            ended.set()

    assert scrubber.order(X.generation, do.Scrub(rank=1, label=X, bytes_per_s=1))
    node.run(work)
    assert scrubber.order(X.generation + 1, do.Scrub(rank=1, label=X, bytes_per_s=FAST))
    node.links.shut(X.generation)
    assert ended.wait(DEADLINE_S), "it rests for a week, as its rate says"
    assert not scrubber.order(X.generation + 1, do.Scrub(rank=1, label=X, bytes_per_s=FAST)), "the newer one's thread is not it"
    assert found == []
