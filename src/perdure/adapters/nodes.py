"""The nodes of the table that `encoding` makes of an object: their type, and what they refer to."""

from __future__ import annotations

from typing import Any, Final

Node = tuple[Any, ...]
"""(kind, class, cells ...)."""
IMMUTABLE: Final = frozenset({"tuple", "frozenset", "int", "float", "complex", "str", "bytes", "nan", "global", "scalar", "opaque"})
"""Kinds of parts that are made at once, of parts that are there."""


def children(node: Node) -> list[int]:
    """Return the nodes that a node refers to."""
    if node[0] == "global" or node[0] == "opaque":
        return []
    found: list[int] = []
    for part in node[2:] if node[0] != "seeds" else node[1:2]:
        _gather(part, found)
    return found


def _gather(part: Any, found: list[int]) -> None:
    if type(part) is tuple:
        if len(part) == 1 and type(part[0]) is int:
            found.append(part[0])
    elif type(part) is list:
        for one in part:
            if type(one) is tuple and len(one) == 1 and type(one[0]) is int:
                found.append(one[0])
            elif type(one) is list:
                _gather(one, found)
