"""Does the program still compute with what it declared?"""

from __future__ import annotations

from types import FrameType

import numpy as np

from perdure.adapters.adapter import DeclaredItem
from perdure.errors import UsageError


class Rebinding:
    """Finds `plate = plate + 1` where `plate[...] = plate + 1` was meant.

    At the loop's first `next()` it notes which local variables of the looping function are items. An item that no variable is any more,
    while one of its old names means another object of the same type, was rebound: what the program computes with is not protected.
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def note(self, frame: FrameType, entries: dict[str, DeclaredItem]) -> None:
        """At the first `next()`."""
        local = frame.f_locals
        for entry in entries.values():
            self._names[entry.name] = [name for name, value in local.items() if value is entry.live]

    def check(self, frame: FrameType, entries: dict[str, DeclaredItem], superstep: int) -> None:
        """At a commit. UsageError names the variable and the item."""
        local = frame.f_locals
        for item, names in self._names.items():
            live = entries[item].live
            if not names or any(value is live for value in local.values()):
                continue
            name = next((name for name in names if type(local.get(name)) is type(live)), None)
            if name is not None:
                write = f"{name}[...] = value" if isinstance(live, np.ndarray) else "change it in place"
                raise UsageError(
                    f"the variable {name!r} was the item {item!r} and is another object at superstep {superstep}: what is not the item is "
                    f"not protected; write {write}"
                )
