"""In which order do the parts of a table of nodes get their contents?

1. Depth first: what a part is made of is complete before the part.
2. A part that needs one which is not made yet, in a cycle, waits until it is.
3. A dict or a set hashes its keys. In a cycle a key may not have the attributes yet that its hash follows from; the dict waits for them.
4. If nothing goes on any more, the first of those that wait is filled all the same, and once more at the end, when all keys are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from perdure.adapters.keys import pairs_of
from perdure.adapters.nodes import Node, children
from perdure.errors import UsageError

UNMADE: Final = object()
"""Stands for a part that is not made yet."""
_HASHERS: Final = frozenset({"dict", "OrderedDict", "defaultdict", "set", "frozenset", "reduced"})
_UNHASHED: Final = frozenset({"dict", "OrderedDict", "defaultdict", "list", "set", "deque", "bytearray", "ndarray", "array.array"})
"""Kinds that have no hash, so that none follows from what they hold."""
_WALK_MAX: Final = 100
"""Parts of a key that are looked at in the first pass; if there are more, the dict waits. Arbitrary."""


class Unhashable(UsageError):
    """A key of the dict or set `index` has no hash when it is needed."""

    def __init__(self, text: str, index: int = -1) -> None:
        super().__init__(text)
        self.index = index


class FillOrder:
    """The order for one table. `made`: the part of each node, or `UNMADE`; the callbacks add to it."""

    def __init__(self, nodes: list[Node], made: list[Any]) -> None:
        self._nodes, self._made = nodes, made
        self._is_done = bytearray(len(nodes))
        self._is_settled = bytearray(len(nodes))
        self._walk_max = _WALK_MAX

    def lacks(self, node: Node) -> bool:
        """Return whether a part that a node refers to is not made yet."""
        return any(self._made[child] is UNMADE for child in children(node))

    def run(self, construct: Callable[[int], None], complete: Callable[[int], None]) -> bool:
        """Fill all parts to which node 0 refers.

        Args:
            construct: creates an object from its constructor's arguments, or clears it.
            complete: gives a part its contents.

        Returns:
            False if an immutable part refers to itself through its constructor's arguments, so that it cannot be created.

        Raises:
            Unhashable: the hash of a key follows from the dict that the key is in.
        """
        waiting = self._first_pass(construct, complete)
        self._walk_max = len(self._nodes)
        forced = []
        while waiting:
            before, waiting = waiting, []
            for index in before:
                if self._waits(index):
                    waiting.append(index)
                else:
                    self._complete(index, complete)
            if len(waiting) == len(before):
                chosen = next((index for index in waiting if not self.lacks(self._nodes[index])), None)
                if chosen is None:
                    return False
                waiting.remove(chosen)
                forced.append(chosen)
                self._fill_early(chosen, complete)
        for index in forced:
            if self._nodes[index][0] not in ("frozenset", "reduced"):
                complete(index)
        return True

    def _first_pass(self, construct: Callable[[int], None], complete: Callable[[int], None]) -> list[int]:
        """Fill depth first, and return what has to wait."""
        entered, seen = bytearray(len(self._nodes)), bytearray(len(self._nodes))
        waiting: list[int] = []
        todo = [0]
        while todo:
            index = todo[-1]
            node = self._nodes[index]
            if not entered[index]:
                entered[index] = 1
                first = node[:4] if node[0] == "reduced" else node
                todo += [child for child in children(first) if not entered[child]]
                continue
            if entered[index] == 1 and node[0] in ("reduced", "rng"):
                entered[index] = 2
                construct(index)
                todo += [child for child in children(node) if not entered[child]]
                continue
            todo.pop()
            if seen[index]:
                continue
            seen[index] = 1
            if self._waits(index):
                waiting.append(index)
            else:
                self._complete(index, complete)
        return waiting

    def _complete(self, index: int, complete: Callable[[int], None]) -> None:
        complete(index)
        self._is_done[index] = 1

    def _fill_early(self, index: int, complete: Callable[[int], None]) -> None:
        try:
            self._complete(index, complete)
        except Exception as error:
            raise Unhashable(
                f"a {self._nodes[index][0]} with a key whose hash follows from that {self._nodes[index][0]} itself "
                f"({type(error).__name__}: {error}): use a name or a number as the key",
                index,
            ) from error

    def _waits(self, index: int) -> bool:
        node = self._nodes[index]
        return self.lacks(node) or (node[0] in _HASHERS and not all(map(self._can_hash, _hashed(node))))

    def _can_hash(self, key: int) -> bool:
        """Return whether all that the hash of a key may follow from is complete."""
        todo, seen = [key], set[int]()
        while todo:
            index = todo.pop()
            if self._is_settled[index] or index in seen:
                continue
            if self._nodes[index][0] in _UNHASHED or getattr(type(self._made[index]), "__hash__", None) is object.__hash__:
                continue
            if not self._is_done[index] or len(seen) >= self._walk_max:
                return False
            seen.add(index)
            todo += children(self._nodes[index])
        for index in seen:
            self._is_settled[index] = 1
        return True


def _hashed(node: Node) -> Iterator[int]:
    """Yield the nodes of the keys or elements that a node hashes."""
    cells: Iterable[Any] = node[2] if node[0] in ("set", "frozenset") else pairs_of(node)[0]
    return (cell[0] for cell in cells if type(cell) is tuple)
