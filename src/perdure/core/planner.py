"""Losses and spares in, a plan or `Unrecoverable` out, with the reason; and who decodes what (rules D3, R1, R2, R5).

Nothing here remembers anything: every answer follows from the arguments, so the same losses give the same plan everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from perdure.core import seating
from perdure.core.domains import Domains
from perdure.core.holdings import Holdings
from perdure.core.ids import END, Label
from perdure.core.layout import dealt_groups, initial_nodes, parity_groups
from perdure.core.messages import Custodian, DecodeTask, RestoreSource
from perdure.core.plan import Placement, Plan, PlanChange
from perdure.core.seating import Seat

__all__ = ["Lost", "Seat", "choose_base", "decode_tasks", "erased_chunks", "first_plan", "next_plan", "restore_sources"]
NO_DOMAINS = Domains()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Why there can be no next generation."""

    ranks: tuple[int, ...]
    text: str


def first_plan(seats: Sequence[Seat], ranks: int, ranks_per_node: int, group_size: int, parity: int, domains: Domains = NO_DOMAINS) -> Plan:
    """Generation 1: consecutive ranks share a node; nodes that did not come up are made good by the ones that did. Seats that are left over
    are spares. Where failure domains are known, they choose those, and the groups."""
    wanted = initial_nodes(ranks, ranks_per_node)
    chosen = seating.choose_seats(seats, wanted[-1] + 1, domains)
    homes = [chosen[node % len(chosen)] for node in wanted]
    return Plan(
        generation=1,
        placements=tuple(Placement(rank=rank, agent=home.agent, node=home.node, incarnation=1) for rank, home in enumerate(homes)),
        groups=dealt_groups([domains.path(home.node) for home in homes], group_size)
        if domains.names
        else parity_groups(ranks, ranks_per_node, group_size),
        parity=parity,
        base=None,
        positions=(0, 1),
        addresses=tuple(sorted({(home.agent, home.address) for home in homes})),
    )


def choose_base(plan: Plan, held: Holdings, *, agreed: bool = False, with_kept: bool = False) -> Label | None:
    """D3: the newest label that every counted rank has prepared, else the base of the generation that ends (None: nothing yet). `agreed`: a
    label at which replicated items differ was never committed, and is none (rule C6). `with_kept`: nor is one that a rank had not prepared
    whose home was excluded, and has answered the seal."""
    common = {label for label in held.common(held.kept_by_homes(plan) if with_kept else ()) if not agreed or held.agree_on(label)}
    candidates = common | ({plan.base} if plan.base else set())
    return max(candidates, default=None)


def erased_chunks(plan: Plan, base: Label, held: Holdings) -> dict[tuple[int, int], list[int]]:
    """(group, stripe) -> the code positions of that stripe that are on no member and on no custodian (rule R2)."""
    return {
        key: [position for position in positions if position not in kept]
        for key, positions in lacking_chunks(plan, base, held).items()
        for kept in [_kept(plan, base, held, *key)]
    }


def _kept(plan: Plan, base: Label, held: Holdings, index: int, stripe: int) -> dict[int, Custodian]:
    """Code position of the stripe -> a custodian that has the chunk."""
    geometry, group = plan.geometry(index), plan.groups[index]
    found = {}
    for custodian, rank, report in held.kept_of(group, base):
        position = geometry.position(stripe, group.index(rank))
        if (report.data | report.parity << geometry.d) >> position & 1:
            found[position] = custodian
    return found


def lacking_chunks(plan: Plan, base: Label, held: Holdings) -> dict[tuple[int, int], list[int]]:
    """(group, stripe) -> the code positions of that stripe that their members do not hold."""
    erased: dict[tuple[int, int], list[int]] = {}
    for index in sorted({plan.group_index(rank) for rank in held.not_whole(plan, base)}):
        geometry, group = plan.geometry(index), plan.groups[index]
        for stripe in range(geometry.n):
            for position in range(geometry.n):
                rank = group[geometry.member(stripe, position)]
                if held.has_whole(plan, rank, base):
                    continue
                holder = held.report(rank, base)
                mask, bit = (
                    (0, 0)
                    if holder is None
                    else ((holder.data, position) if position < geometry.d else (holder.parity, position - geometry.d))
                )
                if not mask >> bit & 1:
                    erased.setdefault((index, stripe), []).append(position)
    return erased


