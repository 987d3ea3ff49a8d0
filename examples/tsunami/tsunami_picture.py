"""The map of a finished run: the highest water in colour, the front's place at every full hour as a line, the floor's relief on land.

Pure functions from arrays to pixels, and a minimal PNG writer, so that the example needs nothing but NumPy. One pixel is 10 arc-minutes,
whatever the grid of the run: coarser fields are interpolated, and the coast always comes from the finest floor.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tsunami_event import EPICENTRE, GAUGES
from tsunami_font import text_mask
from tsunami_solver import Array, Floor, load_floor

Pixels = NDArray[np.float64]

WEST_DEG, EAST_DEG, SOUTH_DEG = 112.0, 294.0, -51.0  # the Pacific
LOWEST_M, HIGHEST_M = 0.02, 2.0  # the ends of the logarithmic colour scale
LEVELS = 96  # of colour: steps that the eye doesn't see keep the file small
SEA = np.array(  # "magma" of matplotlib (S. van der Walt, N. Smith 2015, CC0), its black end lifted towards the blue of a calm sea
    [
        (10, 14, 34), (26, 20, 70), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100), (251, 135, 97), (254, 194, 135),
        (252, 253, 191),
    ]
)  # fmt: skip
INK, PAPER, DARK = (245, 245, 250), (16, 17, 24), (0, 0, 0)
LIFT = {"Kauai": -7, "Hilo": 7}  # pixels by which two names make room for each other
BAND = 64  # pixels below the map, for the title and the scale


def draw(floor: Floor, crest: Array, reached: Array) -> NDArray[np.uint8]:
    """The map as (rows, columns, 3) uint8, north up.

    Args:
        floor: of the run.
        crest: (rows, columns) the highest water in m.
        reached: (rows, columns) the arrival of the front in s, nan where it has not come.
    """
    fine = load_floor(1)
    wet = fine.depth > 0
    crests = _refine(floor, fine, crest, floor.depth > 0)
    hours = _refine(floor, fine, np.nan_to_num(reached) / 3600, np.isfinite(reached))
    picture = np.where(wet[..., None], _sea_colours(crests), _land_colours(fine))
    _blend(picture, np.where(wet, _hour_lines(hours), 0.0), INK)
    columns = (fine.lon_deg >= WEST_DEG) & (fine.lon_deg < EAST_DEG)
    picture = np.vstack([picture[fine.lat_deg > SOUTH_DEG][::-1, columns], np.full((BAND, int(columns.sum()), 3), PAPER, dtype=float)])
    _label_hours(picture, fine, hours)
    _mark_places(picture, fine)
    _legend(picture)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes (rows, columns, 3) uint8 as PNG (ISO/IEC 15948): one image chunk of rows, each stored as it is."""
    rows, columns, _ = picture.shape
    stored = np.zeros((rows, 1 + 3 * columns), np.uint8)
    stored[:, 1:] = picture.reshape(rows, -1)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack("!IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(stored.tobytes(), 9)), (b"IEND", b"")):
            file.write(struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content)))


def _refine(coarse: Floor, fine: Floor, values: Array, known: NDArray[np.bool_]) -> Array:
    """`values` on the fine grid: bilinear between the known cells around, nan where there is none."""
    factor = fine.lon_deg.size // coarse.lon_deg.size
    weights = _bilinear(_bilinear(known.astype(float), factor, 0), factor, 1)
    sums = _bilinear(_bilinear(np.where(known, values, 0.0), factor, 0), factor, 1)
    return np.divide(sums, weights, out=np.full_like(sums, np.nan), where=weights > 0.05)


def _bilinear(values: Array, factor: int, axis: int) -> Array:
    """Linear interpolation to `factor` times as many cells along one axis."""
    size = values.shape[axis]
    at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
    low = np.minimum(at.astype(int), size - 2)
    share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
    return np.take(values, low, axis) * (1 - share) + np.take(values, low + 1, axis) * share


def _sea_colours(crests: Array) -> Pixels:
    height = np.clip(np.nan_to_num(crests), LOWEST_M, HIGHEST_M)
    return _on_scale(np.log(height / LOWEST_M) / np.log(HIGHEST_M / LOWEST_M))


def _on_scale(share: Array) -> Pixels:
    """Colours of values from 0 to 1, in LEVELS steps."""
    stepped = np.rint(share * LEVELS) / LEVELS
    stops = np.linspace(0, 1, len(SEA))
    return np.stack([np.interp(stepped, stops, SEA[:, k]) for k in range(3)], axis=-1)


def _land_colours(fine: Floor) -> Pixels:
    """Grey by height, lit from the north-west."""
    slope_north, slope_east = np.gradient(fine.elevation)
    light = np.clip((slope_north - slope_east) / 900.0, -1, 1)  # 900 m a cell is a steep mountain range
    grey = 58 + 70 * np.sqrt(np.clip(fine.elevation / 6000.0, 0, 1)) - 26 * light
    grey = np.rint(grey / 4) * 4
    return grey[..., None] * np.array([1.0, 1.01, 1.05])


def _hour_lines(hours: Array) -> Array:
    """The opacity of the lines at full hours, about a pixel and a half wide: the distance to a line is the time to it over its gradient."""
    smooth = _smooth(hours)
    gradient = np.hypot(*np.gradient(smooth))
    distance = np.abs(smooth - np.rint(smooth)) / np.maximum(gradient, 1e-4)
    opacity = np.clip(1.25 - distance, 0, 1) * 0.8
    return np.where(np.isfinite(opacity) & (smooth > 0.5) & (gradient < 0.15), np.rint(opacity * 4) / 4, 0.0)


