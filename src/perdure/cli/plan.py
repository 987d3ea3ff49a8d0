"""The command `perdure plan`: show how much memory each node will hold."""

from __future__ import annotations

from itertools import groupby

import typer
from rich.console import Console
from rich.table import Table

from perdure.cli.grouping import ChosenGroupSize, FailureDomains, NodeLabel, NodeMemory, Racks, bytes_of, group_size_of, wish
from perdure.cli.hosts import HostList, HostsFile, host_names
from perdure.cli.options import Memory, Parity, Program, Ranks, RanksPerNode, Seed, Setting, Spares, explain_arguments
from perdure.cli.parts import in_bytes, parity_of
from perdure.cli.settings import parse_settings
from perdure.core.layout import nodes_with_ranks
from perdure.core.settings import Settings
from perdure.engines.hosts import labels_of
from perdure.launch.domains import joined
from perdure.launch.planning import Holding, JobPlan, plan

DEFAULTS = Settings()


def plan_command(
    context: typer.Context,
    program: Program,
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = None,
    group_size: ChosenGroupSize = None,
    node_memory: NodeMemory = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    setting: Setting = None,
    memory: Memory = DEFAULTS.memory,
    seed: Seed = 0,
) -> None:
    """Show how much memory each node will hold, and how many nodes may be lost. Run the program only up to its first superstep.

    `perdure plan examples/heat/heat.py --ranks 8 --parity 2 -- --n 2048`
    """
    explain_arguments(program, context.args)
    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    named = dict(enumerate(map(labels_of, host_names(hosts, hosts_file)[:nodes])))
    domains = wish(failure_domains, node_label, racks, nodes)
    show(
        plan(
            program, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity,
            group_size=group_size_of(group_size), node_memory_bytes=bytes_of(node_memory),
            settings=parse_settings(setting or [], DEFAULTS.hang_timeout_s), memory=memory, seed=seed,
            failure_domains=domains.failure_domains, node_labels=joined(named, domains.node_labels),
            raw_arguments=context.args,
        )
    )  # fmt: skip


def show(plan: JobPlan) -> None:
    """Print the plan. Consecutive nodes with equal holdings share a row."""
    table = Table("node", "ranks")
    for column in ("live", "snapshots", "parity", "together"):
        table.add_column(column, justify="right")
    for _, same in groupby(plan.nodes, key=lambda node: (len(node.ranks), node.live, node.snapshots, node.parity)):
        nodes = list(same)
        table.add_row(_numbers([node.node for node in nodes]), _ranks(nodes), *map(in_bytes, _columns(nodes[0])))
    console = Console()
    console.print(table)
    sizes = sorted({len(group) for group in plan.groups})
    console.print(
        f"parity groups: {len(plan.groups)}, of {' or '.join(map(str, sizes))} ranks; parity chunks per stripe: {plan.parity}",
        f"any nodes that may be lost together: {plan.tolerance}",
        f"memory for protection: {plan.extra:.2f} times the live items",
        f"total memory: {in_bytes(plan.total)}; available on this machine: {in_bytes(plan.available)}",
        *([f"group size: {plan.grouping}"] if plan.grouping else []),
        *([f"parity: {parity_of(plan.uneven)}"] if plan.uneven else []),
        *([f"warning: {plan.risk}"] if plan.risk else []),
        sep="\n", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _columns(node: Holding) -> tuple[int, ...]:
    return node.live, node.snapshots, node.parity, node.total


def _numbers(numbers: list[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _ranks(nodes: list[Holding]) -> str:
    ranks = [rank for node in nodes for rank in node.ranks]
    return _numbers(ranks) if ranks else "spare"
