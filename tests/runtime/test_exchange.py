"""Parity of a commit and chunks of a rebuild, moved between real data planes: over links, and in place on one machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from perdure.coding import Codec, kernels
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.agent import AgentState
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Chunks, RestoreSource
from perdure.core.settings import Settings
from perdure.runtime import exchange
from perdure.runtime.admission import DATA
from perdure.runtime.data_plane import DataPlane
from perdure.runtime.digests import joint, of_blocks
from perdure.runtime.injector import Injector
from perdure.runtime.links import Links
from perdure.runtime.rank_restore import restore
from perdure.runtime.rings import PLACES, RING_MAX_BYTES
from perdure.runtime.tasks import Task
from perdure.runtime.vault import Vault
from perdure.runtime.vault_client import ask_confirm, confirmed
from perdure.runtime.vault_protocol import FINISH, READ, RING, TAKE, TILE_BYTES, WRITE, YES, LinkDown, receive_into, request, send
from perdure.streams import Stream, connect, listen
from perdure.streams.addresses import tcp_address
from perdure.streams.pairs import pair
from tests.runtime.cluster import ADMISSION, DEADLINE_S, Cluster, cluster, holdings

Bytes = NDArray[np.uint8]
X = Label(1, 0)
CODES = [(2, 1), (3, 1), (4, 1), (4, 2), (5, 2), (5, 3)]
LENGTHS = ["equal", "odd", "ragged", "empty"]
BOTH_WAYS = pytest.mark.parametrize("maps_peers", [True, False], ids=["mapped", "links"])


@pytest.fixture(autouse=True)
def short_chunks_by_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that both ways of handing a chunk over are met here."""
    monkeypatch.setattr(exchange, "RING_FROM_BYTES", 5_000)


