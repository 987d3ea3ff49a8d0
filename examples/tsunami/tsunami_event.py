"""The Tohoku earthquake of 2011-03-11, 05:46 UTC, as an initial hump of water, and the gauges of its wave.

The hump is an idealisation. Inversions of the tsunami's records (Fujii et al. 2011, Earth Planets Space 63, 815-820; Satake et al. 2013,
Bull. Seismol. Soc. Am. 103, 1473-1492) find the largest slip, of tens of metres, along the axis of the Japan Trench, and a sea surface
raised by several metres on an area longer than wide. Here that is one smooth ellipse around the epicentre, along the trench, without the
subsidence on its landward side and without the slip's details. Only its place is observed; its other dimensions are round numbers of the
right size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tsunami_solver import EARTH_RADIUS_M, FRONT_M, Array, Floor

EPICENTRE = (38.3, 142.4)  # degrees north and east (USGS)
PEAK_M = 7.0  # idealised, see above
STRIKE_DEG = 200.0  # the direction of the Japan Trench there, clockwise from north
HALF_LENGTH_M, HALF_WIDTH_M = 250_000.0, 100_000.0  # idealised: a source of 500 km x 200 km


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A gauge, with the observed travel time of the wave if it is known."""

    name: str
    lat: float
    lon: float
    """Degrees east, 0 to 360."""
    observed_hours: float | None = None
    """From the earthquake to the first arrival."""


GAUGES = (
    Gauge(name="DART 21413", lat=30.5, lon=152.1),
    Gauge(name="Wake", lat=19.3, lon=166.6),
    Gauge(name="Midway", lat=28.2, lon=182.6),
    Gauge(name="Kauai", lat=22.0, lon=200.6, observed_hours=7 + 21 / 60),
    Gauge(name="Hilo", lat=19.7, lon=204.9),
    Gauge(name="DART 46404", lat=45.9, lon=231.2),
    Gauge(name="Crescent City", lat=41.7, lon=235.8, observed_hours=9 + 48 / 60),
)


FOOT = 0.02  # the wave is at a gauge when the water stands at this share of its highest there; see README, "When does a wave arrive?"


def hump(floor: Floor, rows: slice = slice(None)) -> Array:
    """Return the initial height of the sea in the given rows, (rows, columns) m: a squared cosine, which has a known edge."""
    along, across = _along_and_across(floor, rows)
    radius = np.minimum(np.hypot(along / HALF_LENGTH_M, across / HALF_WIDTH_M), 1.0)
    height = PEAK_M * np.cos(np.pi / 2 * radius) ** 2
    return np.where((floor.depth[rows] > 0) & (radius < 1.0), height, 0.0)


def _along_and_across(floor: Floor, rows: slice) -> tuple[Array, Array]:
    """Return the distances in m along and across the strike from the epicentre, by the azimuthal equidistant map (Snyder 1987, ch. 25)."""
    lat, lon = np.deg2rad(floor.lat_deg[rows])[:, None], np.deg2rad(floor.lon_deg)[None, :]
    lat0, lon0 = np.deg2rad(EPICENTRE)
    cos_distance = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
    distance = np.arccos(np.clip(cos_distance, -1.0, 1.0))
    scale = EARTH_RADIUS_M / np.sinc(distance / np.pi)
    east = scale * np.cos(lat) * np.sin(lon - lon0)
    north = scale * (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon - lon0))
    strike = np.deg2rad(STRIKE_DEG)
    return east * np.sin(strike) + north * np.cos(strike), east * np.cos(strike) - north * np.sin(strike)


def gauge_cell(floor: Floor, gauge: Gauge) -> tuple[int, int]:
    """Return row and column of the wet cell whose centre is nearest to the gauge."""
    lat, lon = np.deg2rad(floor.lat_deg)[:, None], np.deg2rad(floor.lon_deg)[None, :]
    lat0, lon0 = np.deg2rad((gauge.lat, gauge.lon))
    nearness = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
    row, column = np.unravel_index(np.argmax(np.where(floor.depth > 0, nearness, -2.0)), floor.depth.shape)
    return int(row), int(column)


def gauges_within(floor: Floor, rows: slice) -> tuple[list[str], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the names of the gauges whose cells lie in `rows`, and their rows (counted from `rows.start`) and columns."""
    cells = {gauge.name: gauge_cell(floor, gauge) for gauge in GAUGES}
    here = {name: (row - rows.start, column) for name, (row, column) in cells.items() if rows.start <= row < rows.stop}
    where = np.array(list(here.values()), np.int64).reshape(-1, 2)
    return list(here), (where[:, 0], where[:, 1])


def came_at(tide: Array, dt: float) -> float:
    """Return the arrival time of the wave in s, nan if FRONT_M was never reached. `tide` (steps,) m: heights at a gauge each `dt` s."""
    highest = float(tide.max())
    return (int(np.argmax(tide >= FOOT * highest)) + 1) * dt if highest >= FRONT_M else math.nan
