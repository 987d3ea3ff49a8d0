"""Checks that items share no part or memory: a recovery would restore each item separately, and duplicate the shared part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters.encoding import Encoding
from perdure.adapters.extents import extent
from perdure.adapters.references import reachable
from perdure.errors import UsageError

Array = NDArray[Any]
RANDOM = "__random__"
"""The item that holds `job.rng` and the global random sources."""


def check(items: Sequence[tuple[str, Array | Encoding]]) -> None:
    """Refuse items that share a part or memory. All items of a job: the name of each, and its array or its object taken apart."""
    owner: dict[int, tuple[str, Encoding]] = {}
    extents: list[tuple[int, int, str]] = []
    for name, item in items:
        if isinstance(item, np.ndarray):
            extents.append((*extent(item), name))
            continue
        assert isinstance(item, Encoding)
        extents += [(first, last, name) for _, (first, last) in item.arrays]
        for part in item.mutable:
            other = owner.setdefault(part, (name, item))
            if other[0] != name:
                raise UsageError(_shared(other, (name, item), part))
    extents = sorted((one for one in extents if one[0] < one[1]), key=lambda one: one[:2])
    end, holder = 0, ""
    for first, last, name in extents:
        if first < end and name != holder:
            raise UsageError(
                f"the items {holder!r} and {name!r} share memory, and a recovery would restore each apart: declare a copy, or one object"
            )
        if last > end:
            end, holder = last, name


def _shared(one: tuple[str, Encoding], two: tuple[str, Encoding], part: int) -> str:
    names = one[0], two[0]
    if RANDOM in names:
        item = next(name for name in names if name != RANDOM)
        return f"the item {item!r} holds job.rng, which is protected already: use job.rng, and leave it out of the item"
    places = [encoding.path(encoding.index_of(part)) for _, encoding in (one, two)]
    return (
        f"the items {names[0]!r} and {names[1]!r} share an object ({places[0]} and {places[1]}), and a recovery would make two of it: "
        "declare both as one item, such as a dict of them"
    )


def check_derived(derived: dict[str, Any], items: Iterable[tuple[str, Array | Encoding]]) -> None:
    """Refuse derived values that refer to a part of an item: survivors keep them, and the part may be another one after a recovery."""
    if not derived:
        return
    items = list(items)
    owner = {id(part): name for name, item in items if isinstance(item, Encoding) for part in item.parts if id(part) in item.mutable}
    owner |= {id(item): name for name, item in items if isinstance(item, np.ndarray)}
    extents = [(*extent(item), name) for name, item in items if isinstance(item, np.ndarray)]
    extents += [(first, last, name) for name, item in items if isinstance(item, Encoding) for _, (first, last) in item.arrays]
    for name, value in derived.items():
        for part in reachable(value):
            shared = owner.get(id(part))
            if shared is None and isinstance(part, np.ndarray) and part.size:
                first, last = extent(part)
                shared = next((other for start, end, other in extents if first < end and start < last), None)
            if shared is not None:
                raise UsageError(
                    f"the derived value {name!r} refers to the item {shared!r}, and survivors of a loss would keep an old part of it: "
                    "make it of copies, or make it anew in main at each entry"
                )
