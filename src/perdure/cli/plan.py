"""`perdure plan`: a table of what each node will hold."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table

from perdure.cli.parts import in_bytes
from perdure.launch.planning import Holding, JobPlan


def show(plan: JobPlan) -> None:
    """Prints it. Nodes that hold the same, one after the other, share a line."""
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
        f"parity groups: {len(plan.groups)}, of {' or '.join(map(str, sizes))} ranks; parity chunks of a stripe: {plan.parity}",
        f"nodes that may be lost together, whichever they are: {plan.tolerance}",
        f"protection holds {plan.extra:.2f} times the live items",
        f"together {in_bytes(plan.total)}; this machine has {in_bytes(plan.available)} to spare",
        *([f"group size: {plan.grouping}"] if plan.grouping else []),
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
