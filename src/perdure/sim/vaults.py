"""The simulated vault and its links: real bytes, coded by `perdure.coding`, that arrive one chunk at a time.

It behaves as the runtime's does: work waits for memory at the other end, ends with its links, and is quiet after `ShutLinks`. Between
any two chunks anything may happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from perdure.core import changes
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.tight import LIVE
from perdure.core.ids import Label
from perdure.core.plan import Plan
from perdure.core.snapshot_index import Range, SnapshotIndex
from perdure.sim import program

if TYPE_CHECKING:
    from perdure.sim.nodes import SimNode

CHUNK_S: Final = 0.0003
"""Virtual time that a chunk takes on a link."""


class SimLinkDown(Exception):
    """The links of the generation were shut, here or there, or the other agent has ended."""


@dataclass(slots=True)
class SimVaultEntry:
    """The truth about one label of one rank: which bytes are there."""

    index: int
    snapshot: bytes | None = None
    """The whole coded region, once the worker has copied it."""
    members: tuple[SnapshotIndex, ...] = ()
    data: dict[int, bytes] = field(default_factory=dict)
    """Data chunks that came from decoders."""
    parity: dict[int, bytes] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    """Of the blocks of the parity chunks, as they came for the first time."""
    before: SimVaultEntry | None = None
    """The label that was here before, where its parity is to be taken over."""
    replicated: bytes | None = None
    flipped: bool = False
    """A bit of it has changed by itself."""
    right_data: int = 0
    right_parity: int = 0
    """Masks of the chunks that are there and are what they must be. Kept by the checkers."""


@dataclass(slots=True, eq=False)
class Work:
    """One thread of a vault. Its body yields how long the next step takes, or the vault whose change it waits for."""

    generation: int
    body: Iterator[float | SimVault]
    scheduled: bool = False


class SimVault:
    """The memory of one node, and the threads that move it."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.held: dict[tuple[int, Label], SimVaultEntry] = {}
        self.opened = 0
        self.shut = 0
        self._quiet = 0
        self.moved_parity: dict[tuple[int, Label, int], int] = {}
        self.moved_rebuild = 0
        """Bytes of chunks that were put on links from this vault: for commits by (group, label, generation), and for rebuilds."""
        self._slots: dict[tuple[int, int], bytes] = {}
        self._given_up: dict[tuple[int, int], tuple[Label, SimVaultEntry]] = {}
        self._works: list[Work] = []
        self._waiting: list[tuple[SimVault, Work]] = []

    # ---- what the worker sees --------------------------------------------------------------------------------------------

    def copy_in(self, rank: int, index: int, live: bytes) -> None:
        """The worker writes its snapshot into the slot."""
        self._slots[rank, index] = live

    def live_of(self, rank: int) -> bytes:
        """Tight mode: where the rank computes."""
        return self._slots.get((rank, LIVE), b"")

    def write_live(self, rank: int, live: bytes) -> None:
        """Tight mode: the program changes its arrays, and with them whatever label lies there."""
        self._write_slot(rank, LIVE, live)

    def _write_slot(self, rank: int, index: int, data: bytes) -> None:
        self._slots[rank, index] = data
        for (other, label), held in self.held.items():
            if other == rank and held.index == index and (held.snapshot is not None or held.data):
                held.snapshot = data
                held.data.clear()
                self.node.cluster.checkers.slot_changed(self.node, rank, label, held)

    def _give_up(self, rank: int, label: Label) -> None:
        """Nobody may read it any more; what lies there stays until another label takes its place."""
        held = self.held[rank, label]
        if held.snapshot is not None or held.members:
            self._slots[rank, held.index] = self.bytes_of(rank, label)
        held.before = None
        self._given_up[rank, held.index] = label, self.held.pop((rank, label))

    def in_slot(self, rank: int, index: int) -> bytes:
        """What lies in a slot, whatever it is: the worker compares before it copies."""
        return self._slots[rank, index]

    def bytes_of(self, rank: int, label: Label) -> bytes:
        """The coded region as it is; what is missing reads as zeros."""
        held = self.held[rank, label]
        if held.snapshot is not None:
            return held.snapshot
        plan = self.node.plan
        geometry = plan.geometry(plan.group_index(rank))
        chunk = program.chunk_bytes(geometry, held.members)
        whole = b"".join(held.data.get(t, b"").ljust(chunk, b"\0") for t in range(geometry.d))
        return whole[: held.members[plan.member_of(rank)].coded_bytes]

    # ---- commands ----------------------------------------------------------------------------------------------------------

    def execute(self, command: Any) -> None:
        """One command of the core to the vault."""
        plan = self.node.plan
        match command:
            case do.OpenLinks(plan=opened):
                self.opened = opened.generation
            case do.ShutLinks(generation=generation):
                self._shut(generation)
            case do.BindSlot(rank=rank, label=label, index=index, since=since):
                before, last = self._given_up.get((rank, index), (None, None))
                self.held[rank, label] = SimVaultEntry(index, before=last if since == before else None)
            case do.CopySlot(rank=rank, label=label, generation=generation):
                self.begin(generation, self._copy(plan, rank, label, generation))
            case do.MoveLabel(rank=rank, label=label, index=index):
                held = self.held[rank, label]
                self.held[rank, label] = replace(held, index=index, snapshot=self._slots[rank, index])
            case do.ExposeSlot(rank=rank, label=label, offer=offer):
                held = self.held[rank, label]
                held.snapshot = self._slots[rank, held.index]
                held.replicated = program.common_of(program.before(label.superstep, self.node.cluster.scenario.count))
                self.node.cluster.checkers.snapshot_stored(self.node, plan, rank, label, held, offer)
            case do.ForgetLabel(rank=rank, label=label):
                if (rank, label) in self.held:
                    self._give_up(rank, label)
            case do.DropRank(rank=rank):
                for key in [key for key in self.held if key[0] == rank]:
                    del self.held[key]
                for index in (0, 1):
                    self._given_up.pop((rank, index), None)
            case do.Protect(rank=rank, label=label, member_offers=offers):
                self.held[rank, label].members = offers
                if plan.parity:
                    self.begin(plan.generation, self._protect(plan, rank, label))
            case do.Restore():
                self.begin(plan.generation, self._restore(plan, command))
            case do.Decode(tasks=tasks):
                self.begin(plan.generation, self._decode(plan, tasks))
            case do.VerifySlot(rank=rank, label=label, parity=parity):
                self.begin(plan.generation, self._verify(plan, rank, label, parity=parity))
            case do.Scrub(rank=rank, label=label):
                self.begin(plan.generation, self._scrub(plan, rank, label))
            case _:
                raise AssertionError(command)
        self.changed()

    # ---- threads -----------------------------------------------------------------------------------------------------------

    def begin(self, generation: int, body: Iterator[float | SimVault]) -> None:
        """Starts a thread that ends with its generation's links."""
        work = Work(generation, body)
        self._works.append(work)
        self._go_on(work, CHUNK_S)

    def _go_on(self, work: Work, delay_s: float) -> None:
        if not work.scheduled:
            work.scheduled = True
            self.node.cluster.schedule.about(delay_s * self.node.slowness, self.node.when_awake, self._step, work)

    def _step(self, work: Work) -> None:
        work.scheduled = False
        if work not in self._works:
            return
        try:
            if work.generation <= self.shut:
                raise SimLinkDown
            what = next(work.body)
        except (StopIteration, SimLinkDown):
            self._works.remove(work)
            self._tell_quiet()
            return
        if isinstance(what, SimVault):
            what._waiting.append((self, work))
        else:
            self._go_on(work, what)

    def changed(self) -> None:
        """Whoever waits for this vault looks again."""
        waiting, self._waiting = self._waiting, []
        for vault, work in waiting:
            vault._go_on(work, 0.0)

    def _shut(self, generation: int) -> None:
        self.shut = max(self.shut, generation)
        for work in self._works:
            if work.generation <= generation:
                self._go_on(work, CHUNK_S)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if self._quiet < self.shut and not any(work.generation <= self.shut for work in self._works):
            self._quiet = self.shut
            self.node.post(ev.LinksQuiet(generation=self.shut))

    # ---- links -------------------------------------------------------------------------------------------------------------

    def there(self, plan: Plan, rank: int, label: Label, custodian: msg.Custodian | None = None) -> Iterator[float | SimVault]:
        """Waits until the vault of `rank`, or its custodian's, has links of this generation, and memory for the label; LinkDown when it
        never will."""
        other = self._home(plan, rank, custodian)
        network = self.node.cluster.network
        while True:
            if not other.alive or other.vault.shut >= plan.generation or other.vault.opened > plan.generation:
                raise SimLinkDown
            held = other.vault.held.get((rank, label))
            if other is self.node and held is not None and held.members:
                return
            cut = network.is_cut(self.node.number, other.number) or network.is_cut(other.number, self.node.number)
            if cut:
                yield 0.1
            elif other.vault.opened == plan.generation and other.awake and held is not None and held.members:
                return
            else:
                yield other.vault

    def _home(self, plan: Plan, rank: int, custodian: msg.Custodian | None) -> SimNode:
        return self.node.cluster.nodes[custodian.agent if custodian else plan.agent_of(rank)]

    def at(self, plan: Plan, rank: int, label: Label, custodian: msg.Custodian | None = None) -> tuple[SimNode, SimVaultEntry]:
        """After `there`: the node of `rank`, or its custodian, and what it holds of the label. LinkDown when it was given up meanwhile."""
        other = self._home(plan, rank, custodian)
        held = other.vault.held.get((rank, label))
        if held is None or not held.members:
            raise SimLinkDown
        return other, held

    def _read(self, plan: Plan, rank: int, label: Label, position: int, custodian: msg.Custodian | None = None) -> tuple[SimNode, bytes]:
        """A chunk as it is; LinkDown where the other end has none to send."""
        other, found = self.look(plan, rank, label, position, custodian)
        if found is None:
            self.node.cluster.checkers.chunk_missing(self.node, rank, label, position)
            raise SimLinkDown
        return other, found

    def look(
        self, plan: Plan, rank: int, label: Label, position: int, custodian: msg.Custodian | None = None
    ) -> tuple[SimNode, bytes | None]:
        """A chunk as it is, if it is there."""
        other, held = self.at(plan, rank, label, custodian)
        geometry = plan.geometry(plan.group_index(rank))
        if position >= geometry.d:
            return other, held.parity.get(position - geometry.d)
        if held.snapshot is not None:
            return other, program.chunk_of(held.snapshot, position, program.chunk_bytes(geometry, held.members))
        return other, held.data.get(position)

    def _write(self, plan: Plan, rank: int, label: Label, position: int, part: bytes, digests: bytes | None = None) -> None:
        """A chunk arrives at its holder, who tells its agent."""
        other = self.put(plan, rank, label, position, part, digests)
        if label == other.plan.base:
            other.post(ev.ChunkStored(rank=rank, label=label, position=position))
        else:
            other.post(ev.ParityStored(rank=rank, label=label, p=position - plan.geometry(plan.group_index(rank)).d))

    def put(self, plan: Plan, rank: int, label: Label, position: int, part: bytes, digests: bytes | None = None) -> SimNode:
        """A chunk into the memory of its holder; parity of which only a part came with what its digests must be."""
        other, held = self.at(plan, rank, label)
        geometry = plan.geometry(plan.group_index(rank))
        if position >= geometry.d:
            held.parity[position - geometry.d] = part
            held.digests.setdefault(position - geometry.d, program.digests(part) if digests is None else digests)
        else:
            start = position * len(part)
            part = part[: max(0, held.members[plan.member_of(rank)].coded_bytes - start)]
            if held.snapshot is None:
                held.data[position] = part
            else:
                held.snapshot = held.snapshot[:start] + part + held.snapshot[start + len(part) :]
        self.node.cluster.checkers.chunk_stored(other, plan, rank, label, position, held)
        return other

    # ---- what the threads do ---------------------------------------------------------------------------------------------

    def _protect(self, plan: Plan, rank: int, label: Label) -> Iterator[float | SimVault]:
        """C4: gathers the d data chunks of the stripe whose first parity holder is `rank`, encodes, keeps one parity and scatters m - 1;
        only columns that have changed (C4')."""
        index, stripe = plan.group_index(rank), plan.member_of(rank)
        group, geometry, members = plan.groups[index], plan.geometry(index), self.held[rank, label].members
        columns = changes.columns(geometry, stripe, members, program.BLOCK)
        chunk = program.chunk_bytes(geometry, members)
        width = sum(stop - start for start, stop in columns)
        data = []
        for t in range(geometry.d if width else 0):
            holder = group[geometry.member(stripe, t)]
            yield from self.there(plan, holder, label)
            other, part = self._read(plan, holder, label, t)
            other.vault._count(self, (index, label, plan.generation), width)
            data.append(b"".join(part[start:stop].ljust(stop - start, b"\0") for start, stop in columns))
            yield CHUNK_S
        parities = program.encode(geometry.n, geometry.m, width, data) if width else [b""] * geometry.m
        for p, part in enumerate(parities):
            holder = group[geometry.member(stripe, geometry.d + p)]
            yield from self.there(plan, holder, label)
            _, held = self.at(plan, holder, label)
            old = (held.before.parity[p], held.before.digests[p]) if held.before else (bytes(chunk), bytes(4 * chunk))
            whole, digests = _laid_over(old[0], columns, part, 1), _laid_over(old[1], columns, program.digests(part), 4)
            self._write(plan, holder, label, geometry.d + p, whole, digests)
            self._count(self.node.cluster.nodes[plan.agent_of(holder)].vault, (index, label, plan.generation), width)
            yield CHUNK_S

    def _count(self, target: SimVault, key: tuple[int, Label, int], nbytes: int) -> None:
        if target is not self:
            self.moved_parity[key] = self.moved_parity.get(key, 0) + nbytes

    def _restore(self, plan: Plan, command: do.Restore) -> Iterator[float | SimVault]:
        source, label, rank = command.source, command.label, command.rank
        yield from self.there(plan, source.offers_from, label, source.offers_at)
        _, other = self.at(plan, source.offers_from, label, source.offers_at)
        yield CHUNK_S
        held = self.held[rank, label]
        held.members = other.members
        self.changed()
        self.node.post(ev.SlotRestored(rank=rank, label=label, member_offers=other.members))
        yield CHUNK_S
        yield from self.there(plan, source.replicated_from_rank, label, source.replicated_at)
        _, other = self.at(plan, source.replicated_from_rank, label, source.replicated_at)
        if other.replicated is None:
            self.node.cluster.checkers.chunk_missing(self.node, source.replicated_from_rank, label, -1)
            raise SimLinkDown
        held.replicated = other.replicated
        right = program.digests(held.replicated) == held.members[plan.member_of(rank)].items[1].blocks
        self.node.post(ev.ReplicatedStored(rank=rank, label=label, right=right))

    def _decode(self, plan: Plan, tasks: tuple[msg.DecodeTask, ...]) -> Iterator[float | SimVault]:
        for task in tasks:
            geometry = plan.geometry(task.group)
            present: dict[int, bytes] = {}
            chunk, kept = 0, dict(task.kept)
            for position, rank in task.sources:
                yield from self.there(plan, rank, task.label, kept.get(position))
                other, part = self._read(plan, rank, task.label, position, kept.get(position))
                chunk = program.chunk_bytes(geometry, other.vault.held[rank, task.label].members)
                present[position] = part
                other.vault.moved_rebuild += chunk if other is not self.node else 0
                yield CHUNK_S
            decoded = program.decode(geometry.n, geometry.m, chunk, present, [position for position, _ in task.wanted])
            for position, rank in task.wanted:
                yield from self.there(plan, rank, task.label)
                self._write(plan, rank, task.label, position, decoded[position])
                self.moved_rebuild += chunk if plan.agent_of(rank) != self.node.number else 0
                yield CHUNK_S

    def _copy(self, plan: Plan, rank: int, label: Label, generation: int) -> Iterator[float | SimVault]:
        """M2: piece by piece."""
        held = self.held[rank, label]
        whole, old = self.bytes_of(rank, label), self._slots.get((rank, 1 - held.index), b"")
        step = max(1, len(whole) // 3)
        for start in range(0, len(whole), step):
            yield CHUNK_S
            copied = self.bytes_of(rank, label)[: start + step]
            self._write_slot(rank, 1 - held.index, copied + old[len(copied) :])
        yield CHUNK_S
        self.node.post(ev.SlotCopied(rank=rank, label=label, generation=generation))

    def _verify(self, plan: Plan, rank: int, label: Label, *, parity: bool) -> Iterator[float | SimVault]:
        """Digests tell which chunks are not what was offered. What was given up meanwhile is of no interest any more."""
        yield CHUNK_S
        if (rank, label) not in self.held:
            return
        self.node.post(ev.SlotVerified(rank=rank, label=label, wrong=self.wrong_chunks(plan, rank, label, parity=parity)))

    def _scrub(self, plan: Plan, rank: int, label: Label) -> Iterator[float | SimVault]:
        """The same at leisure, and only if the label was held all the time."""
        held = self.held.get((rank, label))
        for _ in range(plan.geometry(plan.group_index(rank)).n):
            yield CHUNK_S
        if held is not None and self.held.get((rank, label)) is held:
            self.node.post(ev.Scrubbed(rank=rank, label=label, wrong=self.wrong_chunks(plan, rank, label, parity=True)))

    def wrong_chunks(self, plan: Plan, rank: int, label: Label, *, parity: bool) -> msg.Chunks:
        """What does not have its digest at this moment; of the parity, only what is there can be wrong."""
        held = self.held[rank, label]
        geometry, member = plan.geometry(plan.group_index(rank)), plan.member_of(rank)
        chunk = program.chunk_bytes(geometry, held.members)
        offer, whole = held.members[member], self.bytes_of(rank, label)
        wrong_data = 0
        for t in range(geometry.d):
            gone = held.snapshot is None and t not in held.data
            wrong_data |= (gone or not program.is_right(offer, t, chunk, program.chunk_of(whole, t, chunk))) << t
        wrong_parity = sum((program.digests(part) != held.digests[p]) << p for p, part in held.parity.items()) if parity else 0
        common = held.replicated is not None and program.digests(held.replicated) == offer.items[1].blocks
        return msg.Chunks(data=wrong_data, parity=wrong_parity, replicated=not common)


def _laid_over(old: bytes, columns: Sequence[Range], found: bytes, size: int) -> bytes:
    """`old`, of `size` bytes for each byte of a chunk, with its columns replaced by `found`."""
    whole = bytearray(old)
    for start, stop in columns:
        length = size * (stop - start)
        whole[size * start : size * stop], found = found[:length], found[length:]
    return bytes(whole)
