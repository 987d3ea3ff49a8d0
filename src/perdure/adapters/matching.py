"""The assignment of parts of an existing object to the nodes of a table that is restored into it.

The one at the same place: under the same key (`keys`), index or attribute, if it is of the same kind and class and can take the node's
contents. A part stands for one node at most; of several places the one that `Encoding.words` returns goes first. What has no counterpart
is made anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import object_structure
from perdure.adapters.encoding import Encoding
from perdure.adapters.keys import Keys, pairs_of
from perdure.adapters.nodes import IMMUTABLE, Node

Bytes = NDArray[np.uint8]


class Matching:
    """The counterparts of `nodes` in the object `onto`. `old`: by node, the node of `onto` that stands for it; of tuples too."""

    def __init__(self, nodes: list[Node], buffers: list[Bytes], onto: Encoding) -> None:
        self._nodes, self._buffers, self._onto = nodes, buffers, onto
        self._keys, self._old_keys = Keys(nodes), Keys(onto.nodes)
        self.old: dict[int, int] = {}
        self._constants: dict[str, int] | None = None
        self._match()

    def _match(self) -> None:
        taken: set[int] = set()
        todo, later = [(0, 0, True)], deque[tuple[int, int, bool]]()
        while todo or later:
            index, old, is_part = todo.pop() if todo else later.popleft()
            new_node, old_node = self._nodes[index], self._onto.nodes[old]
            if index in self.old or new_node[0] != old_node[0]:
                continue
            if new_node[0] in IMMUTABLE:
                if new_node[0] != "tuple" or new_node[1] != old_node[1]:
                    continue
            elif is_part and (old in taken or not self._may_keep(index, old)):
                constant = self._equal_constant(new_node)
                if constant is not None and constant not in taken:
                    taken.add(constant)
                    self.old[index] = constant
                continue
            if is_part:
                taken.add(old)
                self.old[index] = old
            states = 2 if new_node[0] == "tuple" and not is_part else 0
            if new_node[0] == "reduced" and type(new_node[4]) is type(old_node[4]) is tuple:
                states = 1
            for number, pair in reversed([*enumerate(self._pairs(new_node, old_node))]):
                # `names` looks for a part at the place where the walk has found it first, so that place decides
                (todo if self._onto.parent(pair[1]) == old else later).append((*pair, number >= states))
        self._drop_torn_segments()

    def _may_keep(self, index: int, old: int) -> bool:
        new, was = self._nodes[index], self._onto.nodes[old]
        match new[0]:
            case "object" if not self._is_same_constant(index, old):
                return False
            case "object":
                return bool(new[1][:2] == was[1][:2] and (new[1][2:] in ((), was[1][2:]) or not _is_at_home(new[1])))
            case "ndarray" if new[1:5] != was[1:5] or new[-2] != was[-2] or not _same_place(new[5], was[5]):
                return False
            case "ndarray":
                return bool(was[-2]) or self._has_the_bytes(new, was)
            case "deque":
                return bool(new[1] == was[1] and new[3] == was[3])
            case "rng":
                return bool(new[1] == was[1] and self._nodes[new[2][0]][1] == self._onto.nodes[was[2][0]][1])
            case "reduced":
                is_alike = self._is_made_alike(index, old) and (new[4] is not None or was[4] is None)
                return bool(new[1] == was[1] and (is_alike or is_refilled(self._onto.parts[old])))
            case "seeds":
                return True
            case _:
                return bool(new[1] == was[1])

    def _has_the_bytes(self, new: Node, was: Node) -> bool:
        """Whether a read-only array holds what was committed; nothing can be written to it."""
        if new[2] == "O" or new[5] == ("none",):
            return bool(new[2] != "O")
        return bool(self._buffers[new[5][1]].tobytes() == self._onto.buffers[was[5][1]].tobytes())

    def _equal_constant(self, node: Node) -> int | None:
        """Return a frozen object anywhere in `onto` that equals a committed one: the program may compare it by `is`."""
        if node[0] != "object" or not object_structure.is_frozen(object_structure.find_global(*node[1][:2])):
            return None
        if self._constants is None:
            self._constants = {}
            for old, (one, part) in enumerate(zip(self._onto.nodes, self._onto.parts, strict=True)):
                if one[0] == "object" and object_structure.is_frozen(type(part)):
                    self._constants.setdefault(repr((one[1], _plain_tree(self._onto.nodes, one[-1]))), old)
        tree = _plain_tree(self._nodes, node[-1])
        return None if tree is None else self._constants.get(repr((node[1], tree)))

    def _is_same_constant(self, index: int, old: int) -> bool:
        """Whether an object of a frozen class has the attributes that were committed, as far as they are plain. Others can be set."""
        if not object_structure.is_frozen(type(self._onto.parts[old])):
            return True
        new = _plain_tree(self._nodes, self._nodes[index][-1])
        return new is None or bool(new == _plain_tree(self._onto.nodes, self._onto.nodes[old][-1]))

    def _is_made_alike(self, index: int, old: int) -> bool:
        """Return whether an object with a reduce method has equal constructor arguments: then only its state has to be set."""
        made_of = _plain_tree(self._nodes, self._nodes[index][2:4])
        return made_of is not None and bool(made_of == _plain_tree(self._onto.nodes, self._onto.nodes[old][2:4]))

    def _drop_torn_segments(self) -> None:
        """Arrays that share memory are kept only if the same ones of both share one piece of it in the same way."""
        members: dict[int, list[int]] = {}
        for index, node in enumerate(self._nodes):
            if node[0] == "ndarray" and node[2] != "O" and node[5][0] == "in":
                members.setdefault(node[5][1], []).append(index)
        for ones in members.values():
            olds = {self._onto.nodes[self.old[one]][5][1] for one in ones if one in self.old}
            if len(olds) == 1 and all(one in self.old for one in ones):
                continue
            for one in ones:
                self.old.pop(one, None)

    def _pairs(self, new: Node, old: Node) -> list[tuple[int, int]]:
        """Return which nodes stand at the same places of two nodes of one kind: under the same key, index or name."""
        found: list[tuple[int, int]] = []
        match new[0]:
            case "dict" | "OrderedDict" | "defaultdict":
                _both(self._under_keys(new, old), found)
            case "list" | "tuple" | "deque":
                _both(zip(new[2], old[2], strict=False), found)
            case "ndarray":
                if new[2] == "O":
                    _both(zip(new[5], old[5], strict=False), found)
            case "reduced":
                _both(((new[4], old[4]),), found)
                _both(zip(new[5], old[5], strict=False), found)
                _both(self._under_keys(new, old), found)
                return found
            case "rng":
                return [(new[2][0], old[2][0])]
            case "bits":
                _both([(new[3], old[3])], found)
                return found
            case "seeds" | "array.array":
                return found
        if new[-1] and old[-1]:
            there = dict(zip(*old[-1], strict=True))
            _both(((cell, there.get(name)) for name, cell in zip(*new[-1], strict=True)), found)
        return found

    def _under_keys(self, new: Node, old: Node) -> Iterable[tuple[Any, Any]]:
        """Yield the keys of the same name, and the values under them."""
        there = dict(zip(self._old_keys.names(pairs_of(old)[0]), zip(*pairs_of(old), strict=True), strict=True))
        for name, mine in zip(self._keys.names(pairs_of(new)[0]), zip(*pairs_of(new), strict=True), strict=True):
            if name in there:
                yield from zip(mine, there[name], strict=True)


def is_refilled(part: Any) -> bool:
    """Return whether an object with a reduce method can take the attributes of another one: it consists of attributes only."""
    return object_structure.is_plain(type(part)) and object_structure.c_base(type(part)) is object


def is_made_anew(encoding: Encoding, index: int) -> bool:
    """Return whether a recovery cannot set the contents of a part, when they have changed."""
    node = encoding.nodes[index]
    if node[0] != "reduced" or is_refilled(encoding.parts[index]):
        return False
    return node[4] is None or _plain_tree(encoding.nodes, node[2:4]) is None


def _is_at_home(name: tuple[str, ...]) -> bool:
    """Whether the program still has an object of that class by the name that it had at the commit."""
    return type(object_structure.find_global(*name[2:])) is object_structure.find_global(*name[:2])


def _same_place(new: Any, old: Any) -> bool:
    """Whether an array's bytes lie alike: alone, or at the same place of a piece of the same length."""
    if new is None or type(new) is list:
        return True
    return bool(new[0] == old[0] and new[2:] == old[2:])


def _plain_tree(nodes: list[Node], cells: Any, depth: int = 0) -> Any:
    """Return cells with the nodes that they refer to in their place; None if they refer to anything that can change, or deeply."""
    if type(cells) is tuple and len(cells) == 1 and type(cells[0]) is int:
        node = nodes[cells[0]]
        if node[0] not in IMMUTABLE or depth > 20:
            return None
        parts = [_plain_tree(nodes, part, depth + 1) for part in node]
        return None if any(part is None and was is not None for part, was in zip(parts, node, strict=True)) else parts
    if type(cells) in (list, tuple):
        parts = [_plain_tree(nodes, part, depth + 1) for part in cells]
        return None if any(part is None and was is not None for part, was in zip(parts, cells, strict=True)) else parts
    return cells


def _both(pairs: Iterable[tuple[Any, Any]], found: list[tuple[int, int]]) -> None:
    found += [(one[0], two[0]) for one, two in pairs if type(one) is tuple and type(two) is tuple and len(one) == len(two) == 1]
