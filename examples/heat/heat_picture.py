"""A program that runs `heat.py` and then writes the plate as a picture.

perdure run examples/heat/heat_picture.py -- --n 256 --supersteps 40000 --picture plate.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import heat
import numpy as np
from numpy.typing import NDArray

import perdure

sys.path.append(str(Path(__file__).parents[1] / "tsunami"))  # the tsunami example contains a PNG writer

from tsunami_picture import write_png

HOT = 100.0
STOPS = np.array([(8, 10, 28), (60, 15, 95), (140, 30, 110), (215, 65, 75), (250, 140, 45), (252, 215, 120), (255, 255, 230)])
"""Colours from cold to hot, evenly spaced."""
LINES = 10
"""Lines of equal temperature, evenly spaced."""


def main(job: perdure.Job, n: int = 256, supersteps: int = 40000, picture: str = "plate.png", magnify: int = 2) -> float:
    """Return the sum of all temperatures. Rank 0 writes `picture`, with `magnify` x `magnify` pixels for each point."""
    total = heat.main(job, n, supersteps)
    plate = job.gather("plate")
    if plate is not None:
        write_png(Path(picture), np.repeat(np.repeat(colours(plate), magnify, 0), magnify, 1))
    return total


def colours(plate: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the colours of temperatures from 0 to HOT, (rows, columns, 3) uint8."""
    share = np.clip(plate / HOT, 0.0, 1.0)
    at = np.linspace(0.0, 1.0, len(STOPS))
    picture = np.stack([np.interp(share, at, STOPS[:, channel]) for channel in range(3)], axis=-1)
    band = np.floor(share * LINES)
    crossed = (np.diff(band, axis=0, prepend=band[:1]) != 0) | (np.diff(band, axis=1, prepend=band[:, :1]) != 0)
    picture[crossed] += 0.35 * (255 - picture[crossed])
    return np.rint(picture).astype(np.uint8)
