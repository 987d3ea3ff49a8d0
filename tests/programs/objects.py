"""Ordinary Python values as state: each function declares one kind of them, changes it in every superstep, and returns a number of it."""

from __future__ import annotations

import collections
import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np

import perdure

EVERY = 2


class Book(dict[int, int]):
    """A dict with an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0


class Model:
    """An object that the program has names for."""

    def __init__(self) -> None:
        self.steps = 0
        self.weights = np.zeros(3)
        self.layers: list[np.ndarray] = [np.zeros(2)]

    def step(self, amount: float) -> None:
        self.steps += 1
        self.weights += amount
        self.layers[0] -= amount


class Node:
    """A node of a mesh, which refers to its neighbours."""

    def __init__(self) -> None:
        self.value, self.near = 0.0, []  # type: ignore[var-annotated]


def book(job: perdure.Job, count: int) -> float:
    mine = job.private("book", init=Book)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        mine[superstep] = 1
        mine.total += superstep
    return mine.total + len(mine)


def alias(job: perdure.Job, count: int) -> float:
    full = np.zeros((10, 10))
    state = job.private("state", {"full": full, "inner": full[1:-1, 1:-1], "turned": full.T})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["inner"] += superstep
        state["turned"][0] -= 1
    return float(state["full"].sum() + full.sum())


def name_after(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"model": Model()})
    model, weights = state["model"], state["model"].weights
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        model.step(0.5)
        weights[0] += 1
    return float(state["model"].steps + state["model"].weights.sum() + state["model"].layers[0].sum())


def name_before(job: perdure.Job, count: int) -> float:
    model = Model()
    layer = model.layers[0]
    state = job.private("state", {"model": model})
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        model.step(0.5)
        layer += 2
    return float(state["model"].steps + state["model"].weights.sum() + state["model"].layers[0].sum())


def closure(job: perdure.Job, count: int) -> float:
    model = Model()
    step = functools.partial(model.step, 0.25)
    job.private("state", {"model": model, "step": model.step})
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        step()
    return float(model.steps + model.weights.sum())


def set_order(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"seen": set(), "x": 0.0})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        seen = state["seen"]
        for number in range(8):
            seen.add((superstep * 8 + number) * 64 + job.rank)
        if len(seen) > 30:
            for _ in range(8):
                state["x"] = state["x"] * 0.999 + seen.pop()
    return float(state["x"])


def array_order(job: perdure.Job, count: int) -> float:
    start = np.random.default_rng(job.rank).random((40, 30)) * 1e8
    state = job.private("state", {"turned": np.asfortranarray(start), "strided": start[::3, ::-2], "sum": 0.0})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["turned"] += 0.1 * superstep
        state["sum"] += float(state["turned"].sum() + state["strided"].sum())
    return float(state["sum"])


def spawned(job: perdure.Job, count: int) -> float:
    mine, own = job.private("mine", np.zeros(4)), job.private("own", {"rng": np.random.default_rng(job.rank), "old": random.Random(3)})
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        (child,) = job.rng.spawn(1)
        (other,) = own["rng"].spawn(1)
        mine += child.random(4) + other.random(4) + own["old"].gauss(0, 1)
    return float(mine.sum())


def rng_name(job: perdure.Job, count: int) -> float:
    rng, mine = job.rng, job.private("mine", np.zeros(4))
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        mine += rng.random(4) + rng.spawn(1)[0].random(4)
    return float(mine.sum())


def mesh(job: perdure.Job, count: int, size: int = 12) -> float:
    def made() -> dict[str, Any]:
        nodes = [[Node() for _ in range(size)] for _ in range(size)]
        for row in range(size):
            for column in range(size):
                nodes[row][column].near = [nodes[row - 1][column], nodes[row][column - 1]]
        return {"nodes": nodes}

    state = job.private("state", init=made)
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        for row in state["nodes"]:
            for node in row:
                node.near[0].value += 1 + 0.1 * node.value
    return float(state["nodes"][3][3].value)


def containers(job: perdure.Job, count: int) -> float:
    state = job.private(
        "state",
        {
            "counter": collections.Counter(), "groups": collections.defaultdict(list), "last": collections.deque(maxlen=3),
            "order": collections.OrderedDict(), "masked": np.ma.zeros(3), "missing": float("nan"),
        },
    )  # fmt: skip
    state["values"] = [state["missing"]]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["counter"][superstep % 5] += 1
        state["groups"][superstep % 3].append(superstep)
        state["last"].append(superstep)
        state["order"][superstep % 7] = superstep
        state["order"].move_to_end(superstep % 7, last=False)
        state["masked"][superstep % 3] = np.ma.masked if superstep % 2 else superstep
        state["masked"] += 1
        state["values"].append(state["missing"] in state["values"])
    order = sum(place * key for place, key in enumerate(state["order"]))
    return float(
        sum(state["values"][1:]) + order + sum(state["last"]) + sum(map(len, state["groups"].values()))
        + state["counter"].most_common(1)[0][1] + state["masked"].sum() + state["masked"].count()
    )  # fmt: skip


def before_the_loop(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"model": Model(), "log": []})
    state["model"].weights += 7  # harmless at a later entry
    state["log"].append("entered")
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["model"].step(1.0)
        state["log"].append(superstep)
    return float(state["model"].weights.sum() + len(state["log"]))


def replicated(job: perdure.Job, count: int) -> float:
    state = job.replicated("state", init=lambda: {"model": Model(), "book": Book(), "seen": set()})
    model = state["model"]
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        model.step(1.0)
        state["book"].total += superstep
        state["seen"].add(superstep * 64)
    return float(state["book"].total + model.weights.sum() + sum(place * one for place, one in enumerate(state["seen"])))


def swapped_inside(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"old": np.arange(5.0), "new": np.zeros(5)})
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        old, new = state["old"], state["new"]
        new[1:-1] = (old[:-2] + old[2:]) / 2
        new[0] = old[0] + 1
        state["old"], state["new"] = new, old
    return float(state["old"].sum() + 2 * state["new"].sum())


def swapped_names(job: perdure.Job, count: int) -> float:
    """Wrong after a loss, were it not refused: `old` goes on meaning the array that is now the new one."""
    old, new = np.arange(5.0), np.zeros(5)
    state = job.private("state", {"old": old, "new": new})
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        old += superstep
        if superstep == 4:
            state["old"], state["new"] = state["new"], state["old"]
    return float(state["old"].sum() + 2 * state["new"].sum())


def shared_between(job: perdure.Job, count: int) -> float:
    model = Model()
    one, two = job.private("one", {"model": model}), job.private("two", {"model": model})
    for _ in job.supersteps(count, commit_every=EVERY):
        one["model"].step(1.0)
    return float(two["model"].steps)


def view_of_array(job: perdure.Job, count: int) -> float:
    plate = job.sharded("plate", shape=(20, 3))
    state = job.private("state", {"edge": plate[0]})
    for _ in job.supersteps(count, commit_every=EVERY):
        state["edge"] += 1
    return float(plate.sum())


def view_in_derived(job: perdure.Job, count: int) -> float:
    plate = job.sharded("plate", shape=(20, 3))
    edge = job.derived("edge", lambda: {"edge": plate[0]})
    for _ in job.supersteps(count, commit_every=EVERY):
        edge["edge"] += 1
    return float(plate.sum())


def part_in_derived(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"model": Model()})
    step = job.derived("step", lambda: functools.partial(state["model"].step, 1.0))
    for _ in job.supersteps(count, commit_every=EVERY):
        step()
    return float(state["model"].steps)


def init_of_what_is_held(job: perdure.Job, count: int) -> float:
    model = Model()
    job.private("state", init=lambda: {"model": model})
    for _ in job.supersteps(count, commit_every=EVERY):
        model.step(1.0)
    return float(model.steps)


def own_rng(job: perdure.Job, count: int) -> float:
    state = job.private("state", {"rng": job.rng})
    for _ in job.supersteps(count, commit_every=EVERY):
        state["rng"].random()
    return 0.0


def masked_item(job: perdure.Job, count: int) -> float:
    mine = job.private("mine", np.ma.zeros(3))
    for _ in job.supersteps(count, commit_every=EVERY):
        mine[0] = np.ma.masked
    return float(mine.sum())


KINDS: dict[str, Callable[[perdure.Job, int], float]] = {
    made.__name__: made
    for made in (
        book, alias, name_after, name_before, closure, set_order, array_order, spawned, rng_name, mesh, containers, before_the_loop,
        replicated, swapped_inside, swapped_names, shared_between, view_of_array, view_in_derived, part_in_derived, init_of_what_is_held,
        own_rng, masked_item,
    )
}  # fmt: skip


def main(job: perdure.Job, what: str = "book", supersteps: int = 30) -> list[float]:
    return job.comm.allgather(KINDS[what](job, supersteps))  # type: ignore[no-any-return]
