"""The figures of `perdure bench comm` as a picture: time and bandwidth of a message, time of an all-reduce, by size; on logarithmic axes.

Drawn with NumPy, the letters and the PNG writer of the tsunami, so that no plotting library is needed.
"""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.cli.demo import example
from perdure.errors import ConfigError

Figures = Mapping[str, Mapping[str, float]]
Points = Sequence[tuple[float, float]]
Canvas = NDArray[np.float64]
Colour = tuple[int, int, int]
HEIGHT, WIDTH, LEFT, TOP, BOTTOM, GAP = 560, 540, 96, 72, 56, 44
"""Pixels of one panel, and what lies between its edges and its axes."""
INK, FAINT, PAPER = (40, 44, 52), (226, 229, 234), (255, 255, 255)
COLOURS: Final[tuple[Colour, ...]] = ((214, 69, 65), (44, 110, 180), (70, 150, 90), (150, 100, 180))
"""perdure first; Tol's and Okabe's rule: apart also for eyes that see no red."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic axis from `low` to `high`, over `pixels` from `start` on."""

    low: float
    high: float
    start: float
    pixels: float

    def __call__(self, value: float) -> float:
        """Return the position of a value in pixels."""
        return self.start + self.pixels * math.log(value / self.low) / math.log(self.high / self.low)


def plot(figures: Figures, ranks: int, path: pathlib.Path) -> None:
    """Writes the picture. ConfigError: there is no such folder, or it may not be written to."""
    one_way = {library: _points(found, "one way, ") for library, found in figures.items()}
    bandwidth = {library: [(size, size / us) for size, us in points] for library, points in one_way.items()}
    reduced = {library: _points(found, "all-reduce, ") for library, found in figures.items()}
    panels = [
        _panel("One way, 2 ranks", one_way, _time_words),
        _panel("Bandwidth, 2 ranks", bandwidth, _bandwidth_words),
        _panel(f"All-reduce, {ranks} ranks", reduced, _time_words),
    ]
    picture = np.clip(np.rint(np.hstack(panels)), 0, 255).astype(np.uint8)
    try:
        example.module("tsunami_picture").write_png(path, picture)
    except OSError as error:
        raise ConfigError(f"--plot {path}: {error.strerror}") from error


def _points(found: Mapping[str, float], kind: str) -> list[tuple[float, float]]:
    names = [name for name in found if name.startswith(kind)]
    return sorted((float(name.removeprefix(kind).removesuffix(" B")), found[name]) for name in names)


def _panel(title: str, series: Mapping[str, Points], words: Callable[[float], str]) -> Canvas:
    canvas = np.full((HEIGHT, WIDTH, 3), PAPER, dtype=float)
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    right = Scale(min(xs), max(xs), LEFT, WIDTH - LEFT - GAP)
    lowest, highest = 10.0 ** math.floor(math.log10(min(ys))), 10.0 ** math.ceil(math.log10(max(ys)))
    up = Scale(lowest, highest, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    for decade in range(round(math.log10(lowest)), round(math.log10(highest)) + 1):
        row = up(10.0**decade)
        _line(canvas, (row, LEFT), (row, WIDTH - GAP), FAINT, 1.0)
        _write(canvas, words(10.0**decade), row, LEFT - 10, align=1.0)
    for size in sorted(set(xs)):
        _line(canvas, (TOP, right(size)), (HEIGHT - BOTTOM, right(size)), FAINT, 1.0)
    for size in (size for size in sorted(set(xs)) if round(math.log2(size)) in (3, 10, 16, 20, 26)):
        _write(canvas, _size_words(size), HEIGHT - BOTTOM + 20, right(size), align=0.5)
    for number, (library, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [(up(y), right(x)) for x, y in points]
        for one, other in itertools.pairwise(at):
            _line(canvas, one, other, colour, 2.4)
        for place in at:
            _line(canvas, place, place, colour, 7.0)
        row = TOP - 18
        left = LEFT + number * 124
        _line(canvas, (row, left), (row, left + 22), colour, 2.4)
        _write(canvas, library, row, left + 30)
    _write(canvas, title, 24, LEFT)
    return canvas


def _line(canvas: Canvas, one: tuple[float, float], other: tuple[float, float], colour: Colour, width: float) -> None:
    """From (row, column) to (row, column), with round ends; each pixel by its distance from the segment."""
    margin = width + 1
    top, left = (max(0, math.floor(min(pair) - margin)) for pair in zip(one, other, strict=True))
    bottom, right = (math.ceil(max(pair) + margin) + 1 for pair in zip(one, other, strict=True))
    window = canvas[top:bottom, left:right]
    rows, columns = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]].astype(float)
    down, across = other[0] - one[0], other[1] - one[1]
    length = down * down + across * across
    share = np.clip(((rows - one[0]) * down + (columns - one[1]) * across) / length, 0, 1) if length else np.zeros_like(rows)
    distance = np.hypot(rows - one[0] - share * down, columns - one[1] - share * across)
    opacity = np.clip(width / 2 + 0.5 - distance, 0, 1)
    window += opacity[..., None] * (np.array(colour) - window)


def _write(canvas: Canvas, text: str, row: float, column: float, *, align: float = 0.0) -> None:
    """Text with its middle at `row`; `align` 0 begins at `column`, 1 ends there."""
    mask: Any = example.module("tsunami_font").text_mask(text)
    top, left = round(row) - mask.shape[0] // 2, round(column - align * mask.shape[1])
    window = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    window[mask[: window.shape[0], : window.shape[1]]] = INK


def _size_words(nbytes: float) -> str:
    power = min(int(math.log2(nbytes)) // 10, 2)
    return f"{nbytes / 1024**power:g} {('B', 'KiB', 'MiB')[power]}"


def _time_words(us: float) -> str:
    power = min(max(math.floor(math.log10(us) / 3), 0), 2)
    return f"{us / 1000**power:g} {('us', 'ms', 's')[power]}"


def _bandwidth_words(megabytes: float) -> str:
    return f"{megabytes / 1000:g} GB/s" if megabytes >= 1000 else f"{megabytes:g} MB/s"
