"""The options of parity groups: which nodes fail together, and how many ranks share parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from perdure.errors import ConfigError
from perdure.launch.domains import joined, parse_labels, racks

PANEL = "Failure domains"
FailureDomains = Annotated[
    str | None,
    typer.Option(
        metavar="KIND,...",
        help="Labels that say what fails together, the outermost first, as in rack,node: no group has more than --parity members in one.",
        rich_help_panel=PANEL,
    ),
]
NodeLabel = Annotated[list[str] | None, typer.Option(metavar="NODE:NAME=VALUE", help="A label of a node.", rich_help_panel=PANEL)]
Racks = Annotated[int | None, typer.Option(help="So many racks, to which the nodes are dealt in turn.", rich_help_panel=PANEL)]
ChosenGroupSize = Annotated[
    str | None,
    typer.Option(
        metavar="K|auto", help="Ranks that share parity; auto: by memory and failures. Default: up to eight.", rich_help_panel="Shape"
    ),
]
NodeMemory = Annotated[
    float | None,
    typer.Option(metavar="GB", help="Of a node, for --group-size auto. Default: its share of this machine.", rich_help_panel="Shape"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """What `perdure.run` takes: the kinds of domains, and each node's labels."""

    failure_domains: tuple[str, ...]
    node_labels: dict[int, dict[str, str]]


def wish(domains: str | None, labels: Sequence[str] | None, rack_count: int | None, nodes: int) -> GroupingOptions:
    """Of the three options; `--racks` alone names its kind of domain itself. `nodes`: of the job, spares included."""
    made = racks(rack_count, nodes) if rack_count is not None else {}
    kinds = domains if domains is not None else "rack" if made else ""
    if labels and not kinds:
        raise ConfigError("--node-label goes with --failure-domains: name the labels that say what fails together, as in rack,node")
    return GroupingOptions(failure_domains=tuple(kinds.split(",")) if kinds else (), node_labels=joined(made, parse_labels(labels or ())))


def group_size_of(text: str | None) -> int | str | None:
    """`K`; what else it may be, `perdure.run` knows."""
    return int(text) if text is not None and text.isdecimal() else text


def bytes_of(gigabytes: float | None) -> int | None:
    """Of 10^9 each."""
    return None if gigabytes is None else int(gigabytes * 1e9)
