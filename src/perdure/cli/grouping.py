"""Options for failure domains and for the size of parity groups."""

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
        help="Kinds of failure domains, the outermost first, such as rack,node. perdure puts at most --parity members of a group into one.",
        rich_help_panel=PANEL,
    ),
]
NodeLabel = Annotated[
    list[str] | None, typer.Option(metavar="NODE:NAME=VALUE", help="A label of a node, such as 0:rack=a.", rich_help_panel=PANEL)
]
Racks = Annotated[int | None, typer.Option(help="Distribute the nodes over this many racks in turn.", rich_help_panel=PANEL)]
ChosenGroupSize = Annotated[
    str | None,
    typer.Option(
        metavar="K|auto",
        help="Ranks in a parity group; auto: chosen from memory and failure rate. Default: up to 8.",
        rich_help_panel="Shape",
    ),
]
NodeMemory = Annotated[
    float | None,
    typer.Option(
        metavar="GB", help="The memory of a node, for --group-size auto. Default: its share of this machine.", rich_help_panel="Shape"
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """The kinds of failure domains and the labels of each node, as `perdure.run` takes them."""

    failure_domains: tuple[str, ...]
    node_labels: dict[int, dict[str, str]]


def wish(domains: str | None, labels: Sequence[str] | None, rack_count: int | None, nodes: int) -> GroupingOptions:
    """Return the grouping that the three options ask for; `--racks` alone implies the kind `rack`. `nodes` includes spares."""
    made = racks(rack_count, nodes) if rack_count is not None else {}
    kinds = domains if domains is not None else "rack" if made else ""
    if labels and not kinds:
        raise ConfigError("--node-label needs --failure-domains: name the labels that are failure domains, such as rack,node")
    return GroupingOptions(failure_domains=tuple(kinds.split(",")) if kinds else (), node_labels=joined(made, parse_labels(labels or ())))


def group_size_of(text: str | None) -> int | str | None:
    """Return a group size as a number, or the text itself, which `perdure.run` checks."""
    return int(text) if text is not None and text.isdecimal() else text


def bytes_of(gigabytes: float | None) -> int | None:
    """Convert gigabytes (10^9 bytes) to bytes."""
    return None if gigabytes is None else int(gigabytes * 1e9)
