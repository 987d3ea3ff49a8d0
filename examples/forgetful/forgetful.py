"""A drum that forgets its speed: a program that does not declare all of its state, and a rehearsal that detects it.

perdure rehearse examples/forgetful/forgetful.py
perdure rehearse examples/forgetful/forgetful.py -- --remember
"""

import numpy as np

import perdure
from perdure.comm import PROC_NULL

STIFFNESS = 0.2  # the square of the wave speed in points per superstep; values below 0.5 are stable


def struck(index: tuple[slice, ...]) -> np.ndarray:
    """Return the initial skin: a dent off its middle, on 64 x 64 points."""
    rows, columns = np.ogrid[index]
    return np.exp(-((rows - 24.0) ** 2 + (columns - 40.0) ** 2) / 40.0)


def exchange_edges(job: perdure.Job, skin: np.ndarray) -> None:
    """Fill the ghost rows with the edges of the neighbours, or with zeros where the skin is clamped."""
    above = job.rank - 1 if job.rank > 0 else PROC_NULL
    below = job.rank + 1 if job.rank + 1 < job.size else PROC_NULL
    skin[0] = skin[-1] = 0.0
    job.comm.Sendrecv(skin[1], above, 0, skin[-1], below, 0)
    job.comm.Sendrecv(skin[-2], below, 1, skin[0], above, 1)


def main(job: perdure.Job, n: int = 64, supersteps: int = 60, remember: bool = False) -> float:
    """Return the highest point of the skin at the end. `remember`: without the mistake."""
    skin = job.sharded("skin", (n, n), init=struck, halo=1)
    if remember:
        speed = job.sharded("speed", (n, n), init=0.0)
    else:
        speed = np.zeros((skin.shape[0] - 2, n))  # the mistake: every entry of main creates it again, and no commit restores it
    for _ in job.supersteps(supersteps):
        exchange_edges(job, skin)
        bend = skin[:-2, 1:-1] + skin[2:, 1:-1] + skin[1:-1, :-2] + skin[1:-1, 2:] - 4 * skin[1:-1, 1:-1]
        speed[:, 1:-1] += STIFFNESS * bend
        skin[1:-1] += speed
    return job.comm.allreduce(float(skin[1:-1].max()), perdure.comm.MAX)
