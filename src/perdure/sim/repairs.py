"""The simulated repair of chunks that do not have their digests, on the node that holds them (rules S3 and S4)."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.plan import Plan
from perdure.core.snapshot_index import SnapshotIndex
from perdure.sim import program
from perdure.sim.vaults import CHUNK_S, SimLinkDown, SimVault, SimVaultEntry


def repair(vault: SimVault, plan: Plan, command: do.Repair) -> Iterator[float | SimVault]:
    """Decodes beside the slot and stores what has its digest. A source that is gone is one more reason why an attempt may fail."""
    rank, label = command.rank, command.label
    before = vault.held.get((rank, label))
    decoded: dict[int, bytes] = {}
    for task in command.tasks:
        try:
            decoded |= yield from _decode(vault, plan, task)
        except SimLinkDown:
            continue
    common = None
    if command.replicated_from_rank >= 0:
        yield from vault.there(plan, command.replicated_from_rank, label)
        common = vault.at(plan, command.replicated_from_rank, label)[1].replicated
    held = vault.held.get((rank, label))
    if held is None or held is not before:
        return
    geometry, offer = plan.geometry(plan.group_index(rank)), held.members[plan.member_of(rank)]
    chunk = program.chunk_bytes(geometry, held.members)
    for position, part in decoded.items():
        if _has_its_digest(held, offer, position, geometry.d, chunk, part):
            vault.put(plan, rank, label, position, part)
            vault.node.around.checkers.bytes.chunk_repaired(rank, label, position, held, geometry.d)
    if common is not None and program.digests(common) == offer.items[1].blocks:
        held.replicated = common
    vault.node.post(ev.Repaired(rank=rank, label=label, wrong=vault.wrong_chunks(plan, rank, label, parity=True)))


def _decode(vault: SimVault, plan: Plan, task: msg.DecodeTask) -> Generator[float | SimVault, None, dict[int, bytes]]:
    geometry = plan.geometry(task.group)
    present: dict[int, bytes] = {}
    chunk = 0
    for position, rank in task.sources:
        yield from vault.there(plan, rank, task.label)
        other, part = vault.look(plan, rank, task.label, position)
        if part is None:
            raise SimLinkDown
        present[position] = part
        chunk = program.chunk_bytes(geometry, other.vault.held[rank, task.label].members)
        other.vault.moved_rebuild += chunk if other is not vault.node else 0
        yield CHUNK_S
    return program.decode(geometry.n, geometry.m, chunk, present, [position for position, _ in task.wanted])


def _has_its_digest(held: SimVaultEntry, offer: SnapshotIndex, position: int, d: int, chunk: int, part: bytes) -> bool:
    if position >= d:
        return program.digests(part) == held.digests[position - d]
    return program.is_right(offer, position, chunk, part[: max(0, offer.coded_bytes - position * chunk)])
