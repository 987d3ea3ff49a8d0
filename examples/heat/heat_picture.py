"""The plate as a picture: a program of its own, which runs `heat.py` and then draws what rank 0 gathers of the plate.

perdure run examples/heat/heat_picture.py -- --n 256 --supersteps 40000 --picture plate.png
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
from pathlib import Path

import heat
import numpy as np
from numpy.typing import NDArray

import perdure
from perdure.errors import UsageError

HOT = 100.0
LINES = range(10, 100, 10)
"""Temperatures with a line."""
DPI = 120


def main(job: perdure.Job, n: int = 256, supersteps: int = 40000, picture: str = "plate.png") -> float:
    """Return the plate's total heat; rank 0 writes `picture`, as SVG if its name ends so, else as PNG."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the picture needs matplotlib, which is not installed: pip install 'perdure[plots]'")
    total = heat.main(job, n, supersteps)
    plate = job.gather("plate")
    if plate is not None:
        save_picture(Path(picture), plate, f"The plate after {supersteps:,} supersteps")
    return total


def save_picture(path: Path, plate: NDArray[np.float64], title: str) -> None:
    """Draw temperatures from 0 to HOT, with lines of equal temperature. Only the rank that draws imports matplotlib."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a cache folder that it cannot write
    import matplotlib
    from matplotlib.figure import Figure  # unlike pyplot, it has no global state and needs no display

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "font.size": 11, "axes.titlesize": 13}):
        figure = Figure(figsize=(7.2, 6.2), dpi=DPI, layout="constrained")
        axes = figure.add_subplot(title=title, xlabel="column", ylabel="row", aspect="equal")
        image = axes.imshow(plate, cmap="inferno", vmin=0, vmax=HOT, interpolation="bilinear")
        present = [line for line in LINES if plate.min() < line < plate.max()]
        for levels, colour in (([line for line in present if line > 60], "black"), ([line for line in present if line <= 60], "white")):
            if not levels:
                continue
            lines = axes.contour(plate, levels=levels, colors=colour, linewidths=1.0, alpha=0.8)
            axes.clabel(lines, fmt="%d", fontsize=10, manual=_label_places(plate, levels))
        figure.colorbar(image, label="temperature", ticks=range(0, 101, 10))
        figure.savefig(path, format="svg" if path.suffix == ".svg" else "png")


def _label_places(plate: NDArray[np.float64], levels: list[int]) -> list[tuple[float, float]]:
    """Return where the lines cross the middle of the plate, as column and row, without those too near to another one for a label."""
    rows, columns = plate.shape
    crossed = sorted(int(np.argmax(plate[:, columns // 2] < level)) for level in levels)
    apart = [row for before, row in itertools.pairwise([-rows, *crossed]) if row - before > 0.04 * rows]
    return [(columns / 2, float(row)) for row in apart]
