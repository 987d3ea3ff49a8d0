"""The map of a finished run: the highest water in colour, the front at every full hour as a line, the relief of land and sea floor.

matplotlib draws it. Only the process that draws imports it, when it draws: the other ranks need neither its memory nor its start-up time.
The grid of the run may be coarse: the coast and the relief always come from the finest floor.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tsunami_event import EPICENTRE, GAUGES
from tsunami_solver import SHALLOWEST_M, Array, Floor, load_floor

WEST_DEG, EAST_DEG, SOUTH_DEG = 112.0, 294.0, -51.0  # the Pacific
LOWEST_M, HIGHEST_M = 0.02, 2.0  # the ends of the logarithmic colour scale
HEIGHTS_M = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # labels of the scale
WIDTH_IN, LEGEND_IN, DPI = 12.0, 0.9, 100
INK, PAPER, CALM = "#f4f5fa", "#10131c", "#090e24"
LABELS = {"Kauai": (9, 8), "Hilo": (9, -9)}  # points from a dot to its name, where two names need room
LEGEND_LINES_IN = (0.56, 0.26)  # the height of the two lines of the legend
MISSING = "map needs matplotlib, which is not installed: pip install 'perdure[plots]'"


def can_draw() -> bool:
    """Return whether matplotlib is installed, without an import of it."""
    return importlib.util.find_spec("matplotlib") is not None


def save_map(path: Path, floor: Floor, crest: Array, reached: Array) -> None:
    """Draw the map and write it: as SVG if the name ends in .svg, else as PNG.

    Args:
        path: where to write.
        floor: the floor of the run.
        crest: (rows, columns) the highest water in m.
        reached: (rows, columns) the arrival of the front in s, nan where it has not come.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a cache folder that it cannot write
    import matplotlib
    from matplotlib.figure import Figure  # unlike pyplot, it has no global state and needs no display

    fine = load_floor(1)
    north_deg = float(fine.lat_deg[-1])
    map_in = WIDTH_IN * (north_deg - SOUTH_DEG) / (EAST_DEG - WEST_DEG)
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "text.color": INK, "font.size": 11}):
        figure = Figure(figsize=(WIDTH_IN, map_in + LEGEND_IN), dpi=DPI)
        axes = figure.add_axes((0, LEGEND_IN / (map_in + LEGEND_IN), 1, map_in / (map_in + LEGEND_IN)))
        sea = _draw_sea(axes, floor, crest)
        _draw_relief_of_sea(axes, fine)
        _draw_hours(axes, floor, np.where(floor.depth > 0, reached, np.nan) / 3600)
        _draw_land(axes, fine)
        _mark_places(axes)
        axes.set(xlim=(WEST_DEG, EAST_DEG), ylim=(SOUTH_DEG, north_deg), aspect="auto")
        axes.set_axis_off()
        _add_legend(figure, sea, map_in + LEGEND_IN)
        figure.savefig(path, format="svg" if path.suffix == ".svg" else "png", facecolor=PAPER)


