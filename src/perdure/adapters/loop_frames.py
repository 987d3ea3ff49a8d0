"""The frames of the program's functions that wait for a superstep of the loop.

A generator of the program may wrap `job.supersteps(...)` (a progress bar), and a function may run the loop for another one. So the
variables of all functions that wait for the superstep are looked at, and not only those of the function that has the `for`.
"""

from __future__ import annotations

from types import FrameType

from perdure.adapters.modules import is_of_program
from perdure.runtime.program_threads import PACKAGE


def loop_frames(frame: FrameType | None, caller: FrameType) -> list[FrameType]:
    """Return the frames of the program from `frame` outwards, up to perdure's own.

    `caller`, which called `supersteps`, counts as one of the program even if it is that of an installed module.
    """
    found = []
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        if frame is caller or is_of_program(frame.f_code.co_filename):
            found.append(frame)
        frame = frame.f_back
    return found or [caller]


def running(frames: list[FrameType], frame: FrameType | None) -> list[FrameType]:
    """Return those of `frames`, the innermost first, that are on the stack from `frame` outwards: the others have returned."""
    here = set()
    while frame is not None:
        here.add(frame)
        if frame is frames[-1]:
            break
        frame = frame.f_back
    return [one for one in frames if one in here]
