"""Heat conduction in a plate with one hot edge: Jacobi relaxation, with the rows split over the ranks."""

import numpy as np

import perdure
from perdure.comm import PROC_NULL, Communicator


def hot_edge(index: tuple[slice, ...]) -> np.ndarray:
    """Return a block of the initial plate: cold, except for the first row."""
    rows, columns = index
    block = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    if rows.start == 0:
        block[0] = 100.0
    return block


def exchange_edges(comm: Communicator, plate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the last row of the rank above and the first row of the rank below. At an end of the plate, return a copy of the own row."""
    up = comm.rank - 1 if comm.rank > 0 else PROC_NULL
    down = comm.rank + 1 if comm.rank + 1 < comm.size else PROC_NULL
    above, below = plate[0].copy(), plate[-1].copy()
    comm.Sendrecv(plate[0], up, 0, below, down, 0)
    comm.Sendrecv(plate[-1], down, 1, above, up, 1)
    return above, below


def relax(plate: np.ndarray, above: np.ndarray, below: np.ndarray, hot: bool) -> None:
    """Set every inner point to the mean of its four neighbours, except in the hot row."""
    padded = np.vstack([above, plate, below])
    mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    first = 1 if hot else 0
    plate[first:, 1:-1] = mean[first:]


def main(job: perdure.Job, n: int = 1024, supersteps: int = 500) -> float:
    """Return the sum of all temperatures."""
    plate = job.sharded("plate", shape=(n, n), init=hot_edge)
    for _ in job.supersteps(supersteps):
        above, below = exchange_edges(job.comm, plate)
        relax(plate, above, below, hot=job.rank == 0)
    return job.comm.allreduce(float(plate.sum()))
