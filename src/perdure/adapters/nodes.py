"""The nodes of the table that `encoding` makes of an object: their type, and what they refer to."""

from __future__ import annotations

from typing import Any, Final

Node = tuple[Any, ...]
"""(kind, class, cells ...)."""
IMMUTABLE: Final = frozenset({"tuple", "frozenset", "int", "float", "complex", "str", "bytes", "nan", "global", "scalar", "opaque"})
"""Kinds of parts that are made at once, of parts that are there."""
NOWHERE: Final = object()
_ELEMENTS: Final = {"list": 2, "tuple": 2, "deque": 2, "set": 2, "frozenset": 2, "ndarray": 5, "reduced": 5}
"""The index of the first element's cell in nodes of each kind."""
_FIELDS: Final = {
    ("defaultdict", ".default_factory"): 3, ("rng", ".bit_generator"): 2, ("bits", ".state"): 2, ("bits", ".seed_seq"): 3,
    ("reduced", ""): 4,
}  # fmt: skip
"""Cells that are neither elements nor attributes."""
_WITHOUT_ATTRIBUTES: Final = frozenset({"rng", "bits", "seeds", "array.array", "reduced", "global", "scalar", "nan", "opaque"})


def children(node: Node) -> list[int]:
    """Return the nodes that a node refers to."""
    if node[0] == "global" or node[0] == "opaque":
        return []
    found: list[int] = []
    for part in node[2:] if node[0] != "seeds" else node[1:2]:
        _gather(part, found)
    return found


def child(node: Node, word: str) -> Any:
    """Return the cell at the end of one step from a node that is no step under a key of a dict; `NOWHERE` if there is none."""
    kind = node[0]
    if word.startswith("["):
        cells = node[_ELEMENTS[kind]] if kind in _ELEMENTS and word[1:-1].isdecimal() else ()
        number = int(word[1:-1]) if cells else 0
        return cells[number] if number < len(cells) else NOWHERE
    if (kind, word) in _FIELDS:
        return node[_FIELDS[kind, word]]
    if kind == "seeds":
        return node[1][0 if word == ".entropy" else 1]
    if kind in _WITHOUT_ATTRIBUTES or not node[-1]:
        return NOWHERE
    return {name.rpartition(".")[2]: cell for name, cell in zip(*node[-1], strict=True)}.get(word[1:], NOWHERE)


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
