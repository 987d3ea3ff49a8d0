"""The placement of ranks on nodes, in failure domains and in parity groups, with all checks of the operator's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perdure.core.domains import Domains, fullest, spread
from perdure.core.layout import default_group_size, domain_group_size, initial_nodes, nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.errors import ConfigError
from perdure.launch.domains import domains_of


def shape_of(
    ranks: int,
    ranks_per_node: int,
    spares: int,
    parity: int,
    group_size: int | None,
    failure_domains: Sequence[str] = (),
    labels: Mapping[int, Mapping[str, str]] | None = None,
) -> JobShape:
    """Return the placement of ranks on nodes, in failure domains and in parity groups; see `run`. ConfigError: it is impossible."""
    if ranks_per_node < 1:
        raise ConfigError(f"--ranks-per-node must be 1 or more, not {ranks_per_node}")
    if spares < 0:
        raise ConfigError(f"--spares must be 0 or more, not {spares}")
    if parity not in (0, 1, 2, 3):
        raise ConfigError(f"--parity must be 0, 1, 2 or 3, not {parity}")
    nodes = nodes_with_ranks(ranks, ranks_per_node) + spares
    domains = domains_of(failure_domains, labels or {}, nodes)
    size = group_size if group_size is not None else _group_size(ranks, ranks_per_node, nodes, parity, domains)
    smallest = ranks // -(-ranks // max(size, 1))
    if size < 1 or smallest <= parity:
        raise ConfigError(
            f"--parity {parity} needs parity groups of more than {parity} ranks, but {ranks} ranks in groups of up to {size} give a group "
            f"of {smallest}: use a smaller --parity, or more ranks"
        )
    if smallest - parity > 32 or -(-ranks // -(-ranks // size)) - parity > 32:
        raise ConfigError(f"--group-size {size} is too large: use at most --parity + 32, which is {parity + 32}")
    return JobShape(ranks=ranks, ranks_per_node=ranks_per_node, group_size=size, parity=parity, domains=domains)


def _group_size(ranks: int, ranks_per_node: int, nodes: int, parity: int, domains: Domains) -> int:
    """The default; smaller where groups of that size would have too many members in one failure domain."""
    size = default_group_size(ranks, ranks_per_node, parity)
    if not domains.names or not parity:
        return size
    spares = nodes - nodes_with_ranks(ranks, ranks_per_node)
    return domain_group_size(ranks, fullest(homes_of(ranks, ranks_per_node, spares, domains), domains), parity, size)


def parity_of(parity: int | None, ranks: int) -> int:
    """Return what was asked for, or the default: 1, and 0 for a single rank, because nobody could hold its parity."""
    return parity if parity is not None else int(ranks != 1)


def homes_of(ranks: int, ranks_per_node: int, spares: int, domains: Domains) -> list[int]:
    """The node of each rank at the start, if all nodes come up."""
    wanted = initial_nodes(ranks, ranks_per_node)
    seats = sorted(spread(range(wanted[-1] + 1 + spares), domains)[: wanted[-1] + 1])
    return [seats[node] for node in wanted]
