"""Programs for which it matters which object a name means: each function is one kind of them, as in `objects`."""

from __future__ import annotations

import copyreg
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import perdure

EVERY = 2
SWAPPED = (3, 17)
"""The supersteps in which things change places: the commits between them are those of the swapped order."""
MISSING = object()
LOG: list[int] = []
cur: Any = None
nxt: Any = None


class Unset:
    """The class of a sentinel without state."""


class Sentinel:
    """The class of a sentinel with a name."""

    ABSENT = object()

    def __init__(self, name: str) -> None:
        self.name = name


class Handle:
    """An object that is pickled as `copyreg` says."""

    def __init__(self, value: list[int]) -> None:
        self.value = value
        self.compute: Any = (one for one in ())  # what no pickle can hold


def remake(value: list[int]) -> Handle:
    return Handle(value)


def _reduced(handle: Handle) -> Any:
    return remake, (handle.value,)


UNSET = Unset()
NAMED = Sentinel("NAMED")
SENTINELS = (MISSING, UNSET, NAMED, Sentinel.ABSENT, dataclasses.MISSING, inspect.Parameter.empty, np.ma.masked, np._NoValue)


def sentinel(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"found": {}, "last": MISSING, "hits": 0})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        for number, one in enumerate(SENTINELS):
            if superstep % 10 == number:
                state["found"][number] = one
            state["hits"] += state["found"].get(number) is one
        state["hits"] += state["last"] is MISSING
        state["last"] = superstep if superstep % 7 == 6 else MISSING
    return float(state["hits"] + sum(state["found"][number] is one for number, one in enumerate(SENTINELS)))


def swapped_in_pairs(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"a": np.arange(5.0), "b": np.zeros(5)})
    a, b = state["a"], state["b"]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        b[:] = a * 0.9 + superstep
        if superstep in SWAPPED:
            a, b = b, a
    return float(a.sum() + 2 * b.sum())


def swapped_variables(job: perdure.Job, count: int) -> float:
    global cur, nxt
    state = job.private("state", init=lambda: {"a": np.arange(5.0), "b": np.zeros(5)})
    cur, nxt = state["a"], state["b"]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        _turn(superstep)
    return float(cur.sum() + 2 * nxt.sum())


def _turn(superstep: int) -> None:
    global cur, nxt
    nxt[:] = cur * 0.9 + superstep
    if superstep in SWAPPED:
        cur, nxt = nxt, cur


def swapped_items(job: perdure.Job, count: int) -> float:
    old, new = job.private("old", np.arange(5.0)), job.private("new", np.zeros(5))
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        new[:] = old * 0.9 + superstep
        if superstep in SWAPPED:
            old, new = new, old
    return float(old.sum() + 2 * new.sum())


def swapped_views(job: perdure.Job, count: int) -> float:
    both = job.private("both", np.ones((2, 5)))
    old, new = both
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        new[:] = old * 0.9 + superstep
        if superstep in SWAPPED:
            old, new = new, old
    return float(old.sum() + 2 * new.sum())


def swapped_rows(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"table": np.zeros(2, [("value", "f8")])})
    old, new = state["table"]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        new["value"] = old["value"] * 0.9 + superstep
        if superstep in SWAPPED:
            old, new = new, old
    return float(old["value"] + 2 * new["value"])


def swapped_buffers(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"a": bytearray(4), "b": bytearray(4)})
    old, new = memoryview(state["a"]), memoryview(state["b"])
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        new[superstep % 4] = (old[0] + superstep) % 251
        if superstep in SWAPPED:
            old, new = new, old
    return float(sum(old) + 2 * sum(new))


class Solver:
    """An object that is not state, whose attributes are parts of what is."""

    def __init__(self, job: perdure.Job) -> None:
        self.job = job
        self.state = job.private("state", init=lambda: {"a": np.arange(5.0), "b": np.zeros(5)})
        self.old, self.new = self.state["a"], self.state["b"]

    def run(self, count: int) -> float:
        for superstep in self.job.supersteps(count, commit_every=EVERY):
            self.job.comm.barrier()
            self.new[:] = self.old * 0.9 + superstep
            if superstep in SWAPPED:
                self.old, self.new = self.new, self.old
        return float(self.old.sum() + 2 * self.new.sum())


def swapped_attributes(job: perdure.Job, count: int) -> float:
    return Solver(job).run(count)


def swapped_everywhere(job: perdure.Job, count: int) -> float:
    """Right: the variables and the object change together."""
    state = job.private("state", init=lambda: {"a": np.arange(5.0), "b": np.zeros(5)})
    a, b = state["a"], state["b"]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        b[:] = a * 0.9 + superstep
        if superstep in SWAPPED:
            a, b = b, a
            state["a"], state["b"] = a, b
    return float(a.sum() + 2 * b.sum())


def taken_inside(job: perdure.Job, count: int) -> float:
    """Right: the variables are taken anew in each superstep."""
    state = job.private("state", init=lambda: {"layers": [np.zeros(3) for _ in range(4)]})
    layer = state["layers"][0]
    row = layer[:1]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        for layer in state["layers"][superstep % 3 :]:
            layer += superstep
        row = state["layers"][superstep % 4][superstep % 3 :]
        row += 1
        last = row[:1]
    return float(sum(one.sum() for one in state["layers"]) + last.sum())


def carried_over(job: perdure.Job, count: int) -> float:
    """Wrong after a loss: the part of the superstep before is not remembered."""
    state = job.private("state", init=lambda: {"layers": [np.zeros(3) for _ in range(4)]})
    last = None
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        if last is not None:
            last += superstep
        last = state["layers"][superstep % 4]
    return float(sum(place * layer.sum() for place, layer in enumerate(state["layers"])))


def a_global_comes_in(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"sum": 0})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        if superstep == 2:
            state["log"] = LOG
        LOG.append(superstep)
        state["sum"] += len(state.get("log", ()))
    return float(state["sum"])


def reduced_by_copyreg(job: perdure.Job, count: int) -> float:
    copyreg.pickle(Handle, _reduced)
    state = job.private("state", init=lambda: {"handle": Handle([])})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["handle"].value.append(superstep)
    return float(sum(state["handle"].value))


KINDS: dict[str, Callable[[perdure.Job, int], float]] = {
    made.__name__: made
    for made in (
        sentinel, swapped_in_pairs, swapped_variables, swapped_items, swapped_views, swapped_rows, swapped_buffers, swapped_attributes,
        swapped_everywhere, taken_inside, carried_over, a_global_comes_in, reduced_by_copyreg,
    )
}  # fmt: skip


def main(job: perdure.Job, what: str = "sentinel", supersteps: int = 30) -> list[float]:
    return job.comm.allgather(KINDS[what](job, supersteps))  # type: ignore[no-any-return]
