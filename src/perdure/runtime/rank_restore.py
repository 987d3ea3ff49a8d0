"""What the new holder of a rank fetches before its chunks come: the group's offers, and the bytes of replicated items."""

from __future__ import annotations

from collections.abc import Callable

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.ids import Label
from perdure.core.messages import Custodian
from perdure.core.snapshot_index import Kind, SnapshotIndex, replicated_start, with_replicated_of
from perdure.mapping import Bytes
from perdure.runtime.tasks import Task
from perdure.runtime.vault import is_right
from perdure.runtime.vault_client import ask_offers
from perdure.runtime.vault_protocol import REPLICATED, receive_into, request


def restore(task: Task, command: do.Restore, post: Callable[[ev.AgentEvent], None]) -> None:
    """Fetches offers, has memory for the slot, and fetches the replicated region."""
    plan, source, label, rank = task.plan, command.source, command.label, command.rank
    offers, member = _offers_of(task, label, source.offers_from, source.offers_at), plan.member_of(rank)
    origin = source.replicated_from_rank
    theirs = _offers_of(task, label, origin, source.replicated_at)[plan.member_of(origin)]
    mine = with_replicated_of(offers[member], theirs)
    offers = (*offers[:member], mine, *offers[member + 1 :])
    task.vault.slot(rank, label, replicated_start(mine.coded_bytes) + mine.replicated_bytes)
    task.vault.with_offers(rank, label, offers, member, task.geometry(rank))
    post(ev.SlotRestored(rank=rank, label=label, member_offers=offers))
    view = task.vault.replicated_view(rank, label)
    fetch_replicated(task, label, origin, view, source.replicated_at)
    common = [item for item in mine.items if item.kind is Kind.REPLICATED]
    right = all(is_right(item, view[item.offset : item.offset + item.nbytes]) for item in common)
    post(ev.ReplicatedStored(rank=rank, label=label, right=right))


def _offers_of(task: Task, label: Label, rank: int, custodian: Custodian | None) -> tuple[SnapshotIndex, ...]:
    """All offers of the group of a rank, as its agent has them, or a custodian of it."""
    stream = task.to(rank, 0, custodian)
    return ask_offers(stream, label, rank) if stream else task.vault.held(rank, label).member_offers


def fetch_replicated(task: Task, label: Label, rank: int, target: Bytes, custodian: Custodian | None = None) -> None:
    """Copies the replicated region of a rank, which is as long as `target`, from its home or a custodian."""
    origin = task.to(rank, REPLICATED, custodian)
    if origin is None:
        target[:] = task.vault.replicated_view(rank, label)
    elif len(target):
        request(origin, REPLICATED, label, rank, 0, 0, len(target))
        receive_into(origin, target.data)
