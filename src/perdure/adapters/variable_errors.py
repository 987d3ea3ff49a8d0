"""The error texts for variables that would mean another part after a loss."""

from __future__ import annotations

from perdure.adapters.iterators import Position
from perdure.adapters.places import Place


def refusal(name: str, noted: Place | Position | None, here: Place | Position | None, *, is_same: bool) -> str:
    """Return the error for the variable `name`, which meant `noted` when the loop began and means `here` now.

    `is_same`: it has the same object, which stands elsewhere.
    """
    if noted is None:
        return (
            f"{name} means {here} since the loop began, and the next superstep may read it; after a loss it means what main gave it before "
            "the loop. Put the object into the item before the loop, or take the part from the item at the start of each superstep"
        )
    if isinstance(noted, Position):
        return (
            f"{name} is {noted} from before the loop and has advanced since; after a loss it starts again: make the iterator in the "
            "superstep, and keep in the item how far it has come"
        )
    if is_same:
        return (
            f"{noted} has left its place, and {name} means it from before the loop, which would mean another object after a loss: take "
            "such a part from the item inside the loop, under another name"
        )
    return (
        f"{name} meant {noted} when the loop began and means {here or 'another object'} now; after a loss it would mean the first again. "
        "Change the item in the same way (state['a'], state['b'] = state['b'], state['a']), or take the part from the item at the start of "
        "each superstep; between arrays that are items, copy (old[...] = new)"
    )
