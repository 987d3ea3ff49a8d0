"""The simulated vault and its links: real bytes, coded by `perdure.coding`, that arrive one chunk at a time.

It behaves as the runtime's does: work waits for memory at the other end, ends with its links, and is quiet after `ShutLinks`. Between
any two chunks anything may happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.tight import LIVE
from perdure.core.ids import Label
from perdure.core.plan import Plan
from perdure.core.snapshot_index import SnapshotIndex
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
    needed: tuple[int, Label] | None = None
    """The rank and label that the job waits for (rule T8)."""
    scheduled: bool = False
    is_cut: bool = False
    """Its link has failed."""


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
        self.given_up: dict[tuple[int, int], tuple[Label, SimVaultEntry]] = {}
        """(rank, slot) -> the label that was there last, and what lies there still."""
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
        self.write_slot(rank, LIVE, live)

    def write_slot(self, rank: int, index: int, data: bytes) -> None:
        """Change the bytes of a slot, and with them the label that lies there."""
        self._slots[rank, index] = data
        for (other, label), held in self.held.items():
            if other == rank and held.index == index and (held.snapshot is not None or held.data):
                held.snapshot = data
                held.data.clear()
                self.node.around.checkers.bytes.slot_changed(self.node, rank, label, held)

    def give_up(self, rank: int, label: Label) -> None:
        """Nobody may read it any more; what lies there stays until another label takes its place."""
        held = self.held[rank, label]
        if held.snapshot is not None or held.members:
            self._slots[rank, held.index] = self.bytes_of(rank, label)
        held.before = None
        self.given_up[rank, held.index] = label, self.held.pop((rank, label))

    def in_slot(self, rank: int, index: int) -> bytes:
        """Return what lies in a slot, whatever it is. The worker compares before it copies."""
        return self._slots[rank, index]

    def is_written(self, rank: int, index: int) -> bool:
        """Was anything ever written to this slot?"""
        return (rank, index) in self._slots

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

    # ---- threads -----------------------------------------------------------------------------------------------------------

    def begin(self, generation: int, body: Iterator[float | SimVault], needed: tuple[int, Label] | None = None) -> None:
        """Start a thread that ends with its generation's links. `needed`: see `Work`."""
        work = Work(generation, body, needed)
        self._works.append(work)
        self._go_on(work, CHUNK_S)

    def _go_on(self, work: Work, delay_s: float) -> None:
        if not work.scheduled:
            work.scheduled = True
            self.node.world.schedule.about(delay_s * self.node.slowness, self.node.when_awake, self._step, work)

    def _step(self, work: Work) -> None:
        work.scheduled = False
        if work not in self._works:
            return
        try:
            if work.generation <= self.shut or work.is_cut:
                raise SimLinkDown
            what = next(work.body)
        except (StopIteration, SimLinkDown) as error:
            self._works.remove(work)
            if isinstance(error, SimLinkDown) and work.generation > self.shut and work.needed is not None:
                rank, label = work.needed
                self.node.post(ev.LinkFailed(generation=work.generation, rank=rank, other=rank, label=label))
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

    def fail_link(self) -> bool:
        """Let the link of one thread fail, of those that a label needs. False: there is none."""
        for work in self._works:
            if work.needed is not None and not work.is_cut:
                work.is_cut = True
                self._go_on(work, 0.0)
                return True
        return False

    def end_links(self, generation: int) -> None:
        """End all links up to `generation`, and with them the threads that use them."""
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
        network = self.node.world.network
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
        return self.node.around.nodes[custodian.agent if custodian else plan.agent_of(rank)]

    def at(self, plan: Plan, rank: int, label: Label, custodian: msg.Custodian | None = None) -> tuple[SimNode, SimVaultEntry]:
        """After `there`: the node of `rank`, or its custodian, and what it holds of the label. LinkDown when it was given up meanwhile."""
        other = self._home(plan, rank, custodian)
        held = other.vault.held.get((rank, label))
        if held is None or not held.members:
            raise SimLinkDown
        return other, held

    def read(self, plan: Plan, rank: int, label: Label, position: int, custodian: msg.Custodian | None = None) -> tuple[SimNode, bytes]:
        """A chunk as it is; LinkDown where the other end has none to send."""
        other, found = self.look(plan, rank, label, position, custodian)
        if found is None:
            self.node.around.checkers.bytes.chunk_missing(self.node, rank, label, position)
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

    def write(self, plan: Plan, rank: int, label: Label, position: int, part: bytes, digests: bytes | None = None) -> None:
        """A chunk arrives at its holder, who tells its agent."""
        other = self.put(plan, rank, label, position, part, digests)
        if label == other.plan.base:
            other.post(ev.ChunkStored(rank=rank, label=label, position=position))
        else:
            other.post(ev.ParityStored(rank=rank, label=label, p=position - plan.geometry(plan.group_index(rank)).d))

    def count_parity(self, target: SimVault, key: tuple[int, Label, int], nbytes: int) -> None:
        """Note bytes of a commit that were put on a link to `target`; none, if that is this vault."""
        if target is not self:
            self.moved_parity[key] = self.moved_parity.get(key, 0) + nbytes

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
        self.node.around.checkers.bytes.chunk_stored(other, plan, rank, label, position, held)
        return other

    # ---- digests ----------------------------------------------------------------------------------------------------------

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
