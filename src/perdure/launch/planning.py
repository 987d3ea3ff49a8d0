"""The memory that each node of a job will hold. The program's declarations run on threads of this process, and nothing after them.

Memory of a rank: its live items; two slots; two sets of m parity chunks, each as long as the largest state of its group divided by n - m.
A spare has ready what the largest rank needs, as often as a node has ranks; live items as long as a snapshot. In tight mode live items lie
in one of the slots, as far as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perdure.core.domains import risk
from perdure.core.imbalance import Imbalance, imbalance_of
from perdure.core.layout import COPIES, nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.core.plan import Plan
from perdure.core.planner import Seat, first_plan
from perdure.core.settings import Settings
from perdure.errors import ProgramFailed, UsageError
from perdure.launch.program import Raw
from perdure.launch.runner import check_parameters, check_settings
from perdure.launch.shapes import parity_of, shape_of
from perdure.launch.sizing import AUTO, fixed_size, sized
from perdure.launch.thread_rendezvous import Declaration
from perdure.launch.threads import run_threads
from perdure.runtime.posix import available_bytes
from perdure.runtime.session import RankParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The memory of one node, in bytes; `ranks` is empty for a spare."""

    node: int
    ranks: tuple[int, ...]
    live: int
    snapshots: int
    parity: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.live + self.snapshots + self.parity


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The plan of a whole job. `tolerance`: the number of nodes that may be lost together, whichever they are; `available`: free bytes of
    this machine; `risk`, `uneven`: as in `perdure.Report`; `grouping`: the reason for the group size, if it was chosen automatically."""

    nodes: tuple[Holding, ...]
    groups: tuple[tuple[int, ...], ...]
    parity: int
    tolerance: int
    available: int
    risk: str
    uneven: Imbalance | None
    grouping: str = ""

    @property
    def total(self) -> int:
        """Bytes of all nodes together."""
        return sum(node.total for node in self.nodes)

    @property
    def extra(self) -> float:
        """The memory for protection on nodes with ranks, in units of the live items."""
        holding = [node for node in self.nodes if node.ranks]
        return sum(node.snapshots + node.parity for node in holding) / max(sum(node.live for node in holding), 1)


class _Seen(Exception):
    """Ends the job: all ranks have declared their items."""


def plan(
    main: Callable[..., Any] | str,
    *,
    ranks: int = 4,
    ranks_per_node: int = 1,
    spares: int = 1,
    parity: int | None = None,
    group_size: int | str | None = None,
    node_memory_bytes: int | None = None,
    settings: Settings | None = None,
    memory: str | None = None,
    failure_domains: Sequence[str] = (),
    node_labels: Mapping[int, Mapping[str, str]] | None = None,
    arguments: Mapping[str, Any] | None = None,
    raw_arguments: Raw | None = None,
    seed: int = 0,
) -> JobPlan:
    """Runs the program up to its first superstep. Arguments and errors as of `perdure.run`.

    Raises:
        UsageError: besides, the program declares nothing.
    """
    parameters = RankParameters(seed=seed, commit_every=None, ranks_on_machine=ranks, available_bytes=available_bytes())
    check_parameters(parameters, ranks)
    shape = shape_of(ranks, ranks_per_node, spares, parity_of(parity, ranks), fixed_size(group_size), failure_domains, node_labels)
    settings = settings or Settings()
    settings = replace(settings, memory=memory or settings.memory)
    check_settings(settings)
    seen: list[Declaration] = []

    def note(declarations: list[Declaration]) -> None:
        seen.extend(declarations)
        raise _Seen

    try:
        run_threads(main, arguments, raw_arguments, parameters=parameters, settings=settings, on_event=lambda event: None, declared=note)
    except ProgramFailed:
        if not seen:
            raise
    if all(item.name.startswith("__") for one in seen for item in one.offer.items):
        raise UsageError("the program declares no item, so no state would be protected: see job.sharded and job.private")
    reason = ""
    if group_size == AUTO:
        state_bytes = max(one.offer.coded_bytes for one in seen)
        share = available_bytes() // (nodes_with_ranks(ranks, ranks_per_node) + spares)
        node_bytes = share if node_memory_bytes is None else node_memory_bytes
        shape, choice = sized(shape, spares, settings, state_bytes=state_bytes, node_bytes=node_bytes)
        reason = choice.reason if choice is not None else ""
    return replace(_planned(shape, spares, seen, settings), grouping=reason)


def _planned(shape: JobShape, spares: int, declared: list[Declaration], settings: Settings) -> JobPlan:
    wanted = nodes_with_ranks(shape.ranks, shape.ranks_per_node)
    seats = [Seat(agent=node + 1, node=node, address="") for node in range(wanted + spares)]
    first = first_plan(seats, shape.ranks, shape.ranks_per_node, shape.group_size, shape.parity, shape.domains)
    of_rank = [_of_rank(first, declared, rank) for rank in range(shape.ranks)]
    largest = COPIES * shape.ranks_per_node * max(one.offer.coded_bytes + one.offer.replicated_bytes for one in declared)
    parity = shape.ranks_per_node * max(chunks for _, _, chunks in of_rank)
    live = 0 if settings.is_tight else largest // COPIES

    def holding(seat: Seat) -> Holding:
        ranks = first.ranks_of(seat.agent)
        if ranks:
            return _on_node(seat.node, ranks, of_rank)
        return Holding(node=seat.node, ranks=(), live=live, snapshots=largest, parity=parity)

    return JobPlan(
        nodes=tuple(map(holding, seats)), groups=first.groups, parity=shape.parity, tolerance=first.tolerance(),
        available=available_bytes(), risk=risk(first.groups, lambda rank: first.placements[rank].node, shape.parity, shape.domains),
        uneven=imbalance_of(first.groups, shape.parity, [one.offer.coded_bytes for one in declared]),
    )  # fmt: skip


def _of_rank(plan: Plan, declared: list[Declaration], rank: int) -> tuple[int, int, int]:
    """Bytes of live items, of slots as far as they are not live, and of parity chunks."""
    offer, geometry = declared[rank].offer, plan.geometry(plan.group_index(rank))
    chunk = geometry.chunk_bytes([declared[other].offer.coded_bytes for other in plan.group_of(rank)])
    return (
        declared[rank].live_bytes,
        COPIES * (offer.coded_bytes + offer.replicated_bytes) - declared[rank].resident_bytes,
        COPIES * geometry.m * chunk,
    )


def _on_node(node: int, ranks: tuple[int, ...], of_rank: list[tuple[int, int, int]]) -> Holding:
    live, snapshots, parity = (sum(column) for column in zip(*(of_rank[rank] for rank in ranks), strict=True))
    return Holding(node=node, ranks=ranks, live=live, snapshots=snapshots, parity=parity)
