"""What the core's commands do in a simulated vault: at once, or on a thread that moves chunks.

A thread's body is a generator: it yields how long the next step takes, or the vault whose change it waits for. `vaults` has the memory, the
threads and the links, `repairs` the body that repairs chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from perdure.core import changes
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.ids import Label
from perdure.core.plan import Plan
from perdure.core.snapshot_index import Range
from perdure.sim import program
from perdure.sim.repairs import repair
from perdure.sim.vaults import CHUNK_S, SimLinkDown, SimVault, SimVaultEntry


def execute(vault: SimVault, command: Any) -> None:
    """Carry out one command of the core."""
    plan = vault.node.plan
    match command:
        case do.OpenLinks(plan=opened):
            vault.opened = opened.generation
        case do.ShutLinks(generation=generation):
            vault.end_links(generation)
        case do.BindSlot(rank=rank, label=label, index=index, since=since):
            before, last = vault.given_up.get((rank, index), (None, None))
            vault.held[rank, label] = SimVaultEntry(index, before=last if since == before else None)
        case do.CopySlot(rank=rank, label=label, generation=generation):
            vault.begin(generation, _copy(vault, plan, rank, label, generation))
        case do.MoveLabel(rank=rank, label=label, index=index):
            held = vault.held[rank, label]
            vault.held[rank, label] = replace(held, index=index, snapshot=vault.in_slot(rank, index))
        case do.ExposeSlot(rank=rank, label=label, offer=offer):
            held = vault.held[rank, label]
            held.snapshot = vault.in_slot(rank, held.index)
            held.replicated = program.common_of(program.before(label.superstep, vault.node.world.scenario.count))
            vault.node.around.checkers.bytes.snapshot_stored(vault.node, plan, rank, label, held, offer)
        case do.ForgetLabel(rank=rank, label=label):
            if (rank, label) in vault.held:
                vault.give_up(rank, label)
        case do.DropRank(rank=rank):
            for key in [key for key in vault.held if key[0] == rank]:
                del vault.held[key]
            for index in (0, 1):
                vault.given_up.pop((rank, index), None)
        case do.Protect(rank=rank, label=label, member_offers=offers):
            vault.held[rank, label].members = offers
            if plan.parity:
                vault.begin(plan.generation, _protect(vault, plan, rank, label), (rank, label))
        case do.Restore():
            vault.begin(plan.generation, _restore(vault, plan, command), (command.rank, command.label))
        case do.Decode(tasks=tasks):
            needed = (tasks[0].wanted[0][1], tasks[0].label) if any(task.urgent for task in tasks) else None
            vault.begin(plan.generation, _decode(vault, plan, tasks), needed)
        case do.VerifySlot(rank=rank, label=label, parity=parity):
            vault.begin(plan.generation, _verify(vault, plan, rank, label, parity=parity))
        case do.Scrub(rank=rank, label=label):
            vault.begin(plan.generation, _scrub(vault, plan, rank, label))
        case do.Repair():
            vault.begin(plan.generation, repair(vault, plan, command))
            return  # nothing has changed yet that a thread may wait for
        case _:
            raise AssertionError(command)
    vault.changed()


def _protect(vault: SimVault, plan: Plan, rank: int, label: Label) -> Iterator[float | SimVault]:
    """C4: gathers the d data chunks of the stripe whose first parity holder is `rank`, encodes, keeps one parity and scatters m - 1;
    only columns that have changed (C4')."""
    index, stripe = plan.group_index(rank), plan.member_of(rank)
    group, geometry, members = plan.groups[index], plan.geometry(index), vault.held[rank, label].members
    columns = changes.columns(geometry, stripe, members, program.BLOCK)
    chunk = program.chunk_bytes(geometry, members)
    width = sum(stop - start for start, stop in columns)
    data = []
    for t in range(geometry.d if width else 0):
        holder = group[geometry.member(stripe, t)]
        yield from vault.there(plan, holder, label)
        other, part = vault.read(plan, holder, label, t)
        other.vault.count_parity(vault, (index, label, plan.generation), width)
        data.append(b"".join(part[start:stop].ljust(stop - start, b"\0") for start, stop in columns))
        yield CHUNK_S
    parities = program.encode(geometry.n, geometry.m, width, data) if width else [b""] * geometry.m
    for p, part in enumerate(parities):
        holder = group[geometry.member(stripe, geometry.d + p)]
        yield from vault.there(plan, holder, label)
        _, held = vault.at(plan, holder, label)
        old = (held.before.parity[p], held.before.digests[p]) if held.before else (bytes(chunk), bytes(4 * chunk))
        whole, digests = _laid_over(old[0], columns, part, 1), _laid_over(old[1], columns, program.digests(part), 4)
        vault.write(plan, holder, label, geometry.d + p, whole, digests)
        vault.count_parity(vault.node.around.nodes[plan.agent_of(holder)].vault, (index, label, plan.generation), width)
        yield CHUNK_S


def _restore(vault: SimVault, plan: Plan, command: do.Restore) -> Iterator[float | SimVault]:
    source, label, rank = command.source, command.label, command.rank
    yield from vault.there(plan, source.offers_from, label, source.offers_at)
    _, other = vault.at(plan, source.offers_from, label, source.offers_at)
    yield CHUNK_S
    held = vault.held[rank, label]
    held.members = other.members
    vault.changed()
    vault.node.post(ev.SlotRestored(rank=rank, label=label, member_offers=other.members))
    yield CHUNK_S
    yield from vault.there(plan, source.replicated_from_rank, label, source.replicated_at)
    _, other = vault.at(plan, source.replicated_from_rank, label, source.replicated_at)
    if other.replicated is None:
        vault.node.around.checkers.bytes.chunk_missing(vault.node, source.replicated_from_rank, label, -1)
        raise SimLinkDown
    held.replicated = other.replicated
    right = program.digests(held.replicated) == held.members[plan.member_of(rank)].items[1].blocks
    vault.node.post(ev.ReplicatedStored(rank=rank, label=label, right=right))


def _decode(vault: SimVault, plan: Plan, tasks: tuple[msg.DecodeTask, ...]) -> Iterator[float | SimVault]:
    for task in tasks:
        geometry = plan.geometry(task.group)
        present: dict[int, bytes] = {}
        chunk, kept = 0, dict(task.kept)
        for position, rank in task.sources:
            yield from vault.there(plan, rank, task.label, kept.get(position))
            other, part = vault.read(plan, rank, task.label, position, kept.get(position))
            chunk = program.chunk_bytes(geometry, other.vault.held[rank, task.label].members)
            present[position] = part
            other.vault.moved_rebuild += chunk if other is not vault.node else 0
            yield CHUNK_S
        decoded = program.decode(geometry.n, geometry.m, chunk, present, [position for position, _ in task.wanted])
        for position, rank in task.wanted:
            yield from vault.there(plan, rank, task.label)
            vault.write(plan, rank, task.label, position, decoded[position])
            vault.moved_rebuild += chunk if plan.agent_of(rank) != vault.node.number else 0
            yield CHUNK_S


def _copy(vault: SimVault, plan: Plan, rank: int, label: Label, generation: int) -> Iterator[float | SimVault]:
    """M2: piece by piece."""
    held = vault.held[rank, label]
    target = 1 - held.index
    whole, old = vault.bytes_of(rank, label), vault.in_slot(rank, target) if vault.is_written(rank, target) else b""
    step = max(1, len(whole) // 3)
    for start in range(0, len(whole), step):
        yield CHUNK_S
        copied = vault.bytes_of(rank, label)[: start + step]
        vault.write_slot(rank, target, copied + old[len(copied) :])
    yield CHUNK_S
    vault.node.post(ev.SlotCopied(rank=rank, label=label, generation=generation))


def _verify(vault: SimVault, plan: Plan, rank: int, label: Label, *, parity: bool) -> Iterator[float | SimVault]:
    """Digests tell which chunks are not what was offered. What was given up meanwhile is of no interest any more."""
    yield CHUNK_S
    if (rank, label) not in vault.held:
        return
    vault.node.post(ev.SlotVerified(rank=rank, label=label, wrong=vault.wrong_chunks(plan, rank, label, parity=parity)))


def _scrub(vault: SimVault, plan: Plan, rank: int, label: Label) -> Iterator[float | SimVault]:
    """The same at leisure, and only if the label was held all the time."""
    held = vault.held.get((rank, label))
    for _ in range(plan.geometry(plan.group_index(rank)).n):
        yield CHUNK_S
    if held is not None and vault.held.get((rank, label)) is held:
        vault.node.post(ev.Scrubbed(rank=rank, label=label, wrong=vault.wrong_chunks(plan, rank, label, parity=True)))


def _laid_over(old: bytes, columns: Sequence[Range], found: bytes, size: int) -> bytes:
    """`old`, of `size` bytes for each byte of a chunk, with its columns replaced by `found`."""
    whole = bytearray(old)
    for start, stop in columns:
        length = size * (stop - start)
        whole[size * start : size * stop], found = found[:length], found[length:]
    return bytes(whole)
