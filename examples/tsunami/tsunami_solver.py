"""The linear shallow-water equations on the sphere: the ocean floor, the tables made from it, and one step in time.

Theory of operation
-------------------
Long waves of small height obey, with the height `eta` (m), the velocities `u` (east) and `v` (north, m/s) and the depth `h` (m),

    eta_t = -[(h u)_lon + (h v cos lat)_lat] / (R cos lat)
      u_t = -g eta_lon / (R cos lat) + f v          v_t = -g eta_lat / R - f u

They live on an Arakawa C grid: cell (j, i) holds `eta` at its centre, `u` at its east face, `v` at its north face. Row j grows
northwards, column i eastwards, and the columns close into a ring. Rows end in walls to the south and to the north.

* In time: forward-backward (Mesinger & Arakawa 1976, section 4): `eta` with the old velocities, then the velocities with the new `eta`.
* The Coriolis term goes through the corners of the cells as f/h times the mean transport, the linear form of Sadourny (1975), which does
  no work on the waves. `u` sees the old `v`, `v` sees the new `u`.
* A face beside land is closed: its depth is 0 in the tables, so nothing flows there, and the sum of `eta` times area is conserved to
  rounding.

Every operation is element by element, so a value does not depend on how the rows are split over ranks or over tiles.

This module does not depend on ranks. It works on local rows with one ghost row on each side. A step reads the southern ghost row of `v` and
the northern ghost rows of `eta` and `u`. The caller must fill them, with zeros at the walls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR_FILE = Path(__file__).with_name("etopo_10min.npz")  # ETOPO5; see README, "The floor"
EARTH_RADIUS_M = 6_371_000.0  # mean radius, IUGG (Moritz 2000)
EARTH_ROTATION = 7.292115e-5  # rad/s, WGS 84
GRAVITY = 9.81  # m/s2
COURANT = 0.9  # share of the stability limit; the rest is for the Coriolis term
SHALLOWEST_M = 10.0  # a cell less deep than this is land: linear waves mean nothing there
SOUTHMOST_ROW, ROWS = 180, 732  # of the 10-minute grid: 60 S to 62 N. A multiple of 12 rows, so that every coarsening fits
COARSENINGS = (1, 2, 3, 4, 6)
TILE_CELLS = 65_536  # rows worked on at a time, for the caches; measured: twice or half as many cost 5 to 10 % more
FRONT_M = 0.01  # a cell is reached when its water stands this high for the first time; see README, "When does a wave arrive?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The ocean floor between the walls, as cells of equal angle."""

    depth: Array
    """(rows, columns) m, 0 on land."""
    elevation: Array
    """(rows, columns) m above the sea, also on land: for pictures."""
    lat_deg: Array
    lon_deg: Array

    @property
    def step(self) -> float:
        """The side of a cell in radians, the same in latitude and longitude."""
        return float(np.deg2rad(360.0 / self.lon_deg.size))


def load_floor(coarsen: int) -> Floor:
    """Read the floor and average it over blocks of `coarsen` x `coarsen` cells of 10 arc-minutes. `coarsen`: one of COARSENINGS."""
    with np.load(FLOOR_FILE) as file:
        between_walls = slice(SOUTHMOST_ROW, SOUTHMOST_ROW + ROWS)
        fine = file["elevation_m"][between_walls].astype(np.float64)
        lat, lon = file["lat_deg"][between_walls].astype(np.float64), file["lon_deg"].astype(np.float64)
    rows, columns = fine.shape[0] // coarsen, fine.shape[1] // coarsen
    elevation = fine.reshape(rows, coarsen, columns, coarsen).mean(axis=(1, 3))
    depth = np.where(elevation <= -SHALLOWEST_M, -elevation, 0.0)
    means = (axis.reshape(-1, coarsen).mean(axis=1) for axis in (lat, lon))
    return Floor(depth=depth, elevation=elevation, lat_deg=next(means), lon_deg=next(means))


def longest_step(floor: Floor) -> float:
    """Return the longest stable time step in s, times COURANT: c dt sqrt(1/dx2 + 1/dy2) <= 1 in every cell."""
    side_m = EARTH_RADIUS_M * floor.step
    speed = np.sqrt(GRAVITY * floor.depth)
    cells_a_second = speed / side_m * np.sqrt(1.0 + 1.0 / np.cos(np.deg2rad(floor.lat_deg))[:, None] ** 2)
    return COURANT / float(cells_a_second.max())


def water_volume(floor: Floor, eta: Array) -> float:
    """Return the volume above the resting sea in m3, of the whole ocean."""
    area = (EARTH_RADIUS_M * floor.step) ** 2 * np.cos(np.deg2rad(floor.lat_deg))
    return float((eta * area[:, None]).sum())


