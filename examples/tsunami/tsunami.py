"""A simulation of the tsunami of 2011 across the Pacific.

    perdure run examples/tsunami/tsunami.py --ranks 4 -- --coarsen 4

Rank 0 has the southmost rows. In each time step a rank sends three rows: the northmost row of `v` to the rank above, and the southmost rows
of `eta` and `u` to the rank below. The program declares all arrays that a step changes, so a lost rank resumes with the same bits; it
computes the floor and the tables again from the file. The waves depend on no reduction over ranks, so the number of ranks changes no bit.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from tsunami_event import GAUGES, came_at, gauge_cell, gauges_within, hump
from tsunami_picture import MISSING, can_draw, save_map
from tsunami_solver import COARSENINGS, FRONT_M, Array, Floor, Solver, load_floor, longest_step, water_volume
from tsunami_view import Sender

from perdure.comm import PROC_NULL
from perdure.errors import UsageError

STEPS_PER_SUPERSTEP = 10  # a superstep of the coarsest grid then takes milliseconds, one of the finest a tenth of a second


def main(
    job: Any, coarsen: int = 4, hours: float = 12.0, steps_per_superstep: int = STEPS_PER_SUPERSTEP, view: str = "", map: str = ""
) -> dict[str, Any]:
    """Simulate the waves for `hours` after the earthquake.

    Args:
        coarsen: 1, 2, 3, 4 or 6: the side of a cell in units of 10 arc-minutes.
        hours: simulated time.
        steps_per_superstep: time steps between two points at which the state may be committed.
        view: the name of an abstract Unix datagram socket that gets pictures while it runs (see `tsunami_view`); "" for none.
        map: where rank 0 writes the map of highest waves, as PNG, or as SVG if the name ends so; "" for nowhere.

    Returns:
        On rank 0 the arrival times at the gauges and other results, ready for JSON; on other ranks an empty dict.

    Raises:
        UsageError: an argument is out of range; nothing was computed.
    """
    if coarsen not in COARSENINGS or not (hours > 0 and steps_per_superstep > 0):
        raise UsageError(f"coarsen must be one of {COARSENINGS}, hours and steps_per_superstep must be above 0")
    if map and not can_draw():
        raise UsageError(MISSING)
    floor = job.derived("floor", lambda: load_floor(coarsen))
    dt, supersteps = schedule(floor, hours, steps_per_superstep)
    shape = floor.depth.shape
    eta = job.sharded("eta", shape, halo=1, init=lambda index: hump(floor, index[0]))
    u = job.sharded("u", shape, halo=1, init=0.0)
    v = job.sharded("v", shape, halo=1, init=0.0)
    crest = job.sharded("crest", shape, init=lambda index: hump(floor, index[0]))
    arrival = job.sharded("arrival", shape, init=0.0)
    rows = job.index("eta")[0]
    solver = job.derived("solver", lambda: Solver(floor, rows, dt))
    gauges, at = gauges_within(floor, rows)
    tide = job.private("tide", np.zeros((len(gauges), supersteps * steps_per_superstep)))

    with Sender(view, floor, rows, job.rank, supersteps) as sender:
        for superstep in job.supersteps(supersteps):
            for step in range(superstep * steps_per_superstep, (superstep + 1) * steps_per_superstep):
                send_north(job, v)
                solver.advance_height_and_east(eta, u, v, crest, arrival, (step + 1) * dt)
                send_south(job, eta)
                send_south(job, u)
                solver.advance_north(eta, u, v)
                tide[:, step] = eta[1:-1][at]
            sender.send(eta[1:-1], superstep + 1, (superstep + 1) * steps_per_superstep * dt)

    whole_eta, whole_crest, whole_arrival = (job.gather(name) for name in ("eta", "crest", "arrival"))
    tides = job.comm.gather(dict(zip(gauges, tide, strict=True)))
    if job.rank != 0:
        return {}
    travel_s = {name: came_at(heights, dt) for one in tides for name, heights in one.items()}
    reached = np.where(whole_crest >= FRONT_M, whole_arrival, np.nan)
    if map:
        save_map(Path(map), floor, whole_crest, reached)
    return {"coarsen": coarsen, "hours": hours, "dt_s": dt, "supersteps": supersteps, **report(floor, whole_eta, whole_crest, travel_s)}


def schedule(floor: Floor, hours: float, steps_per_superstep: int) -> tuple[float, int]:
    """Return the time step in s and the number of supersteps. A superstep has the longest stable steps, and the last one ends at
    `hours`."""
    supersteps = math.ceil(hours * 3600 / longest_step(floor) / steps_per_superstep)
    return hours * 3600 / (supersteps * steps_per_superstep), supersteps


def send_north(job: Any, field: Array) -> None:
    """Fill the southern ghost row with the northmost row of the rank below, or with zeros at the wall."""
    below, above = neighbours(job)
    if below == PROC_NULL:
        field[0] = 0.0
    job.comm.Sendrecv(field[-2], above, 0, field[0], below, 0)


def send_south(job: Any, field: Array) -> None:
    """Fill the northern ghost row with the southmost row of the rank above, or with zeros at the wall."""
    below, above = neighbours(job)
    if above == PROC_NULL:
        field[-1] = 0.0
    job.comm.Sendrecv(field[1], below, 0, field[-1], above, 0)


def neighbours(job: Any) -> tuple[int, int]:
    """Return the ranks of the rows to the south and to the north."""
    return (job.rank - 1 if job.rank > 0 else PROC_NULL), (job.rank + 1 if job.rank + 1 < job.size else PROC_NULL)


def report(floor: Floor, eta: Array, crest: Array, travel_s: dict[str, float]) -> dict[str, Any]:
    """Return the results of a finished run. `travel_s`: by gauge, nan where no wave arrived."""
    at_start = water_volume(floor, hump(floor))
    return {
        "travel_hours": {
            gauge.name: None if math.isnan(travel_s[gauge.name]) else round(travel_s[gauge.name] / 3600, 3) for gauge in GAUGES
        },
        "observed_hours": {gauge.name: round(gauge.observed_hours, 3) for gauge in GAUGES if gauge.observed_hours},
        "crest_m": {gauge.name: round(float(crest[gauge_cell(floor, gauge)]), 3) for gauge in GAUGES},
        "highest_m": float(crest.max()),
        "volume_m3": at_start,
        "volume_drift": water_volume(floor, eta) / at_start - 1.0,
    }
