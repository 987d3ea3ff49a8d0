"""A picture on a terminal: two pixels a character cell, the upper one as the colour of a half block, the lower one as its background."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

UPPER_HALF = "▀"
COARSENESS = 0xF8
"""Colours in 32 steps a channel: no eye sees it, neighbours become equal, and the styles of a picture fit the cache."""


class HalfBlocks:
    """Shows (2 r, c, 3) uint8 as r lines of c characters."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Characters of the same two colours go out together."""
        packed = (self._pixels & COARSENESS).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        for upper, lower in zip(packed[::2], packed[1::2], strict=True):
            edges = np.flatnonzero(np.diff(upper) | np.diff(lower)) + 1
            bounds = [0, *edges.tolist(), len(upper)]
            for begin, end in itertools.pairwise(bounds):
                yield Segment(UPPER_HALF * (end - begin), _style(int(upper[begin]), int(lower[begin])))
            yield Segment.line()


@functools.lru_cache(maxsize=16384)
def _style(upper: int, lower: int) -> Style:
    return Style.from_color(_color(upper), _color(lower))


def _color(packed: int) -> Any:
    return Color.from_triplet(ColorTriplet(packed >> 16, packed >> 8 & 255, packed & 255))
