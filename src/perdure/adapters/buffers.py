"""The bytes of an object's arrays: which there are, and where in them each array lies."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters.extents import Extent, extent, groups
from perdure.adapters.nodes import Node

Array = NDArray[Any]


class Refused(Exception):
    """Something in an object cannot be restored exactly; `index` is the node that holds it."""

    def __init__(self, why: str, index: int = -1) -> None:
        super().__init__(why)
        self.why, self.index = why, index


def place(nodes: list[Node], parts: list[Any], arrays: list[tuple[int, Extent]], path: Callable[[int], str]) -> list[memoryview]:
    """Give each array among `nodes` its bytes: its own, or, for arrays that overlap, a place in common bytes.

    Args:
        nodes: an array's node gets its place.
        parts: for each node the Python object.
        arrays: the node and extent of each array and byte buffer; they are put in order.
        path: returns the path of a node inside the item.

    Returns:
        The bytes by number, borrowed from the arrays.
    """
    arrays.sort(key=lambda one: one[0])
    buffers: list[memoryview] = []
    for members in sorted(groups(found for _, found in arrays), key=min):
        chosen = [arrays[one][0] for one in sorted(members)]
        if len(chosen) == 1:
            _place_alone(nodes, chosen[0], parts[chosen[0]], buffers)
            continue
        for one in chosen:
            if nodes[one][0] != "ndarray" or nodes[one][2] == "O":
                other = next(two for two in chosen if two != one)
                raise Refused(f"memory that {path(other)} shows too: keep one of them, or a copy", one)
        first = min(arrays[one][1][0] for one in members)
        last = max(arrays[one][1][1] for one in members)
        buffers.append(_memory(first, last - first))
        for one in chosen:
            start = int(parts[one].__array_interface__["data"][0]) - first
            _set_place(nodes, one, ("in", len(buffers) - 1, start, last - first))
    return buffers


def _place_alone(nodes: list[Node], index: int, part: Any, buffers: list[memoryview]) -> None:
    node = nodes[index]
    if node[0] != "ndarray" or node[2] == "O":
        return
    value = part.view(np.ndarray)
    if not value.size:
        _set_place(nodes, index, ("none",))
        return
    if value.flags.c_contiguous or value.flags.f_contiguous or value.T.flags.c_contiguous:
        first, last = extent(value)
        buffers.append(_memory(first, last - first))
        _set_place(nodes, index, ("own", len(buffers) - 1))
    else:
        copy = _opaque_elements(np.ascontiguousarray(value))
        buffers.append(copy.reshape(-1).view(np.uint8).data)
        _set_place(nodes, index, ("spread", len(buffers) - 1))


def _set_place(nodes: list[Node], index: int, found: tuple[Any, ...]) -> None:
    node = list(nodes[index])
    node[5] = found
    nodes[index] = tuple(node)


def _memory(first: int, nbytes: int) -> memoryview:
    """Return bytes of this process by address; the caller holds what owns them."""
    return memoryview((ctypes.c_char * nbytes).from_address(first)).cast("B")


def _opaque_elements(value: Array) -> Array:
    """Return a view in which structured elements are opaque, so that the gaps between their fields are copied too."""
    return value.view(np.dtype((np.void, value.itemsize))) if value.dtype.names else value