def next_plan(
    plan: Plan,
    held: Holdings,
    seats: Sequence[Seat],
    spares: Sequence[Seat],
    workers_gone: Mapping[int, int],
    positions: Sequence[int],
    *,
    agreed: bool = False,
    domains: Domains = NO_DOMAINS,
    ranks_per_node: int = 1,
) -> Plan | Lost:
    """D3: where every rank lives next, and from which label. `seats` are the living members, `spares` the nodes without ranks; `agreed`:
    see `choose_base`; `ranks_per_node`: the most that a spare takes while another one is free."""
    missing, homes_answer = held.missing, bool(held.kept_by_homes(plan))
    base = choose_base(plan, held, agreed=agreed, with_kept=held.are_none)
    lost = _not_whole(plan, base, held)
    if lost and homes_answer:
        base = choose_base(plan, held, agreed=agreed, with_kept=True)
        lost = _not_whole(plan, base, held)
    if lost:
        return lost
    if held.are_none and not homes_answer:
        return Lost(ranks=missing, text="all nodes that recorded the last commit were lost: start the job again")
    if missing and not seats and not spares:
        return Lost(ranks=missing, text="no node is left: start the job again with more --spares")
    homes = seating.place(plan, missing, seats, spares, domains, ranks_per_node)
    if base is None or base.superstep != END:
        homes |= seating.relieve(plan, homes, spares, lambda rank: _movable(plan, base, held, rank), domains, ranks_per_node)
    renewed = {*homes, *missing, *workers_gone} if base is not None else set(range(plan.size))
    placed = []
    for rank in sorted(renewed):
        place = plan.placements[rank]
        seat = homes.get(rank) or Seat(agent=place.agent, node=place.node, address=plan.address_of(place.agent))
        placed.append(Placement(rank=rank, agent=seat.agent, node=seat.node, incarnation=place.incarnation + 1))
    return plan.amended(
        PlanChange(
            base=base,
            positions=_positions_after(base, positions),
            placements=tuple(placed),
            addresses=tuple(sorted({(seat.agent, seat.address) for seat in homes.values()})),
        )
    )


def _movable(plan: Plan, base: Label | None, held: Holdings, rank: int) -> bool | None:
    """E10: does the living home of a rank have all of its chunks, to keep them? None: it has a part of them; a rank that is half rebuilt
    stays."""
    if base is None:
        return False
    if held.has_whole(plan, rank, base):
        return True
    return False if held.report(rank, base) is None else None


def after_moves(before: Plan, plan: Plan, held: Holdings, spares: Sequence[Seat]) -> Holdings:
    """E10: what is held of the base, seen from a plan that moves ranks whose home lives to some of these spares: the old home keeps what it
    has. What the new home has kept since an earlier move is its own again."""
    if plan.base is None:
        return held
    moved = [rank for seat in spares for rank in plan.ranks_of(seat.agent) if rank not in held.missing]
    back = {
        report.rank: report for custodian, report in held.kept
        if report.rank in held.missing and plan.agent_of(report.rank) == custodian.agent
    }  # fmt: skip
    if not moved and not back:
        return held
    left = {rank: held.whole_report(before, rank, plan.base) for rank in moved}
    kept = [(Custodian(agent=before.agent_of(rank), address=before.address_of(before.agent_of(rank))), one) for rank, one in left.items()]
    return replace(
        held,
        reports={rank: report for rank, report in held.reports.items() if rank not in left} | back,
        missing=tuple(sorted({*held.missing, *left} - back.keys())),
        kept=(*((custodian, report) for custodian, report in held.kept if report.rank not in back), *kept),
    )


def _positions_after(base: Label | None, positions: Sequence[int]) -> tuple[int, int]:
    """C1: the two commits after the base, as rank 0 had fixed them."""
    if base is None:
        return (0, 1)
    if base.superstep == END:
        return (END, END)
    later = sorted(position for position in positions if position > base.superstep)
    first = later[0] if later else base.superstep + 1
    return (first, later[1] if len(later) > 1 else first + 1)


def custodians_read(plan: Plan, held: Holdings) -> frozenset[int]:
    """The custodians without which a plan cannot be carried out; not the members that keep chunks, whose loss ends the generation."""
    if not held.kept:
        return frozenset()
    tasks = (task for tasks in decode_tasks(plan, held).values() for task in tasks)
    sources = (source for sources in restore_sources(plan, held).values() for source in sources)
    read = [custodian for task in tasks for _, custodian in task.kept]
    read += [custodian for source in sources for custodian in (source.offers_at, source.replicated_at) if custodian is not None]
    return frozenset(custodian.agent for custodian in read if not plan.ranks_of(custodian.agent))


def _not_whole(plan: Plan, base: Label | None, held: Holdings) -> Lost | None:
    return None if base is None else _undecodable(plan, base, held) or _without_replicated(base, held)


