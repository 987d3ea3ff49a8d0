"""By what is a key of a dict known, so that what stands under it can be found again in another dict?

1. A key whose value follows from plain values is known by that value: a number, a text, a tuple of them, an enum member, a date, a frozen
   dataclass.
2. Any other key, for example an object that is hashed by its identity, is known by its class and its position among such keys.

`matching` pairs the values of two dicts by these names; `places` follows the words that are made of them. Both mean the same parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from perdure.adapters import object_structure
from perdure.adapters.nodes import Node

Name = tuple[str, int]
"""The value or the class of a key, and how many keys of the same dict with the same one precede it."""
_DEPTH_MAX: Final = 20
"""Parts within parts of a key that are looked at. Arbitrary: nobody writes such keys."""
_PLAIN_BASES: Final = frozenset({"int", "float", "complex", "str", "bytes"})
_DICTS: Final = frozenset({"dict", "OrderedDict", "defaultdict"})


def pairs_of(node: Node) -> Any:
    """Return the cells of the keys and of the values of a node; none if it has no keys."""
    return node[2] if node[0] in _DICTS else node[6] if node[0] == "reduced" else ((), ())


class Keys:
    """The keys of the dicts in one table of nodes."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._values: dict[int, str | None] = {}

    def names(self, cells: Any) -> Iterator[Name]:
        """Yield the name of each key of a dict, in order; each name is there once."""
        counts: Counter[str] = Counter()
        for cell in cells:
            value = self._value(cell)
            name = self._class_of(cell) if value is None else value
            yield name, counts[name]
            counts[name] += 1

    def words(self, cells: Any, parts: list[Any]) -> list[str]:
        """Return the step from a dict to what stands under each key, in order; each is there once. `parts`: the object of each node."""
        if not any(map(_is_node, cells)):
            return [f"[{cell!r}]" for cell in cells]
        counts = Counter(repr(cell) for cell in cells if not _is_node(cell))
        found = []
        for cell in cells:
            text = repr(cell)
            number = 1
            if _is_node(cell):
                part = parts[cell[0]]
                is_known = self._value(cell) is not None and getattr(type(part), "__repr__", None) is not object.__repr__
                text = repr(part) if is_known else f"<{type(part).__name__}>"
                number = counts[text] = counts[text] + 1
                if not is_known:
                    text += f" #{number}"
                    number = 1
            found.append(f"[{text}]" if number == 1 else f"[{text} #{number}]")
        return found

    def _class_of(self, cell: Any) -> str:
        """Return the kind of a key that is known by its position, and its class without the name that the program has for it."""
        node = self._nodes[cell[0]]
        return f"{node[0]} {node[1][:2] if type(node[1]) is tuple else ''}"

    def _value(self, cell: Any, depth: int = 0) -> str | None:
        """Return the value of a key, different for different values and classes; None if it does not follow from plain values."""
        if not _is_node(cell):
            return repr(cell)
        index = cell[0]
        if index not in self._values:
            self._values[index] = None  # what refers to itself has no plain value
            if depth < _DEPTH_MAX:
                self._values[index] = self._value_of_node(self._nodes[index], depth + 1)
        return self._values[index]

    def _value_of_node(self, node: Node, depth: int) -> str | None:
        kind = node[0] if node else ""
        if kind in ("global", "scalar", "nan"):
            return repr(node)
        found: list[str | None] = [kind, repr(node[1]) if kind else None]
        if kind in _PLAIN_BASES:
            found += [repr(node[2]), self._all(node[-1], depth)]
        elif kind == "tuple":
            found += [self._all(node[2], depth), self._all(node[-1], depth)]
        elif kind == "frozenset":
            elements = [self._value(cell, depth) for cell in node[2]]
            found += [None if None in elements else repr(sorted(map(str, elements))), self._all(node[-1], depth)]
        elif kind == "reduced" and (node[4] is None or _has_own_hash(node)):
            found += [self._all(list(node[2:4]), depth), self._state(node[4], depth), self._all(node[5], depth), self._all(node[6], depth)]
        elif kind == "object" and object_structure.is_frozen(object_structure.find_global(*node[1][:2])):
            found.append(self._all(node[-1], depth))
        else:
            return None
        return None if None in found else repr(found)

    def _all(self, cells: list[Any], depth: int) -> str | None:
        """Return the value of cells in lists, or None."""
        found = [self._all(cell, depth) if type(cell) is list else self._value(cell, depth) for cell in cells]
        return None if None in found else repr(found)

    def _state(self, cell: Any, depth: int) -> str | None:
        """Return the value of what `__getstate__` has returned: a dict or a list of plain values too."""
        node = self._nodes[cell[0]] if _is_node(cell) else ()
        if node and node[0] in ("dict", "list") and not node[-1]:
            return self._all(node[2], depth)
        return self._value(cell, depth)


def _is_node(cell: Any) -> bool:
    return type(cell) is tuple


def _has_own_hash(node: Node) -> bool:
    return getattr(object_structure.find_global(*node[1][:2]), "__hash__", None) is not object.__hash__
