"""Which requests and matched messages has the program begun and not ended? `perdure.comm.mpi.in_transit` asks for them at each commit.

Invariants: a thread that calls has its turn (`perdure.comm.messaging.turns`). What the program has dropped is in no list: only references
that do not keep it are held, and they are looked through whenever their number has doubled, so that beginning a request costs the same on
average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from weakref import ref

LOOK_THROUGH_FROM: Final = 256
"""References (arbitrary: a few KiB)."""


class Active:
    """The requests and matched messages of one rank. Each has an attribute `active`, which becomes false when the program has ended it."""

    __slots__ = ("_limit", "_references")

    def __init__(self) -> None:
        self._references: list[ref[Any]] = []
        self._limit = LOOK_THROUGH_FROM

    def add(self, one: Any) -> None:
        """Note what the program has begun."""
        references = self._references
        references.append(ref(one))
        if len(references) > self._limit:
            self._look_through()

    def __iter__(self) -> Iterator[Any]:
        """Iterate over what the program still holds and has not ended, in no order."""
        self._look_through()
        return iter([one for one in (reference() for reference in self._references) if one is not None])

    def _look_through(self) -> None:
        held = [reference for reference in self._references if (one := reference()) is not None and one.active]
        self._references = list(dict.fromkeys(held))  # a persistent request is there as often as it was started
        self._limit = max(LOOK_THROUGH_FROM, 2 * len(self._references))
