"""The failure domains of nodes, as the operator specified them, with all checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from perdure.core.domains import Domains
from perdure.errors import ConfigError

NODE: Final = "node"
"""The innermost domain: it may be named, and is always there."""
Labels = Mapping[int, Mapping[str, str]]


def domains_of(names: Sequence[str], labels: Labels, nodes: int) -> Domains:
    """Return the failure domains of a job's nodes, spares included.

    Args:
        names: the labels that are failure domains, the outermost first.
        labels: the labels of each node.

    Raises:
        ConfigError: a name that is no label, or a node without it; a label of a node that the job does not have.
    """
    kinds = _kinds(names)
    for node in labels:
        if not 0 <= node < nodes:
            raise ConfigError(f"a label names node {node}, but this job has nodes 0 to {nodes - 1}: see --ranks and --spares")
    known = sorted({name for node in labels for name in labels[node]})
    for kind in kinds:
        if kind not in known:
            have = f"labels are {', '.join(known)}" if known else "give labels with --node-label 0:rack=a, or in --hosts-file"
            raise ConfigError(f"--failure-domains: no node has a label {kind!r}; {have}")
        for node in range(nodes):
            if kind not in labels.get(node, {}):
                raise ConfigError(f"node {node} has no label {kind!r}: write --node-label {node}:{kind}=..., or {kind}=... after its host")
    return Domains(names=kinds, paths=tuple(tuple(labels[node][kind] for kind in kinds) for node in range(nodes)) if kinds else ())


def _kinds(names: Sequence[str]) -> tuple[str, ...]:
    kinds = tuple(names)
    if len(set(kinds)) < len(kinds) or "" in kinds:
        raise ConfigError(f"--failure-domains {','.join(kinds)}: name each kind once, the outermost first, such as rack,node")
    if NODE in kinds[:-1]:
        raise ConfigError(f"--failure-domains {','.join(kinds)}: node is the innermost domain, so write it last")
    return kinds[:-1] if kinds[-1:] == (NODE,) else kinds


def joined(*several: Labels) -> dict[int, dict[str, str]]:
    """Labels from several sources. ConfigError: two values for one."""
    found: dict[int, dict[str, str]] = {}
    for labels in several:
        for node, given in labels.items():
            for name, value in given.items():
                if found.setdefault(node, {}).setdefault(name, value) != value:
                    raise ConfigError(
                        f"node {node} has two values for the label {name!r}, {found[node][name]} and {value}: give it only one"
                    )
    return found


def parse_labels(words: Iterable[str]) -> dict[int, dict[str, str]]:
    """`NODE:NAME=VALUE` each."""
    return joined(*map(_parse_label, words))


def _parse_label(word: str) -> dict[int, dict[str, str]]:
    node, colon, label = word.partition(":")
    name, equals, value = label.partition("=")
    if not (colon and equals and node.isdecimal() and name and value):
        raise ConfigError(f"--node-label {word}: write NODE:NAME=VALUE, such as 0:rack=a")
    return {int(node): {name: value}}


def racks(count: int, nodes: int) -> dict[int, dict[str, str]]:
    """Labels for so many racks, to which the nodes are dealt in turn."""
    if count < 1:
        raise ConfigError(f"--racks must be 1 or more, not {count}")
    return {node: {"rack": str(node % count)} for node in range(nodes)}
