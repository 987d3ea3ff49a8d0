"""The figures of `perdure bench comm` as a picture: time and bandwidth of a message, and time of an all-reduce, by size."""

from __future__ import annotations

import importlib.util
import logging
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from perdure.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures = Mapping[str, Mapping[str, float]]
Points = Sequence[tuple[float, float]]
MISSING: Final = "needs matplotlib, which is not installed: pip install 'perdure[plots]'"
SIZE_IN, DPI = (13.5, 4.6), 120
COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")
MARKERS: Final = "osD^"
"""Okabe and Ito's colours, which colour-blind readers can distinguish; perdure first. Each has a marker, for prints without colour."""


def check_plot(path: pathlib.Path) -> None:
    """Raise ConfigError if there is no folder for the picture, or nothing to draw it with."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(f"--plot {path} {MISSING}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: the folder {path.absolute().parent} does not exist")


def plot(figures: Figures, ranks: int, path: pathlib.Path) -> None:
    """Write the picture: as SVG if the name ends in .svg, else as PNG. Raises ConfigError if it cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a cache folder that it cannot write
    import matplotlib
    from matplotlib.figure import Figure  # unlike pyplot, it has no global state and needs no display

    one_way = {library: _points(found, "one way, ") for library, found in figures.items()}
    bandwidth = {library: [(size, size / us) for size, us in points] for library, points in one_way.items()}
    reduced = {library: _points(found, "all-reduce, ") for library, found in figures.items()}
    panels: list[tuple[str, Mapping[str, Points], Callable[[float], str]]] = [
        ("Time of a message, 2 ranks", one_way, time_label),
        ("Bandwidth, 2 ranks", bandwidth, bandwidth_label),
        (f"Time of an all-reduce, {ranks} ranks", reduced, time_label),
    ]
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "font.size": 11, "axes.titlesize": 13}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
            _draw(axes, *panel)
        try:
            figure.savefig(path, format="svg" if path.suffix == ".svg" else "png")
        except OSError as error:
            raise ConfigError(f"--plot {path}: {error.strerror}") from error


def _points(found: Mapping[str, float], kind: str) -> list[tuple[float, float]]:
    names = [name for name in found if name.startswith(kind)]
    return sorted((float(name.removeprefix(kind).removesuffix(" B")), found[name]) for name in names)


def _draw(axes: Axes, title: str, series: Mapping[str, Points], label: Callable[[float], str]) -> None:
    for number, (library, points) in enumerate(series.items()):
        look = number % len(COLOURS)
        axes.loglog(*zip(*points, strict=True), color=COLOURS[look], marker=MARKERS[look], markersize=6, linewidth=2, label=library)
    axes.set_title(title, loc="left")
    axes.set_xlabel("size")
    low, high = (math.log2(value) for value in axes.get_xlim())
    sizes = [1 << power for power in (3, 10, 16, 20, 26) if low <= power <= high]
    axes.set_xticks(sizes, labels=[size_label(size) for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: label(value))
    axes.grid(color="#e2e5ea")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def size_label(nbytes: float) -> str:
    """A number of bytes, in powers of 1024."""
    power = min(int(math.log2(nbytes)) // 10, 2)
    return f"{nbytes / 1024**power:g} {('B', 'KiB', 'MiB')[power]}"


def time_label(us: float) -> str:
    """Microseconds in the unit that makes the number small."""
    power = min(max(math.floor(math.log10(us) / 3), 0), 2)
    return f"{us / 1000**power:g} {('µs', 'ms', 's')[power]}"


def bandwidth_label(megabytes: float) -> str:
    """Megabytes per second, or gigabytes."""
    return f"{megabytes / 1000:g} GB/s" if megabytes >= 1000 else f"{megabytes:g} MB/s"
