"""The data planes of several nodes in one process: real links over abstract sockets, without agents and without the core."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from perdure.core import commands as do
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import DecodeTask
from perdure.core.plan import Placement, Plan
from perdure.core.snapshot_index import BLOCK_BYTES, Form, Item, Kind, SnapshotIndex, replicated_start
from perdure.runtime import exchange
from perdure.runtime.admission import HELLO, Admission
from perdure.runtime.links import Links
from perdure.runtime.tasks import Task
from perdure.runtime.vault import Vault
from perdure.streams import Stream, listen
from perdure.streams.addresses import unix_address

Bytes = NDArray[np.uint8]
DEADLINE_S = 20.0
ADMISSION = Admission(os.urandom(32))
_jobs = itertools.count()


def offer_of(rank: int, state: Bytes, replicated: Bytes) -> SnapshotIndex:
    """What a rank says whose coded region is one item, and whose replicated region another."""

    def item(name: str, kind: Kind, data: Bytes) -> Item:
        blocks = [xxhash.xxh3_64_intdigest(data[start : start + BLOCK_BYTES].data) for start in range(0, len(data), BLOCK_BYTES)]
        return Item(
            name=name, kind=kind, form=Form.ARRAY, dtype="|u1", shape=(len(data),), global_shape=(), axis=0, offset=0, nbytes=len(data),
            blocks=b"".join(block.to_bytes(8, "little") for block in blocks), digest=0,
        )  # fmt: skip

    items = (item("state", Kind.PRIVATE, state), item("common", Kind.REPLICATED, replicated))
    return SnapshotIndex(rank=rank, items=items, coded_bytes=len(state), replicated_bytes=len(replicated), next_position=-1, ended_at=-1)


class Node:
    """One agent's vault and links, and a thread that takes connections as the agent's loop does."""

    def __init__(self, cluster: Cluster, me: int, *, maps_peers: bool) -> None:
        self.cluster, self.me = cluster, me
        self.vault = Vault()
        self.stored: set[tuple[int, Label, int]] = set()
        self.failures: list[BaseException] = []
        self.heard = threading.Condition()
        self.links = Links(self.vault, lambda rank: cluster.geometry, self._note, ADMISSION, maps_peers=maps_peers, failed=self._failed)
        self._listener = listen(cluster.address_of(me))
        self._thread = threading.Thread(target=self._accept, name=f"accept-{me}", daemon=True)
        self._thread.start()

    def _note(self, rank: int, label: Label, position: int) -> None:
        with self.heard:
            self.stored.add((rank, label, position))
            self.heard.notify_all()

    def _failed(self, error: BaseException) -> None:
        with self.heard:
            self.failures.append(error)
            self.heard.notify_all()

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            poll.poll()
            try:
                stream = self._listener.accept()
            except BlockingIOError:
                continue
            except OSError:
                return
            hello = bytearray(HELLO.size)
            try:
                stream.receive_exactly(memoryview(hello))
            except OSError:
                stream.close()
                continue
            _, _, generation = HELLO.unpack(hello)
            self.serve(stream, generation)

    def serve(self, stream: Stream, generation: int) -> None:
        self.links.run(generation, lambda: self.links.serve(stream, generation), "serve")

    def task(self) -> Task:
        return Task(self.links, self.vault, self.cluster.plan, self.me)

    def run(self, work: Callable[[Task], None]) -> None:
        """Work on a thread of its own, as the agent does it."""

        def body() -> None:
            task = self.task()
            try:
                work(task)
            finally:
                task.close()

        self.links.run(self.cluster.plan.generation, body, "work")

    def close(self) -> None:
        """Shuts everything; nothing must be left."""
        self.links.shut(1 << 30)
        quiet = threading.Thread(target=lambda: self.links.wait_quiet(1 << 30), daemon=True)
        quiet.start()
        quiet.join(DEADLINE_S)
        assert not quiet.is_alive(), f"threads of the data plane are left: {threading.enumerate()}"
        if self.links.peer_maps is not None:
            self.links.peer_maps.keep(lambda home: False)
        self.links.close()
        self._listener.close()
        self._thread.join(DEADLINE_S)
        for rank in range(self.cluster.geometry.n):
            self.vault.drop(rank)


class Cluster:
    """A group of n ranks with m parity chunks, one rank a node, and as many more nodes as asked for."""

    def __init__(self, n: int, m: int, *, maps_peers: bool = True, spares: int = 0) -> None:
        self.job = f"test-{os.getpid()}-{next(_jobs)}"
        self.geometry = Geometry(n, m)
        self.plan = self._plan(1, None, tuple(range(n)))
        self.nodes = [Node(self, me, maps_peers=maps_peers) for me in range(n + spares)]
        self.open()

    def _plan(self, generation: int, base: Label | None, agents: Sequence[int]) -> Plan:
        places = tuple(Placement(rank=rank, agent=agent, node=agent, incarnation=1) for rank, agent in enumerate(agents))
        ranks = tuple(range(len(agents)))
        addresses = tuple((agent, self.address_of(agent)) for agent in sorted(set(agents)))
        return Plan(
            generation=generation, placements=places, groups=(ranks,), parity=self.geometry.m, base=base, positions=(0, 1),
            addresses=addresses,
        )  # fmt: skip

    def open(self) -> None:
        for node in self.nodes:
            node.links.open(self.plan.generation)

    def address_of(self, agent: int) -> str:
        return unix_address(f"perdure-{self.job}-agent-{agent}")

    def node(self, rank: int) -> Node:
        return self.nodes[self.plan.agent_of(rank)]

    def snap(self, label: Label, states: Sequence[Bytes], index: int = 0, replicated: Bytes | None = None) -> tuple[SnapshotIndex, ...]:
        """Every rank has its snapshot in slot `index`."""
        common = np.arange(5, dtype=np.uint8) if replicated is None else replicated
        offers = tuple(offer_of(rank, state, common) for rank, state in enumerate(states))
        for rank, state in enumerate(states):
            vault, start = self.node(rank).vault, replicated_start(len(state))
            vault.bind(rank, label, index)
            slot = vault.slot(rank, label, start + len(common))
            slot[: len(state)] = state
            slot[start : start + len(common)] = common
            vault.expose(rank, label, offers[rank])
        return offers

    def protect(self, label: Label, offers: tuple[SnapshotIndex, ...], ranks: Sequence[int] | None = None) -> None:
        """All members know all offers and encode."""
        for rank in range(self.geometry.n) if ranks is None else ranks:
            node = self.node(rank)

            def work(task: Task, rank: int = rank, node: Node = node) -> None:
                node.vault.with_offers(rank, label, offers, rank, self.geometry)
                exchange.protect(task, do.Protect(rank=rank, label=label, member_offers=offers))

            node.run(work)

    def lose(self, ranks: Sequence[int], base: Label) -> None:
        """The next generation: lost ranks live on the spare nodes from now on; links are new."""
        agents = [self.plan.agent_of(rank) for rank in range(self.geometry.n)]
        for spare, rank in enumerate(ranks):
            agents[rank] = self.geometry.n + spare
        for node in self.nodes:
            node.links.shut(self.plan.generation)
            node.links.wait_quiet(self.plan.generation)
            node.stored.clear()
        self.plan = self._plan(self.plan.generation + 1, base, agents)
        self.open()

    def decode_tasks(self, label: Label, lost: Sequence[int]) -> list[tuple[int, DecodeTask]]:
        """(decoder's rank, task) for every stripe; each decoder has its own chunk among the sources, as the planner has it."""
        n, d = self.geometry.n, self.geometry.d
        survivors = [rank for rank in range(n) if rank not in lost]
        found = []
        for stripe in range(n):
            decoder = survivors[stripe % len(survivors)]
            at = {self.geometry.position(stripe, rank): rank for rank in range(n)}
            present = sorted((position for position in at if at[position] not in lost), key=lambda p: (at[p] != decoder, p))[:d]
            wanted = tuple((position, at[position]) for position in sorted(at) if at[position] in lost)
            sources = tuple((position, at[position]) for position in sorted(present))
            found.append((decoder, DecodeTask(label=label, group=0, stripe=stripe, sources=sources, wanted=wanted, urgent=True)))
        return found

    def wait_stored(self, expected: set[tuple[int, Label, int]]) -> None:
        """Until all these chunks are reported complete, wherever they are kept."""
        for rank, label, position in expected:
            node = self.node(rank)
            with node.heard:
                there = node.heard.wait_for(lambda node=node, key=(rank, label, position): key in node.stored or node.failures, DEADLINE_S)
                assert not node.failures, node.failures
                assert there, f"chunk {position} of rank {rank} does not come"

    def parity_keys(self, label: Label) -> set[tuple[int, Label, int]]:
        return {(rank, label, position) for rank in range(self.geometry.n) for position in range(self.geometry.d, self.geometry.n)}

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def holdings() -> int:
    """How many sockets and memory files this process has open, and mappings of memory files it has."""
    with open("/proc/self/maps") as maps:
        count = sum("/memfd:" in line for line in maps)
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own, and what other threads close meanwhile
            count += os.readlink(f"/proc/self/fd/{fd}").startswith(("socket:", "/memfd:"))
    return count


@contextlib.contextmanager
def cluster(n: int, m: int, *, maps_peers: bool = True, spares: int = 0) -> Iterator[Cluster]:
    """A cluster that leaves no thread and no descriptor behind."""
    gc.collect()  # what tests before this one have left in cycles would be missed at the end
    threads, before = set(threading.enumerate()), holdings()
    made = Cluster(n, m, maps_peers=maps_peers, spares=spares)
    try:
        yield made
    finally:
        made.close()
    left = [thread for thread in threading.enumerate() if thread not in threads and thread.name != "warm"]
    for thread in left:
        thread.join(DEADLINE_S)  # it counts as quiet from its last statement on, a moment before it has ended
    assert not [thread for thread in left if thread.is_alive()]
    assert holdings() == before, "a socket or a memory file is left"