def _smooth(field: Array) -> Array:
    """The mean over 5 x 5 pixels, of those known; nan stays nan. It takes off the steps that the time step leaves."""
    known = np.isfinite(field)
    total, count = np.where(known, field, 0.0), known.astype(float)
    for axis in (0, 1):
        total, count = (sum(np.roll(each, shift, axis) for shift in range(-2, 3)) for each in (total, count))
    return np.where(known, total / np.maximum(count, 1), np.nan)


def _blend(picture: Pixels, opacity: Array, colour: tuple[int, int, int]) -> None:
    picture += opacity[..., None] * (np.array(colour) - picture)


def _pixel(fine: Floor, lat: float, lon: float) -> tuple[int, int]:
    """Row and column of a place on the cropped map, north up."""
    row = int(np.argmin(np.abs(fine.lat_deg - lat)))
    return fine.lat_deg.size - 1 - row, round((lon - WEST_DEG) * fine.lon_deg.size / 360)


def _label_hours(picture: Pixels, fine: Floor, hours: Array) -> None:
    """Writes each hour once on its line, where a straight way south-east over the open sea crosses it."""
    smooth = _smooth(hours)
    written: set[int] = set()
    for share in np.linspace(0, 1, 1000):
        lat, lon = EPICENTRE[0] + share * (SOUTH_DEG - EPICENTRE[0]), EPICENTRE[1] + share * (237 - EPICENTRE[1])
        hour = smooth[np.argmin(np.abs(fine.lat_deg - lat)), np.argmin(np.abs(fine.lon_deg - lon))]
        if np.isfinite(hour) and round(hour) not in written | {0} and abs(hour - round(hour)) < 0.02:
            written.add(round(hour))
            row, column = _pixel(fine, lat, lon)
            _write(picture, f"{round(hour)} h", row, column - 16)


def _mark_places(picture: Pixels, fine: Floor) -> None:
    """A dot and a name for each gauge, a star for the epicentre."""
    for gauge in GAUGES:
        row, column = _pixel(fine, gauge.lat, gauge.lon)
        _disc(picture, row, column, 5.0, DARK)
        _disc(picture, row, column, 3.6, (120, 230, 255))
        _write(picture, gauge.name, row + LIFT.get(gauge.name, 0), column + 10)
    row, column = _pixel(fine, *EPICENTRE)
    _star(picture, row, column)


def _disc(picture: Pixels, row: int, column: int, radius: float, colour: tuple[int, int, int]) -> None:
    around, down, right = _around(picture, row, column)
    _blend(around, np.clip(radius + 0.5 - np.hypot(down, right), 0, 1), colour)


def _star(picture: Pixels, row: int, column: int) -> None:
    """Five points: in polar coordinates each half of a ray is the straight line from its tip to the notch beside it."""
    around, down, right = _around(picture, row, column)
    tip, notch, half_ray = 13.0, 5.2, np.pi / 5
    from_tip = np.abs((np.arctan2(right, -down) + half_ray) % (2 * half_ray) - half_ray)
    edge = tip * notch * np.sin(half_ray) / (tip * np.sin(from_tip) + notch * np.sin(half_ray - from_tip))
    distance = np.hypot(down, right)
    _blend(around, np.clip(edge + 2.5 - distance, 0, 1), DARK)
    _blend(around, np.clip(edge + 0.5 - distance, 0, 1), (255, 255, 255))


def _around(picture: Pixels, row: int, column: int) -> tuple[Pixels, Array, Array]:
    """A window of the picture around a place, and how far its pixels are down and right of it."""
    half = 20
    down, right = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0), indexing="ij", sparse=True)
    return picture[row - half : row + half + 1, column - half : column + half + 1], down, right


def _write(picture: Pixels, text: str, row: int, column: int) -> None:
    """Text with a dark rim, its middle at `row`, its left at `column`."""
    mask = np.pad(text_mask(text), 2)
    rim = np.zeros_like(mask)
    for down in (-2, -1, 0, 1, 2):
        for right in (-2, -1, 0, 1, 2):
            if abs(down) + abs(right) < 4:
                rim |= np.roll(mask, (down, right), axis=(0, 1))
    top, left = row - mask.shape[0] // 2, min(column, picture.shape[1] - mask.shape[1])
    target = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    _blend(target, 0.6 * rim, PAPER)
    _blend(target, mask.astype(float), INK)


def _legend(picture: Pixels) -> None:
    """The title, and the colour scale with its heights."""
    middle, width = picture.shape[0] - BAND // 2, 300
    left = picture.shape[1] - width - 40
    _write(picture, "Tohoku tsunami, 2011-03-11 05:46 UTC", middle - 13, 16)
    _write(picture, "Highest water, and the front at every hour", middle + 13, 16)
    picture[middle - 22 : middle - 6, left : left + width] = _on_scale(np.linspace(0, 1, width))
    for height in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
        at = left + round(width * np.log(height / LOWEST_M) / np.log(HIGHEST_M / LOWEST_M))
        label = f"{height:g}" + (" m" if height == HIGHEST_M else "")
        _write(picture, label, middle + 10, at - text_mask(f"{height:g}").shape[1] // 2)
