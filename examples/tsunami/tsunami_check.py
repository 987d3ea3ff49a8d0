"""Compare the travel times of the wave front with those of an independent method and with observations.

The front of a long wave runs at sqrt(g h). The shortest times over all paths come from Dijkstra's algorithm (1959) on the graph of the
cells, each joined with its neighbours in every direction of up to REACH cells, so that paths may run at 80 angles; great-circle lengths,
and the slowness 1/sqrt(g h) averaged along the way. Nothing here is shared with the solver but the floor and the hump, whose edge is where
it has the share of its height that a wave must have at a gauge to be there.

    python tsunami_check.py --coarsen 2        # solves on one rank without perdure, prints the table of the README
"""

from __future__ import annotations

import argparse
import heapq
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tsunami_event import FOOT, GAUGES, PEAK_M, came_at, gauge_cell, gauges_within, hump
from tsunami_picture import save_map
from tsunami_solver import EARTH_RADIUS_M, FRONT_M, GRAVITY, Array, Floor, Solver, load_floor, longest_step, water_volume

REACH = 5  # the gap between two directions is 11.3 degrees at most, so a straight way is 0.5 % too long at most
SAMPLES_A_CELL = 2  # points per cell's length at which an edge's slowness is read


def shortest_times(floor: Floor, source: NDArray[np.bool_], until: float = math.inf) -> Array:
    """Return the travel time in s from the cells of `source` to every cell, (rows, columns); inf where it exceeds `until`."""
    offsets = [(r, c) for r in range(-REACH, REACH + 1) for c in range(-REACH, REACH + 1) if math.gcd(r, c) == 1]
    rows, columns = floor.depth.shape
    costs = np.stack([_seconds_along(floor, *offset) for offset in offsets], axis=-1).reshape(rows * columns, len(offsets))
    down, right = np.array(offsets).T
    best = np.where(source, 0.0, np.inf).ravel()
    queue = [(0.0, int(cell)) for cell in np.flatnonzero(best == 0.0)]
    while queue:
        seconds, cell = heapq.heappop(queue)
        if seconds > until:
            break
        if seconds > best[cell]:
            continue
        row, column = divmod(cell, columns)
        to = np.clip(row + down, 0, rows - 1) * columns + (column + right) % columns  # an edge beyond a wall costs inf
        reached = seconds + costs[cell]
        for k in np.flatnonzero(reached < best[to]):
            best[to[k]] = reached[k]
            heapq.heappush(queue, (float(reached[k]), int(to[k])))
    return np.where(best <= until, best, np.inf).reshape(rows, columns)


def _seconds_along(floor: Floor, down: int, right: int) -> Array:
    """Return the time from each cell to the one `down` rows and `right` columns away; inf where land or a wall is between."""
    rows, _ = floor.depth.shape
    with np.errstate(divide="ignore"):
        slowness = 1.0 / np.sqrt(GRAVITY * floor.depth)
    count = SAMPLES_A_CELL * max(abs(down), abs(right))
    weights = np.ones(count + 1)
    weights[[0, -1]] = 0.5
    mean = np.zeros_like(slowness)
    for k, weight in enumerate(weights / weights.sum()):
        r, c = round(down * k / count), round(right * k / count)
        mean += weight * np.roll(slowness, (-r, -c), axis=(0, 1))
    from_lat = np.deg2rad(floor.lat_deg)
    to_lat = from_lat + down * floor.step
    half_chord = np.sin((to_lat - from_lat) / 2) ** 2 + np.cos(from_lat) * np.cos(to_lat) * np.sin(right * floor.step / 2) ** 2
    seconds = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half_chord))[:, None] * mean
    inside = (np.arange(rows) + down >= 0) & (np.arange(rows) + down < rows)
    return np.where(inside[:, None], seconds, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The whole ocean after a run on one rank."""

    eta: Array
    """(rows, columns) m at the end."""
    crest: Array
    arrival: Array
    """(rows, columns) s, nan where the front has not arrived."""
    travel_s: dict[str, float]
    """Travel times in s by gauge, nan where the wave has not arrived."""


def solve(floor: Floor, hours: float) -> Solution:
    """Simulate the waves for `hours` on one rank, without perdure."""
    steps = math.ceil(hours * 3600 / longest_step(floor))
    dt = hours * 3600 / steps
    shape = (floor.depth.shape[0] + 2, floor.depth.shape[1])
    eta, u, v = (np.zeros(shape) for _ in range(3))
    eta[1:-1] = hump(floor)
    crest, arrival = eta[1:-1].copy(), np.zeros(floor.depth.shape)
    everywhere = slice(0, floor.depth.shape[0])
    solver = Solver(floor, everywhere, dt)
    gauges, at = gauges_within(floor, everywhere)
    tides = np.zeros((len(gauges), steps))
    for step in range(steps):
        solver.advance_height_and_east(eta, u, v, crest, arrival, (step + 1) * dt)
        solver.advance_north(eta, u, v)
        tides[:, step] = eta[1:-1][at]
    travel_s = {name: came_at(tide, dt) for name, tide in zip(gauges, tides, strict=True)}
    return Solution(eta=eta[1:-1], crest=crest, arrival=np.where(crest >= FRONT_M, arrival, np.nan), travel_s=travel_s)


def main() -> None:
    """Print the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coarsen", type=int, default=4)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--map", type=Path, help="where to write the map of highest waves, as PNG")
    options = parser.parse_args()
    floor = load_floor(options.coarsen)
    began = time.perf_counter()
    solution = solve(floor, options.hours)
    solved = time.perf_counter()
    if options.map:
        save_map(options.map, floor, solution.crest, solution.arrival)
    shortest = shortest_times(floor, hump(floor) >= FOOT * PEAK_M, until=options.hours * 3600)
    done, volume = time.perf_counter(), water_volume(floor, hump(floor))
    print(f"coarsen {options.coarsen}: {(solved - began) / options.hours:.2f} s per simulated hour; Dijkstra took {done - solved:.0f} s")
    print(f"volume {volume:.6e} m3, relative drift {water_volume(floor, solution.eta) / volume - 1:.1e}")
    print("| gauge | depth of its cell | wave | Dijkstra | difference | observed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for gauge in GAUGES:
        cell = gauge_cell(floor, gauge)
        wave, path = solution.travel_s[gauge.name], shortest[cell]
        difference = f"{100 * (wave / path - 1):+.1f} %"
        observed = clock(gauge.observed_hours * 3600) if gauge.observed_hours else ""
        print(f"| {gauge.name} | {floor.depth[cell]:.0f} m | {clock(wave)} | {clock(path)} | {difference} | {observed} |")


def clock(seconds: float) -> str:
    """Return a time as hours and minutes."""
    if not math.isfinite(seconds):
        return "not reached"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


if __name__ == "__main__":
    main()