def states_of(n: int, kind: str) -> list[Bytes]:
    """The coded regions of n ranks."""
    rng = np.random.default_rng(n)
    longest = {"equal": 12_000, "odd": 10_007, "ragged": 2 * TILE_BYTES + 1_001, "empty": 0}[kind]
    lengths = [longest if kind != "ragged" else longest * (n - rank) // n - rank for rank in range(n)]
    if kind == "ragged":
        lengths[-1] = 0
    return [rng.integers(0, 256, length, np.uint8) for length in lengths]


def expected_parity(group: Cluster, states: Sequence[Bytes], stripe: int) -> list[Bytes]:
    geometry = group.geometry
    chunk = geometry.chunk_bytes([len(state) for state in states])
    sources = []
    for t in range(geometry.d):
        state = states[geometry.member(stripe, t)]
        sources.append(state[slice(*geometry.data_range(t, chunk, len(state)))])
    parities = [np.empty(chunk, np.uint8) for _ in range(geometry.m)]
    Codec(geometry.n, geometry.m).encode(sources, parities)
    return parities


def committed(group: Cluster, states: Sequence[Bytes], label: Label = X, index: int = 0) -> None:
    offers = group.snap(label, states, index)
    group.protect(label, offers)
    group.wait_stored(group.parity_keys(label))


def check_parity(group: Cluster, states: Sequence[Bytes], label: Label = X) -> None:
    geometry = group.geometry
    for stripe in range(geometry.n):
        for p, expected in enumerate(expected_parity(group, states, stripe)):
            holder = geometry.member(stripe, geometry.d + p)
            found = group.node(holder).vault.chunk_view(holder, label, geometry, geometry.d + p)
            np.testing.assert_array_equal(found, expected)


@BOTH_WAYS
@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize(("n", "m"), CODES)
def test_a_commit_leaves_the_right_parity_everywhere_and_sends_no_byte_too_many(n: int, m: int, kind: str, maps_peers: bool) -> None:
    """Each rank sends its data chunks once, and as a first parity holder m - 1 parity chunks: S (n-1)/(n-m) where sizes are equal. What
    is read in place is counted where it is read."""
    states = states_of(n, kind)
    with cluster(n, m, maps_peers=maps_peers) as group:
        committed(group, states)
        check_parity(group, states)
        chunk = group.geometry.chunk_bytes([len(state) for state in states])
        for rank, state in enumerate(states):
            sent = group.node(rank).links.sent
            assert maps_peers or sent.parity == len(state) + (m - 1) * chunk
            assert sent.rebuild == 0
            if kind == "equal" and len(state) % (n - m) == 0:
                assert sent.parity * (n - m) == len(state) * (n - 1)
        assert sum(group.node(rank).links.sent.parity for rank in range(n)) == sum(map(len, states)) + n * (m - 1) * chunk


@pytest.fixture
def helped() -> Iterator[None]:
    """Two helpers, on one core, so that they come late: tiles are three times as wide."""
    core = max(os.sched_getaffinity(0))
    kernels.warm(2)
    kernels.share((core, core))
    assert kernels.threads() == 3
    yield
    kernels.share(())
    assert kernels.threads() == 1


@BOTH_WAYS
@pytest.mark.usefixtures("helped")
def test_helpers_make_the_tiles_wider_and_the_bytes_no_other(maps_peers: bool) -> None:
    length = 7 * TILE_BYTES + 4_321
    states = [np.random.default_rng(rank).integers(0, 256, 2 * (length - 99 * rank), np.uint8) for rank in range(4)]
    with cluster(4, 2, maps_peers=maps_peers, spares=2) as group:
        committed(group, states)
        rebuild(group, (1, 3))
        for rank in (1, 3):
            check_slot(group, rank, states[rank])
        kernels.share(())
        check_parity(group, states)


@BOTH_WAYS
def test_commits_follow_one_another_in_two_slots(maps_peers: bool) -> None:
    """The memory of a slot is used again, and may have to grow; a mapping of it by a peer must follow."""
    with cluster(3, 1, maps_peers=maps_peers) as group:
        for step, length in enumerate([1_000, 50_000, 400_000, 30]):
            label, states = Label(1, step), [np.full(length + rank, step * 3 + rank, np.uint8) for rank in range(3)]
            committed(group, states, label, step % 2)
            check_parity(group, states, label)
            if step:
                for rank in range(3):
                    group.node(rank).vault.forget(rank, Label(1, step - 1))


@BOTH_WAYS
@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize(("n", "m"), [pytest.param(*code, marks=[pytest.mark.long] * (code == (5, 2))) for code in CODES])
def test_every_pattern_of_losses_is_rebuilt(n: int, m: int, kind: str, maps_peers: bool) -> None:
    states = states_of(n, kind)
    for count in range(1, m + 1):
        patterns = list(itertools.combinations(range(n), count))
        for lost in patterns if kind == "odd" else patterns[:1] + patterns[-1:]:
            with cluster(n, m, maps_peers=maps_peers, spares=count) as group:
                committed(group, states)
                rebuild(group, lost)
                for rank in lost:
                    check_slot(group, rank, states[rank])
                check_parity(group, states)


def rebuild(group: Cluster, lost: Sequence[int], label: Label = X) -> None:
    """What the core's commands do after a loss."""
    group.lose(lost, label)
    survivors = [rank for rank in range(group.geometry.n) if rank not in lost]
    for rank in lost:
        node = group.node(rank)
        node.vault.bind(rank, label, 0)
        source = RestoreSource(rank=rank, offers_from=survivors[0], replicated_from_rank=survivors[-1])
        command = do.Restore(rank=rank, label=label, index=0, source=source)

        def post(event: ev.AgentEvent, rank: int = rank, group: Cluster = group) -> None:
            if isinstance(event, ev.ReplicatedStored):
                group.node(rank)._note(rank, label, -1)

        node.run(lambda task, command=command, post=post: restore(task, command, post))
    for decoder, work in group.decode_tasks(label, lost):
        group.node(decoder).run(lambda task, work=work: exchange.decode(task, work))
    group.wait_stored({(rank, label, position) for rank in lost for position in range(-1, group.geometry.n)})


def check_slot(group: Cluster, rank: int, state: Bytes, label: Label = X) -> None:
    vault = group.node(rank).vault
    np.testing.assert_array_equal(vault.slot(rank, label)[: len(state)], state)
    np.testing.assert_array_equal(vault.replicated_view(rank, label), np.arange(5, dtype=np.uint8))
    assert vault.wrong_chunks(rank, label, group.geometry, parity=True) == Chunks()


@BOTH_WAYS
def test_a_rebuild_sends_what_the_design_says(maps_peers: bool) -> None:
    """Survivors together: for each of n stripes d - 1 chunks to the decoder and one to the new holder, and the replicated region."""
    n, m, length = 4, 1, 3 * 5_000
    states = [np.full(length, rank, np.uint8) for rank in range(n)]
    with cluster(n, m, maps_peers=maps_peers, spares=1) as group:
        committed(group, states)
        rebuild(group, [2])
        sent = sum(node.links.sent.rebuild for node in group.nodes)
        assert sent == n * (n - m) * 5_000 + 5


@BOTH_WAYS
def test_shut_wakes_work_that_waits_for_a_slow_member(maps_peers: bool) -> None:
    """One member never gets its offers, so all others wait for its chunks; `cluster` checks that no thread or socket is left."""
    states = states_of(4, "odd")
    with cluster(4, 2, maps_peers=maps_peers) as group:
        offers = group.snap(X, states)
        group.protect(X, offers, ranks=[0, 1, 2])
        for node in group.nodes:
            node.links.shut(1)
            node.links.wait_quiet(1)
        assert not any(node.failures for node in group.nodes)


def test_a_killed_peer_ends_the_work_that_reads_from_it() -> None:
    """A real process is killed while its chunks are asked for."""
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        theirs.receive_bytes(1)
        os.kill(os.getpid(), 9)
    theirs.close()
    request(ours, READ, X, 0, 0, 0, 100)
    with pytest.raises(LinkDown):
        receive_into(ours, memoryview(bytearray(100)))
    os.waitpid(pid, 0)
    ours.close()


@contextlib.contextmanager
def linked(group: Cluster, rank: int, generation: int) -> Iterator[Stream]:
    """A link as a peer would make it."""
    stream = connect(group.address_of(group.plan.agent_of(rank)))
    stream.set_timeout(DEADLINE_S)
    stream.send(ADMISSION.hello(DATA, generation))
    try:
        yield stream
    finally:
        stream.close()


def data_plane(group: Cluster, post: Callable[[ev.AgentEvent], None], stripe_of: int) -> DataPlane:
    """The data plane of one more agent, which stands for that of a rank."""
    state = AgentState(me=group.plan.agent_of(stripe_of), node=0, settings=Settings())
    state.take_up(group.plan)
    made = DataPlane(state, ADMISSION, Injector((), -1, -1, node=0), post)
    made.open(group.plan)
    return made


@pytest.mark.parametrize("is_over", [False, True], ids=["links-fail", "links-are-shut"])
def test_t8_an_encoder_whose_link_fails_reports_it_and_one_whose_links_are_shut_does_not(is_over: bool) -> None:
    posted: queue.SimpleQueue[ev.AgentEvent] = queue.SimpleQueue()
    with cluster(3, 1) as group:
        offers = group.snap(X, states_of(3, "odd"))
        plane = data_plane(group, posted.put, stripe_of=0)
        plane.vault.bind(0, X, 0)
        plane.execute(do.Protect(rank=0, label=X, member_offers=offers))  # it waits for the others' offers
        if is_over:
            plane.shut(1)
            assert posted.get(timeout=DEADLINE_S) == ev.LinksQuiet(generation=1)
        else:
            group.nodes[1].links.shut(1)
            assert posted.get(timeout=DEADLINE_S) == ev.LinkFailed(generation=1, rank=0, other=1, label=X)
            plane.shut(1)
            assert posted.get(timeout=DEADLINE_S) == ev.LinksQuiet(generation=1)
        assert posted.empty()
        plane.links.close()
        plane.vault.drop(0)


def test_a_chunk_that_was_changed_on_its_way_does_not_count() -> None:
    with cluster(3, 1) as group:
        offers = group.snap(X, states_of(3, "odd"))
        geometry = group.geometry
        node = group.node(0)
        node.vault.with_offers(0, X, offers, 0, geometry)
        length = len(node.vault.chunk_view(0, X, geometry, geometry.d))
        with linked(group, 0, 1) as stream:
            request(stream, WRITE, X, 0, geometry.d, 0, length)
            send(stream, bytes(length))
            request(stream, FINISH, X, 0, geometry.d, 0, 0, digest=joint(of_blocks(np.frombuffer(bytes(length - 1) + b"\1", np.uint8))))
            assert stream.receive_bytes(1) == b"", "the link of a wrong chunk stays"
        assert not node.stored
        assert not node.failures


@pytest.mark.parametrize(
    ("size", "number", "length"),
    [
        (PLACES * TILE_BYTES - 1, 0, 10),
        (0, 0, 10),
        (RING_MAX_BYTES + PLACES, 0, 10),
        (PLACES * TILE_BYTES, PLACES, 10),
        (PLACES * TILE_BYTES, 0, TILE_BYTES + 1),
    ],
)
def test_a_ring_of_another_measure_ends_the_link(size: int, number: int, length: int) -> None:
    with cluster(3, 1) as group:
        offers = group.snap(X, states_of(3, "odd"))
        geometry = group.geometry
        node = group.node(0)
        node.vault.with_offers(0, X, offers, 0, geometry)
        fd = os.memfd_create("test")
        os.ftruncate(fd, size)
        with linked(group, 0, 1) as stream:
            request(stream, RING, X, 0, geometry.d, 0, 0)
            stream.send_file(b"\0", fd)
            os.close(fd)
            with contextlib.suppress(LinkDown):  # it may have ended before it is written to
                request(stream, TAKE, X, 0, geometry.d, 0, length, digest=number)
            assert stream.receive_bytes(1) == b"", "the link stays"
        assert not node.failures


@pytest.mark.parametrize("generation", [0, 1])
def test_links_of_a_generation_that_is_over_are_refused(generation: int) -> None:
    with cluster(3, 1) as group:
        group.lose([], X)
        with linked(group, 0, generation) as stream:
            assert stream.receive_bytes(1) == b""


def test_a_link_of_a_later_generation_waits_until_it_is_installed() -> None:
    with cluster(3, 1) as group:
        committed(group, states_of(3, "odd"))
        with linked(group, 1, 2) as stream:
            request(stream, READ, X, 1, 0, 0, 10)
            group.lose([], X)
            data = bytearray(10)
            receive_into(stream, memoryview(data))
        assert bytes(data) == states_of(3, "odd")[1][:10].tobytes()


def test_a_reader_is_told_that_a_label_was_given_up_while_it_read() -> None:
    """R1: the slot is forgotten and its memory used for another label between two reads of one link."""
    states = states_of(3, "odd")
    with cluster(3, 1) as group:
        committed(group, states)
        with linked(group, 1, 1) as stream:
            request(stream, READ, X, 1, 0, 0, 100)
            receive_into(stream, memoryview(bytearray(100)))
            ask_confirm(stream, X, 1)
            confirmed(stream, X, 1)
            group.node(1).vault.forget(1, X)
            group.node(1).vault.bind(1, Label(1, 5), 0)
            ask_confirm(stream, X, 1)
            with pytest.raises(LinkDown, match="given up"):
                confirmed(stream, X, 1)


def test_a_label_that_came_back_is_not_the_one_that_was_read() -> None:
    """Forgotten, the memory used for something else, bound again: the bytes in between were not the label's."""
    states = states_of(3, "odd")
    with cluster(3, 1) as group:
        committed(group, states)
        vault, geometry = group.node(1).vault, group.geometry
        offers = vault.held(1, X).member_offers
        with linked(group, 1, 1) as stream:
            request(stream, READ, X, 1, 0, 0, 100)
            receive_into(stream, memoryview(bytearray(100)))
            vault.forget(1, X)
            vault.bind(1, X, 0)
            vault.with_offers(1, X, offers, 1, geometry)
            ask_confirm(stream, X, 1)
            with pytest.raises(LinkDown, match="given up"):
                confirmed(stream, X, 1)


@BOTH_WAYS
def test_a_decoder_that_read_a_torn_source_finishes_nothing(maps_peers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule: a slow decoder of an old attempt, a newer commit, the base forgotten at a source and its memory overwritten."""
    states = states_of(3, "odd")
    with cluster(3, 1, maps_peers=maps_peers, spares=1) as group:
        committed(group, states)
        group.lose([2], X)
        node = group.node(2)
        node.vault.bind(2, X, 0)
        offers = group.node(0).vault.held(0, X).member_offers
        node.vault.slot(2, X, 20_000)
        node.vault.with_offers(2, X, offers, 2, group.geometry)
        work = next(work for decoder, work in group.decode_tasks(X, [2]) if decoder == 0)
        source = next(rank for _, rank in work.sources if rank != 0)
        decoding, finished = Codec.decode, threading.Event()

        def slow_decode(self: Codec, present: dict[int, Bytes], wanted: dict[int, Bytes]) -> None:
            vault = group.node(source).vault
            vault.forget(source, X)
            vault.bind(source, Label(2, 7), 0)
            vault.slot(source, Label(2, 7))[:] = 0x55
            decoding(self, present, wanted)

        monkeypatch.setattr(Codec, "decode", slow_decode)
        problems: list[str] = []

        def attempt(task: Task) -> None:
            try:
                exchange.decode(task, work)
            except LinkDown as error:
                problems.append(str(error))
                raise
            finally:
                finished.set()

        group.node(0).run(attempt)
        assert finished.wait(DEADLINE_S)
        assert len(problems) == 1
        assert "given up" in problems[0]
        assert not node.stored


@BOTH_WAYS
def test_an_encoder_whose_source_was_sealed_and_overwritten_finishes_nothing(maps_peers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule: an agent is stopped while it encodes; the others go on without it, and the label gives way to one of theirs."""
    states = states_of(3, "odd")
    with cluster(3, 1, maps_peers=maps_peers) as group:
        offers = group.snap(X, states)
        for rank in (1, 2):
            group.node(rank).vault.with_offers(rank, X, offers, rank, group.geometry)
        encoding, finished = Codec.encode, threading.Event()

        def slow_encode(self: Codec, data: list[Bytes], parity: list[Bytes]) -> None:
            for rank in (1, 2):
                node = group.node(rank)
                node.links.shut(1)
                node.links.wait_quiet(1)
                node.vault.forget(rank, X)
                node.vault.bind(rank, Label(2, 7), 0)
                node.vault.slot(rank, Label(2, 7))[:] = 0x55
            encoding(self, data, parity)

        monkeypatch.setattr(Codec, "encode", slow_encode)
        problems: list[str] = []

        def attempt(task: Task) -> None:
            group.node(0).vault.with_offers(0, X, offers, 0, group.geometry)
            try:
                exchange.protect(task, do.Protect(rank=0, label=X, member_offers=offers))
            except LinkDown as error:
                problems.append(str(error))
            finally:
                finished.set()

        group.node(0).run(attempt)
        assert finished.wait(DEADLINE_S)
        if maps_peers:
            assert problems
            assert not group.node(0).stored
        elif not problems:  # all had come before the seal
            (expected,) = expected_parity(group, states, 0)
            np.testing.assert_array_equal(group.node(0).vault.chunk_view(0, X, group.geometry, group.geometry.d), expected)


def test_mapped_memory_is_let_go_of_when_its_rank_moves() -> None:
    states = states_of(3, "odd")
    with cluster(3, 1) as group:
        committed(group, states)
        for node in group.nodes:
            node.links.wait_quiet(group.plan.generation)
        before = holdings()
        for rank in (0, 1):
            maps = group.node(rank).links.peer_maps
            assert maps is not None
            maps.keep(lambda home: group.plan.agent_of(home[0]) == home[1])
            assert holdings() == before
        maps.keep(lambda home: home == (2, group.plan.agent_of(2)))
        assert holdings() == before - 1, "rank 1's agent read a chunk of rank 0 and one of rank 2"


def test_a_second_attempt_tells_of_a_chunk_again_and_does_not_touch_it() -> None:
    """After an orchestrator's restart stripes may be assigned twice; a chunk that counts must not change any more."""
    states = states_of(3, "odd")
    with cluster(3, 1, spares=1) as group:
        committed(group, states)
        rebuild(group, [2])
        node = group.node(2)
        node.stored.clear()
        for decoder, work in group.decode_tasks(X, [2]):
            group.node(decoder).run(lambda task, work=work: exchange.decode(task, work))
        group.wait_stored({(2, X, position) for position in range(3)})
        data, parity = 0, group.geometry.d
        node.stored.clear()
        with linked(group, 2, 2) as stream:
            for position in (data, parity):
                length = len(node.vault.chunk_view(2, X, group.geometry, position))
                request(stream, WRITE, X, 2, position, 0, length)
                send(stream, bytes(length))
                request(stream, FINISH, X, 2, position, 0, 0, digest=joint(of_blocks(np.zeros(length, np.uint8))))
            assert stream.receive_bytes(1) == YES, "a chunk that is there already is stored"
            assert stream.receive_bytes(1) == b"", "parity of another digest is refused"
        group.wait_stored({(2, X, data)})
        check_slot(group, 2, states[2])


def test_a_fault_of_a_thread_is_told() -> None:
    """Nothing vanishes: an agent whose data plane has a fault must not live on half."""
    with cluster(3, 1) as group:
        node = group.node(0)

        def fault(task: Task) -> None:
            raise ZeroDivisionError("planted")

        node.run(fault)
        with node.heard:
            assert node.heard.wait_for(lambda: node.failures, DEADLINE_S)
        assert isinstance(node.failures[0], ZeroDivisionError)


def test_what_goes_between_machines_for_protection_goes_behind_the_programs_messages() -> None:
    """By the queue of the network card, which knows priorities only."""
    links = Links(Vault(), lambda rank: Geometry(2, 1), lambda *_: None, ADMISSION)
    with contextlib.closing(listen(tcp_address("127.0.0.1"))) as listener:
        stream = links.dial(listener.address, 1)
        with socket.socket(fileno=os.dup(stream.fileno())) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 2
        links.hang_up(stream)