def _draw_sea(axes: Any, floor: Floor, crest: Array) -> Any:
    """Draw the highest water, and return the image, which has the scale."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    colours = colormaps["magma"](np.linspace(0, 1, 24))[:, :3]
    colours[:5] += (np.array(to_rgb(CALM)) - colours[:5]) * np.linspace(1, 0, 5)[:, None]  # a calm sea is blue, not black
    heights = np.clip(_spread(crest, floor.depth > 0), LOWEST_M, HIGHEST_M)
    scale = LinearSegmentedColormap.from_list("waves", colours, N=256)
    return _show(axes, floor, heights, cmap=scale, norm=LogNorm(LOWEST_M, HIGHEST_M))


def _draw_relief_of_sea(axes: Any, fine: Floor) -> None:
    """Draw ridges and trenches, which steer the waves, as light and shadow."""
    light = _hillshade(np.minimum(fine.elevation, 0.0))
    light -= np.median(light)  # a plain keeps its colour
    layer = np.zeros((*light.shape, 4))
    layer[..., :3] = (light > 0)[..., None]
    layer[..., 3] = np.clip(np.abs(light) * 0.7, 0, 0.25)
    _show(axes, fine, layer)


def _draw_land(axes: Any, fine: Floor) -> None:
    """Draw the land, grey by height and lit from the north-west, with a smooth coast."""
    grey = 0.20 + 0.25 * np.sqrt(np.clip(fine.elevation / 6000.0, 0, 1)) + 0.35 * (_hillshade(fine.elevation) - 0.5)
    land = _show(axes, fine, np.clip(grey[..., None] * np.array([1.0, 1.01, 1.06]), 0, 1))
    where = (fine.lon_deg, fine.lat_deg, fine.elevation)
    inside = axes.contourf(*where, levels=[-SHALLOWEST_M, 9000.0], alpha=0)
    land.set_clip_path(inside.get_paths()[0], axes.transData)
    axes.contour(*where, levels=[-SHALLOWEST_M], colors=PAPER, linewidths=0.7)


def _draw_hours(axes: Any, floor: Floor, hours: Array) -> None:
    """Draw the front at each full hour, with labels where a straight way south-east over the open sea crosses it."""
    smooth = _smooth(hours)
    last = int(np.nanmax(smooth, initial=0.0))
    if last < 1:
        return
    with np.errstate(invalid="ignore"):  # behind an island the front comes from two sides, with a step between them
        cell_h = np.hypot(*np.gradient(smooth)) * floor.lon_deg.size / 2160
    field = np.ma.masked_invalid(np.where(cell_h < 0.15, smooth, np.nan))
    lines = axes.contour(floor.lon_deg, floor.lat_deg, field, levels=range(1, last + 1), colors=INK, linewidths=1.0, alpha=0.8)
    places = _crossings(floor, smooth)
    for text in axes.clabel(lines, fmt="%d h", fontsize=11, manual=places, inline_spacing=4):
        text.set(rotation=0, alpha=1.0, path_effects=_rim())


def _crossings(floor: Floor, hours: Array) -> list[tuple[float, float]]:
    """The first place of each full hour on a straight way from the epicentre, as longitude and latitude."""
    share = np.linspace(0, 1, 2000)
    lat, lon = EPICENTRE[0] + share * (SOUTH_DEG - EPICENTRE[0]), EPICENTRE[1] + share * (226 - EPICENTRE[1])
    on_way = hours[np.searchsorted(floor.lat_deg, lat).clip(max=floor.lat_deg.size - 1), np.searchsorted(floor.lon_deg, lon)]
    passed = [np.flatnonzero(on_way >= hour) for hour in range(1, int(np.nanmax(on_way, initial=0.0)) + 1)]
    return [(float(lon[at[0]]), float(lat[at[0]])) for at in passed if at.size]


def _mark_places(axes: Any) -> None:
    """Draw a dot and a name for each gauge, and a star for the epicentre."""
    for gauge in GAUGES:
        axes.plot(gauge.lon, gauge.lat, "o", markersize=7, color="#78e6ff", markeredgecolor="black", markeredgewidth=1.3)
        offset = LABELS.get(gauge.name, (9, 0))
        axes.annotate(gauge.name, (gauge.lon, gauge.lat), offset, textcoords="offset points", va="center", fontsize=12, path_effects=_rim())
    axes.plot(EPICENTRE[1], EPICENTRE[0], "*", markersize=22, color="white", markeredgecolor="black", markeredgewidth=1.3)


def _add_legend(figure: Any, sea: Any, height_in: float) -> None:
    """Write the title, and draw the scale of heights, below the map."""
    upper, lower = (line / height_in for line in LEGEND_LINES_IN)
    figure.text(0.015, upper, "Tōhoku tsunami, 2011-03-11 05:46 UTC", va="center", fontsize=15, fontweight="bold")
    figure.text(0.015, lower, "Highest water, and the front at each full hour after the earthquake", va="center", fontsize=12)
    scale = figure.colorbar(sea, cax=figure.add_axes((0.62, upper - 0.006, 0.35, 0.02)), orientation="horizontal")
    scale.set_ticks(HEIGHTS_M, labels=[f"{height:g} m" for height in HEIGHTS_M], minor=False)
    scale.ax.minorticks_off()
    scale.ax.tick_params(colors=INK, labelsize=11, length=4)
    scale.outline.set_visible(False)


def _show(axes: Any, floor: Floor, values: Array, **options: Any) -> Any:
    """Draw one value, or one colour, for each cell, and return the image. Rows go north."""
    half = np.rad2deg(floor.step) / 2
    extent = (floor.lon_deg[0] - half, floor.lon_deg[-1] + half, floor.lat_deg[0] - half, floor.lat_deg[-1] + half)
    return axes.imshow(values, extent=extent, origin="lower", interpolation="bilinear", interpolation_stage="rgba", **options)


def _hillshade(elevation: Array) -> Array:
    """Light from the north-west on a surface, from 0 to 1; a plain has about 0.5."""
    from matplotlib.colors import LightSource

    return LightSource(azdeg=315, altdeg=30).hillshade(elevation, vert_exag=1.0, dx=2000.0, dy=2000.0)


def _spread(values: Array, known: NDArray[np.bool_]) -> Array:
    """`values` with those of the nearest cells on the cells beside the known ones, so that nothing else shows through at the coast."""
    found = np.where(known, values, 0.0)
    for _ in range(3):
        beside = [(np.roll(found, shift, axis), np.roll(known, shift, axis)) for axis in (0, 1) for shift in (-1, 1)]
        total, count = sum(value for value, _ in beside), sum(is_known.astype(int) for _, is_known in beside)
        found = np.where(known, found, total / np.maximum(count, 1))
        known = known | (count > 0)
    return found


def _smooth(field: Array) -> Array:
    """The mean over 5 x 5 cells, of those that are known; nan stays nan. It takes off the steps that the time step leaves."""
    known = np.isfinite(field)
    total, count = np.where(known, field, 0.0), known.astype(float)
    for axis in (0, 1):
        total, count = (sum(np.roll(each, shift, axis) for shift in range(-2, 3)) for each in (total, count))
    return np.where(known, total / np.maximum(count, 1), np.nan)


def _rim() -> list[Any]:
    """A dark rim around letters, so that they can be read on any colour."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=PAPER)]
