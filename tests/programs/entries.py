"""What `main` finds when a survivor enters it again: caches, the current folder, what can be done once only."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
from typing import Any

import numpy as np

import perdure

FIELDS: dict[str, Any] = {}


@functools.lru_cache
def interior(name: str) -> Any:
    """Return a view of an item, the same one at each call of an entry."""
    return FIELDS[name][1:-1]


class Grid:
    """A class with a cached method."""

    @functools.cache  # noqa: B019
    def edge(self) -> Any:
        """Return another view of the item."""
        return FIELDS["u"][:1]


GRID = Grid()


def caches(job: perdure.Job) -> list[list[float]] | None:
    """Write to an item through views that cached functions return."""
    FIELDS["u"] = job.private("u", np.arange(8.0))
    for superstep in job.supersteps(12, commit_every=2):
        u = FIELDS["u"]
        interior("u")[:] = 0.5 * (u[:-2] + u[2:]) + superstep
        GRID.edge()[0] += 1.0
        job.comm.barrier()
    return job.comm.gather(FIELDS["u"].tolist())


def folder(job: perdure.Job) -> list[int] | None:
    """Read a file by a relative name, then change the current folder."""
    numbers = [int(line) for line in pathlib.Path("in.txt").read_text().splitlines()]
    pathlib.Path(f"work{job.rank}").mkdir(exist_ok=True)
    os.chdir(f"work{job.rank}")
    total = job.private("total", [0])
    for superstep in job.supersteps(12, commit_every=2):
        total[0] += sum(numbers) + superstep
        job.comm.barrier()
    pathlib.Path("out.txt").write_text(str(total[0]))
    return job.comm.gather(total[0])


def once(job: perdure.Job) -> None:
    """Do before the loop what a process can do once only."""
    multiprocessing.set_start_method("forkserver")
    for _ in job.supersteps(12, commit_every=2):
        job.comm.barrier()


def late(job: perdure.Job) -> None:
    """Raise an error in the loop of a later generation."""
    for superstep in job.supersteps(12, commit_every=2):
        job.comm.barrier()
        if job.generation > 1 and superstep == 9:
            raise RuntimeError("an error of the loop")
