"""What `main` returns, and what it raises, in sizes and kinds that are hard to send."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import perdure


@dataclass
class Outcome:
    """A class of the program's own file."""

    value: float
    table: dict[str, int]


def _run(job: perdure.Job) -> None:
    mine = job.sharded("mine", shape=(20, 3), init=1.0)
    for superstep in job.supersteps(6, commit_every=2):
        mine += superstep


def large(job: perdure.Job, mb: int = 64) -> np.ndarray:
    _run(job)
    return np.ones(mb * 131072)


def own_class(job: perdure.Job) -> Outcome:
    _run(job)
    return Outcome(1.5, {"a": 1})


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no error string")


def mute(job: perdure.Job) -> None:
    _run(job)
    raise Mute
