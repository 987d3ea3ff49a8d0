"""Which nodes fail together, and which parity groups would lose too much with them.

A failure domain lies in the one named before it: rack 1 of row a is another than rack 1 of row b. The innermost domain is the node
itself, and is not named here. (CRUSH, Weil et al. 2006, places by the same tree; SCR calls the groups redundancy sets.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Path = tuple[str, ...]
Prefix = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """`names`: the kinds of failure domains, the outermost first, such as ("row", "rack"); empty: a node shares its fate with no other.
    `paths`: of each node, in the order of nodes, its domain of each kind."""

    names: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()

    def path(self, node: int) -> Prefix:
        """The domains of a node, the outermost first, and the node itself. Nodes that nothing is known of count as one domain."""
        return (*(self.paths[node] if node < len(self.paths) else ("",) * len(self.names)), node)

    def prefixes(self, node: int) -> tuple[Prefix, ...]:
        """What fails with a node: each of its domains by its whole path, the outermost first; the node last."""
        path = self.path(node)
        return tuple(path[: depth + 1] for depth in range(len(path)))


def spread(nodes: Sequence[int], domains: Domains) -> list[int]:
    """Nodes in an order of which each beginning lies as evenly in the domains as can be, the outermost first; else in their own order."""
    order = sorted(nodes)
    for depth in range(len(domains.names), 0, -1):
        seen: Counter[Prefix] = Counter()
        turn: dict[int, int] = {}
        for node in order:
            domain = domains.path(node)[:depth]
            turn[node] = seen[domain]
            seen[domain] += 1
        order.sort(key=turn.__getitem__)
    return order


def fullest(homes: Sequence[int], domains: Domains) -> tuple[int, ...]:
    """The most ranks in one domain, of each kind, the outermost first; the node last. `homes`: the node of each rank."""
    counts: list[Counter[Prefix]] = [Counter() for _ in range(len(domains.names) + 1)]
    for node in homes:
        for count, prefix in zip(counts, domains.prefixes(node), strict=True):
            count[prefix] += 1
    return tuple(max(count.values(), default=0) for count in counts)


def risk(groups: Sequence[Sequence[int]], home: Callable[[int], int], parity: int, domains: Domains) -> str:
    """The worst that the loss of one domain would do, as a sentence; empty where no domain holds more than `parity` members of a group,
    where no domains are known, and where there is no parity. `home`: the node of a rank."""
    if not domains.names or not parity:
        return ""
    over: list[tuple[int, int, Prefix, int]] = []
    for index, group in enumerate(groups):
        counts = Counter(prefix for rank in group for prefix in domains.prefixes(home(rank)))
        over += [(len(prefix), -count, prefix, index) for prefix, count in counts.items() if count > parity]
    if not over:
        return ""
    depth, count, prefix, index = min(over, key=lambda one: (*one[:2], one[3], str(one[2])))
    kind = (*domains.names, "node")[depth - 1]
    ranks = ", ".join(str(rank) for rank in groups[index] if domains.path(home(rank))[:depth] == prefix)
    more = f" (and {len(over) - 1} more)" if len(over) > 1 else ""
    held = f"{kind} {prefix[-1]} holds {-count} members of group {index} (ranks {ranks})"
    return f"{held}: its loss is more than parity {parity} can rebuild{more}; use more {kind}s, smaller groups or more parity"


def fatal_loss(groups: Sequence[Sequence[int]], home: Callable[[int], int], parity: int, domains: Domains) -> str:
    """Return which single loss would end the job, as a sentence: that of a failure domain (`risk`), else that of the node with the most
    members of a group. Empty if the job survives each single loss, and where there is no parity."""
    if not parity or (found := risk(groups, home, parity, domains)):
        return found if parity else ""
    over = [shared for shared in _shared(groups, home) if len(shared[1]) > parity]
    if not over:
        return ""
    node, ranks = min(over, key=lambda shared: (-len(shared[1]), shared[0]))
    more = f" (and {len(over) - 1} more)" if len(over) > 1 else ""
    return (
        f"the loss of node {node} would end the job: it hosts ranks {_listed(ranks)} of one group, which parity {parity} "
        f"cannot rebuild{more}"
    )


def why_degraded(groups: Sequence[Sequence[int]], home: Callable[[int], int]) -> str:
    """Return which ranks of one group share a node, as a phrase; empty if none do."""
    shared = sorted(_shared(groups, home))
    if not shared:
        return ""
    node, ranks = shared[0]
    more = f", and {len(shared) - 1} more nodes likewise" if len(shared) > 1 else ""
    return f"ranks {_listed(ranks)} of one parity group share node {node}{more}"


def _shared(groups: Sequence[Sequence[int]], home: Callable[[int], int]) -> list[tuple[int, list[int]]]:
    """Each node with the members of a group that it hosts, if they are several."""
    found: list[tuple[int, list[int]]] = []
    for group in groups:
        hosted: dict[int, list[int]] = {}
        for rank in group:
            hosted.setdefault(home(rank), []).append(rank)
        found += [(node, ranks) for node, ranks in hosted.items() if len(ranks) > 1]
    return found


def _listed(ranks: Sequence[int]) -> str:
    return f"{', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"
