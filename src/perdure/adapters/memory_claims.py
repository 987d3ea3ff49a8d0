"""The memory that the items of one entry of `main` take: no two share any, and all ranks of the machine together have enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters.adapter import DeclaredItem
from perdure.adapters.declarations import gigabytes
from perdure.adapters.extents import Extents, extent
from perdure.adapters.kept_memory import KeptMemory
from perdure.adapters.residence import Residence
from perdure.errors import ConfigError, UsageError
from perdure.runtime.session import GenerationSession

Array = NDArray[Any]


class MemoryClaims:
    """The claims of the declared `items`; `residence` holds those that lie in the slot itself."""

    def __init__(self, session: GenerationSession, items: Mapping[str, DeclaredItem]) -> None:
        self.residence = Residence(session)
        self._session, self._items, self._extents = session, items, Extents()

    def claim(self, name: str, array: Array, may_move: bool) -> tuple[Array, int | None]:
        """Take the memory of an array. See `ItemDeclaration.claim`."""
        if other := self._extents.overlapping(extent(array)):
            raise UsageError(f"the items {other!r} and {name!r} share memory: declare a copy, or the whole array once")
        self.check(f"the item {name!r}", array.nbytes, is_resident=may_move)
        live, place = self.residence.moved_in(array) if may_move else (array, None)
        self._extents.add(extent(live), name)
        return live, place

    def make(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], kept: KeptMemory, *, is_resident: bool
    ) -> tuple[Array, int | None]:
        """Return a new array, in the slot if `is_resident`, and the byte of the slot where it begins. ConfigError: there is no memory."""
        self.check(f"the item {name!r}", math.prod(shape) * dtype.itemsize, is_resident=is_resident)
        live, start = self.residence.array(shape, dtype) if is_resident else (kept.array(name, shape, dtype), None)
        self._extents.add(extent(live), name)
        return live, start

    def check_objects(self, nbytes: int) -> None:
        """Check the whole of a snapshot, at the first commit: objects have their length then. ConfigError: there is no memory."""
        known = sum(item.declared_nbytes for item in self._items.values())
        self.check("the content of the declared objects", max(0, nbytes - known))

    def check(self, what: str, nbytes: int, *, is_resident: bool = False) -> None:
        """Check, before anything is allocated, that all ranks of the machine together fit, with what protects them.

        `is_resident`: it will lie in the slot. ConfigError: they do not fit.
        """
        given = self._session.parameters
        sizes = [(nbytes, is_resident), *((item.declared_nbytes, item.place is not None) for item in self._items.values())]
        needed = self.residence.needed_bytes(sizes) * given.ranks_on_machine
        if needed > given.available_bytes:
            raise ConfigError(
                f"{what} does not fit: {given.ranks_on_machine} ranks need {gigabytes(needed)} for live arrays, "
                f"snapshots and parity, but only {gigabytes(given.available_bytes)} are available; use a smaller problem, or more machines"
            )