def _undecodable(plan: Plan, base: Label, held: Holdings) -> Lost | None:
    worst = max(erased_chunks(plan, base, held).items(), key=lambda entry: len(entry[1]), default=None)
    if worst is None or len(worst[1]) <= plan.parity:
        return None
    missing = held.missing
    (group, stripe), positions = worst
    geometry = plan.geometry(group)
    holders = [plan.groups[group][geometry.member(stripe, position)] for position in positions]
    gone = tuple(rank for rank in plan.groups[group] if rank in missing)
    wrong = tuple(sorted(rank for rank in holders if rank not in missing))
    need = len(positions)
    names = {
        f"rank {_listed(gone)} was lost": len(gone) == 1,
        f"ranks {_listed(gone)} of one parity group were lost together": len(gone) > 1,
        f"the data of rank {_listed(wrong)} was not rebuilt yet or is corrupt": bool(wrong),
    }
    text = (
        f"{', '.join(name for name, holds in names.items() if holds)}, but parity rebuilds at most {plan.parity} of a group; "
        f"the last committed superstep was {_step(base)}. Use --parity {need} (in groups of more than {need} ranks)"
    )
    return Lost(ranks=gone or wrong, text=text)


def _without_replicated(base: Label, held: Holdings) -> Lost | None:
    """Replicated items are copied: one rank with the right bytes is enough, and there must be one."""
    if held.has_replicated(base):
        return None
    text = f"the replicated items of {_step(base)} are corrupt on all remaining ranks: start the job again"
    return Lost(ranks=held.missing, text=text)


def _listed(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))


def _step(base: Label) -> str:
    return "the end" if base.superstep == END else f"superstep {base.superstep}"


def restore_sources(plan: Plan, held: Holdings) -> dict[int, tuple[RestoreSource, ...]]:
    """Agent -> where each rank that it must rebuild, or whose replicated items are wrong, finds its group's offers and those items."""
    if plan.base is None:
        return {}
    base = plan.base
    lacking = held.without_replicated(base)
    others = held.with_replicated(plan, base, len(lacking)) if lacking else []
    kept = [(custodian, rank) for custodian, rank, report in held.kept_of(range(plan.size), base) if report.replicated]
    found: dict[int, list[RestoreSource]] = {}
    for rank in lacking:
        group = [other for other in plan.group_of(rank) if held.has_offers(other, base)]
        keepers = [(custodian, other) for custodian, other, _ in held.kept_of(plan.group_of(rank), base)]
        if not group and not keepers:
            continue
        offers_at, offers_from = (None, group[rank % len(group)]) if group else keepers[0]
        replicated_at, replicated_from = (None, others[rank % len(others)]) if others else kept[0]
        source = RestoreSource(
            rank=rank,
            offers_from=offers_from,
            replicated_from_rank=replicated_from,
            offers_at=offers_at,
            replicated_at=replicated_at,
        )
        found.setdefault(plan.agent_of(rank), []).append(source)
    return {agent: tuple(sources) for agent, sources in found.items()}


def decode_tasks(plan: Plan, held: Holdings) -> dict[int, tuple[DecodeTask, ...]]:
    """R1: agent -> the stripes that it decodes, those that lost data first. Decoders are the survivors of the group, as evenly as can be;
    a holder of parity that is read before others, for parity is the one kind of chunk that cannot be mapped from another process. What
    a custodian keeps is read where members have too little."""
    if plan.base is None:
        return {}
    lacking = lacking_chunks(plan, plan.base, held)
    found: dict[int, list[DecodeTask]] = {}
    load: Counter[int] = Counter()

    def urgent_first(item: tuple[tuple[int, int], list[int]]) -> bool:
        (index, _), positions = item
        return all(position >= plan.geometry(index).d for position in positions)

    for (index, stripe), positions in sorted(lacking.items(), key=urgent_first):
        group, geometry = plan.groups[index], plan.geometry(index)
        holders = {group[geometry.member(stripe, position)] for position in range(geometry.d, geometry.n) if position not in positions}
        survivors = [rank for rank in group if rank not in held.missing] or list(group)
        decoder = min(survivors, key=lambda rank: (load[rank], rank not in holders, (survivors.index(rank) - stripe) % len(survivors)))
        load[decoder] += 1
        present = [position for position in range(geometry.n) if position not in positions]
        near = sorted(present, key=lambda position: (group[geometry.member(stripe, position)] != decoder, position))[: geometry.d]
        kept = _kept(plan, plan.base, held, index, stripe) if len(near) < geometry.d else {}
        far = sorted(kept.keys() & set(positions))[: geometry.d - len(near)]
        task = DecodeTask(
            label=plan.base,
            group=index,
            stripe=stripe,
            sources=tuple((position, group[geometry.member(stripe, position)]) for position in sorted([*near, *far])),
            wanted=tuple((position, group[geometry.member(stripe, position)]) for position in positions),
            urgent=any(position < geometry.d for position in positions),
            kept=tuple((position, kept[position]) for position in far),
        )
        found.setdefault(plan.agent_of(decoder), []).append(task)
    return {agent: tuple(tasks) for agent, tasks in found.items()}
