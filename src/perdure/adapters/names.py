"""Names that the program had for parts of an object when the loop began: do they still mean what they would mean after a recovery?

At the loop's first `next()` a name for a part means what stands at some place of the object, and a recovery makes it mean what stands there
then. Where the loop moves the part to another place (two buffers that change places), or takes it out of the object, while the name goes on
meaning it, the two differ. Names that are taken inside of the loop are taken anew after a recovery, and may mean anything.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perdure.adapters.encoding import Encoding
from perdure.adapters.matching import is_made_anew
from perdure.adapters.places import standing
from perdure.adapters.references import names_outside, references_of
from perdure.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Named:
    index: int
    words: tuple[str, ...]
    part: Any


class Names:
    """The parts of each item that the program had a name for when the loop began."""

    def __init__(self) -> None:
        self._named: dict[str, list[_Named]] = {}

    def note(self, encoding: Encoding) -> None:
        """Note the named parts of an item, at the loop's first `next()`.

        UsageError: the program has a name for a part that a recovery makes anew, for nothing can set the contents of the part that the name
        means.
        """
        named = names_outside(encoding)
        for index in named:
            if is_made_anew(encoding, index):
                part = encoding.parts[index]
                raise UsageError(
                    f"the item {encoding.item!r} holds at {encoding.path(index)} a {type(part).__name__}, which a recovery makes anew, so "
                    "that another name for it would mean the old one after a loss: take it from the item in each superstep, and delete the "
                    "other name (del name) before the loop"
                )
        self._named[encoding.item] = [_Named(index, encoding.words(index), encoding.parts[index]) for index in named]

    def check(self, encoding: Encoding, references: Callable[[], Counter[int]]) -> None:
        """Refuse, at a commit, a part that has left its place while the program still has a name for it.

        `references` counts the references of variables, by id, which `variables` looks after.
        """
        moved = [one for one in self._named.get(encoding.item, ()) if standing(encoding, one.index, one.words) is not one.part]
        if not moved:
            return
        there = {id(part): index for index, part in enumerate(encoding.parts)}
        held = names_outside(encoding, [there[id(one.part)] for one in moved if id(one.part) in there])
        variables = references()
        for one in moved:
            index = there.get(id(one.part))
            # besides variables and notes there is the call itself
            names = held.get(index, 0) if index is not None else sys.getrefcount(one.part) - 1 - references_of(one.part)
            if names > variables[id(one.part)] + self._noted(one.part):
                raise UsageError(
                    f"the part {''.join(one.words)} of the item {encoding.item!r} has left its place, and the program has a name for it "
                    "from before the loop, which would mean another object after a loss: take such a part from the item inside the loop, "
                    "under another name"
                )

    def _noted(self, part: Any) -> int:
        return sum(one.part is part for some in self._named.values() for one in some)