class Solver:
    """One rank's rows: the tables, the scratch, and the two halves of a time step."""

    def __init__(self, floor: Floor, rows: slice, dt: float) -> None:
        """Make the tables for the global rows `rows` of `floor` and steps of `dt` seconds."""
        self._count = rows.stop - rows.start
        lat, step = np.deg2rad(floor.lat_deg), floor.step
        east, north, corner = _depth_between(floor.depth)
        cos_north, sin_north = np.cos(lat + step / 2), np.sin(lat + step / 2)
        coriolis = 2 * EARTH_ROTATION * sin_north[:, None] * np.divide(1.0, corner, out=np.zeros_like(corner), where=corner > 0)

        self._pull = GRAVITY * dt / (EARTH_RADIUS_M * step)
        self._spread = (dt / (EARTH_RADIUS_M * step * np.cos(lat)))[rows, None]
        self._east = _with_ghosts(east, rows)
        self._north = _with_ghosts(north * cos_north[:, None], rows)
        self._turn = _with_ghosts(coriolis * (dt / 4), rows)
        self._east_open = ((east > 0) / np.cos(lat)[:, None])[rows]
        self._north_open = (north > 0).astype(np.float64)[rows]

        columns = floor.depth.shape[1]
        self._tile = max(1, TILE_CELLS // columns)
        self._scratch = [np.empty((self._tile + 1, columns)) for _ in range(4)]
        self._unreached = np.empty((self._tile, columns), dtype=bool)

    def advance_height_and_east(self, eta: Array, u: Array, v: Array, crest: Array, arrival: Array, now: float) -> None:
        """Do the first half of a step: change `eta`, then `u`, in place; record the highest water and its time.

        Args:
            eta, u, v: (rows + 2, columns), borrowed; the southern ghost row of `v` is read.
            crest, arrival: (rows, columns), the highest `eta` so far (m), and the time (s) at which it first reached `FRONT_M`.
            now: the time in s at the end of this step.
        """
        for low in range(0, self._count, self._tile):
            high = min(low + self._tile, self._count)
            own, south = slice(low + 1, high + 1), slice(low, high + 1)
            change, flow_east, flow_north, other = (each[: high - low + 1] for each in self._scratch)

            np.multiply(self._north[south], v[south], out=flow_north)
            np.multiply(self._east[own], u[own], out=flow_east[1:])
            _minus_west(flow_east[1:], out=change[1:])
            change[1:] += flow_north[1:]
            change[1:] -= flow_north[:-1]
            change[1:] *= self._spread[low:high]
            eta[own] -= change[1:]
            self._note(crest[low:high], arrival[low:high], eta[own], now)

            _plus_east(flow_north, out=other)
            other *= self._turn[south]
            np.add(other[1:], other[:-1], out=flow_north[1:])
            _east_minus(eta[own], out=change[1:])
            change[1:] *= self._pull
            flow_north[1:] -= change[1:]
            flow_north[1:] *= self._east_open[low:high]
            u[own] += flow_north[1:]

    def advance_north(self, eta: Array, u: Array, v: Array) -> None:
        """Do the second half of a step: change `v` in place. It reads the northern ghost rows of `eta` and `u`."""
        for low in range(0, self._count, self._tile):
            high = min(low + self._tile, self._count)
            own, north = slice(low + 1, high + 1), slice(low + 2, high + 2)
            change, flow_east, both, _ = (each[: high - low + 1] for each in self._scratch)

            np.multiply(self._east[low + 1 : high + 2], u[low + 1 : high + 2], out=flow_east)
            np.add(flow_east[1:], flow_east[:-1], out=both[1:])
            both[1:] *= self._turn[own]
            _plus_west(both[1:], out=change[1:])
            np.subtract(eta[north], eta[own], out=both[1:])
            both[1:] *= self._pull
            change[1:] += both[1:]
            change[1:] *= self._north_open[low:high]
            v[own] -= change[1:]

    def _note(self, crest: Array, arrival: Array, eta: Array, now: float) -> None:
        """Record the highest water, and the time at which a cell first reached `FRONT_M`."""
        unreached = self._unreached[: crest.shape[0]]
        np.less(crest, FRONT_M, out=unreached)
        np.copyto(arrival, now, where=unreached)
        np.maximum(crest, eta, out=crest)


def _depth_between(depth: Array) -> tuple[Array, Array, Array]:
    """Return the depths of east faces, north faces and north-east corners: means, and 0 where a face is closed."""
    east_of = np.roll(depth, -1, axis=1)
    north_of = np.vstack([depth[1:], np.zeros_like(depth[:1])])
    east = np.where((depth > 0) & (east_of > 0), (depth + east_of) / 2, 0.0)
    north = np.where((depth > 0) & (north_of > 0), (depth + north_of) / 2, 0.0)
    corner = (depth + east_of + north_of + np.roll(north_of, -1, axis=1)) / 4
    return east, north, corner


def _with_ghosts(table: Array, rows: slice) -> Array:
    """Return the given rows and one more on each side, with zeros beyond the walls."""
    wall = np.zeros_like(table[:1])
    return np.ascontiguousarray(np.vstack([wall, table, wall])[rows.start : rows.stop + 2])


def _minus_west(a: Any, out: Any) -> None:
    """Subtract from each value its western neighbour, around the ring."""
    np.subtract(a[:, 1:], a[:, :-1], out=out[:, 1:])
    np.subtract(a[:, 0], a[:, -1], out=out[:, 0])


def _east_minus(a: Any, out: Any) -> None:
    """Subtract each value from its eastern neighbour, around the ring."""
    np.subtract(a[:, 1:], a[:, :-1], out=out[:, :-1])
    np.subtract(a[:, 0], a[:, -1], out=out[:, -1])


def _plus_east(a: Any, out: Any) -> None:
    """Add to each value its eastern neighbour, around the ring."""
    np.add(a[:, 1:], a[:, :-1], out=out[:, :-1])
    np.add(a[:, 0], a[:, -1], out=out[:, -1])


def _plus_west(a: Any, out: Any) -> None:
    """Add to each value its western neighbour, around the ring."""
    np.add(a[:, 1:], a[:, :-1], out=out[:, 1:])
    np.add(a[:, 0], a[:, -1], out=out[:, 0])
