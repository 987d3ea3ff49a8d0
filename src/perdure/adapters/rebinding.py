"""A check that variables of the program still mean the declared items."""

from __future__ import annotations

import sys
from types import FrameType

import numpy as np

from perdure.adapters.adapter import DeclaredItem
from perdure.adapters.loop_frames import running
from perdure.errors import UsageError


class Rebinding:
    """Finds `plate = plate + 1` where `plate[...] = plate + 1` was meant.

    At the loop's first `next()` it notes which local variables of the functions that wait for the loop are items. An item that no
    variable is any more, while one of its old names means another object of the same type, was rebound: what the program computes with is
    not protected.
    """

    def __init__(self) -> None:
        self._frames: list[FrameType] = []
        self._names: dict[str, list[tuple[FrameType, str]]] = {}

    def note(self, frames: list[FrameType], entries: dict[str, DeclaredItem]) -> None:
        """Note the names, at the loop's first `next()`, for which `frames` wait: the innermost first."""
        self._frames = frames
        local = [(frame, name, value) for frame in frames for name, value in frame.f_locals.items()]
        for entry in entries.values():
            self._names[entry.name] = [(frame, name) for frame, name, value in local if value is entry.live]

    def forget(self) -> None:
        """The loop is over, and frames that are kept would keep all that their variables mean."""
        self._frames, self._names = [], {}

    def check(self, entries: dict[str, DeclaredItem], superstep: int) -> None:
        """At a commit. UsageError names the variable and the item."""
        local = {frame: frame.f_locals for frame in running(self._frames, sys._getframe(1))}
        held = {id(value) for names in local.values() for value in names.values()}
        for item, names in self._names.items():
            live = entries[item].live
            if not names or id(live) in held:
                continue
            found = (name for frame, name in names if frame in local and type(local[frame].get(name)) is type(live))
            name = next(found, None)
            if name is not None:
                write = f"{name}[...] = value" if isinstance(live, np.ndarray) else "change it in place"
                raise UsageError(
                    f"the variable {name!r} was the item {item!r} and is another object at superstep {superstep}, which is not protected; "
                    f"write {write}"
                )
