"""Programs that take parts anew in each superstep, and some that only seem to: each function is one kind of them, as in `objects`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

import perdure

EVERY = 2
current: Any = None
before: Any = None


def _layers() -> dict[str, Any]:
    return {"layers": [np.zeros(3) for _ in range(4)], "good": [], "bad": [], "sum": 0.0}


def _total(state: dict[str, Any]) -> float:
    return float(state["sum"] + sum(place * layer.sum() for place, layer in enumerate(state["layers"])))


# ---- right: what a superstep reads it has written ---------------------------------------------------------------------------------


def global_taken_inside(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        _select(state, superstep)
        _add(superstep)
    return _total(state) + float(current.sum())


def _select(state: dict[str, Any], superstep: int) -> None:
    global current
    current = state["layers"][superstep % 4]


def _add(superstep: int) -> None:
    current[:] += superstep


class Picker:
    """An object that is not state, with an attribute that means another part in each superstep."""

    def __init__(self, job: perdure.Job) -> None:
        self.job, self.state = job, job.private("state", init=_layers)
        self.current = self.state["layers"][0]

    def pick(self, superstep: int) -> None:
        self.current = self.state["layers"][superstep % 4]

    def run(self, count: int, *, forgets_each: int = 10**6) -> float:
        for superstep in self.job.supersteps(count, commit_every=EVERY):
            self.job.comm.barrier()
            if superstep % forgets_each != forgets_each - 1:
                self.pick(superstep)
            self.current += superstep
        return _total(self.state)


def attribute_taken_inside(job: perdure.Job, count: int) -> float:
    return Picker(job).run(count)


def namespace_taken_inside(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    space = SimpleNamespace(current=state["layers"][0])
    for superstep in _progress(job, count):
        job.comm.barrier()
        space.current = state["layers"][superstep % 4]
        space.current += superstep
    return _total(state)


def _progress(job: perdure.Job, count: int) -> Iterator[int]:
    """A progress bar is a generator around the loop."""
    yield from job.supersteps(count, commit_every=EVERY)


def captured_taken_inside(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    current = state["layers"][0]

    def step(superstep: int) -> None:
        nonlocal current
        current = state["layers"][superstep % 4]
        current += superstep

    _drive(job, count, step)
    return _total(state) + float(current.sum())


def _drive(job: perdure.Job, count: int, step: Callable[[int], None]) -> None:
    for superstep in _progress(job, count):
        job.comm.barrier()
        step(superstep)


def blocks(job: perdure.Job, count: int) -> float:
    """No bytecode shows that a `for` has something to do, or that a `with` and a `try` do not end early."""
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        for layer in state["layers"]:
            layer += superstep
        state["sum"] += float(layer.sum())
        with contextlib.suppress(KeyError), _opened(state["good"]) as opened:
            opened.append(superstep)
        try:
            target = state["bad"] if superstep % 3 else state["good"]
            target[superstep % 5].append(1)
        except (IndexError, AttributeError):
            target.append(superstep)
        state["sum"] += len(opened)
    return _total(state) + float(layer.sum())


def same_condition(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        if superstep % 3 == 0:
            row = state["layers"][superstep % 4]
        state["sum"] += superstep
        if superstep % 3 == 0:
            row += 1
    return _total(state)


@contextlib.contextmanager
def _opened(one: list[int]) -> Iterator[list[int]]:
    yield one


def iterators_made_inside(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    names, both = iter(state), zip(state["layers"], state["layers"][1:], strict=False)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        turns = _turns(state["layers"])
        next(turns)[:] += superstep
        for number, (one, two) in enumerate(zip(state["layers"], reversed(state["layers"]), strict=True)):
            one += number * two.sum() * 1e-3
    return _total(state) + len(list(names)) + len(list(both))


# ---- wrong after a loss, were it not refused ----------------------------------------------------------------------------------------


def global_kept(job: perdure.Job, count: int) -> float:
    global before
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        _add_before(superstep)
        before = state["layers"][superstep % 4]
    return _total(state)


def _logged(function: Callable[[int], None]) -> Callable[[int], None]:
    @functools.wraps(function)
    def logged(superstep: int) -> None:
        function(superstep)

    return logged


@_logged
def _add_before(superstep: int) -> None:
    if superstep:
        before[:] += superstep


def local_kept(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        if superstep:
            last[:] += superstep  # noqa: F821
        last = state["layers"][superstep % 4]  # noqa: F841
    return _total(state)


def captured_kept(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)

    def add(superstep: int) -> None:
        if superstep:
            last[:] += superstep

    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        add(superstep)
        last = state["layers"][superstep % 4]
    return _total(state)


def attribute_kept(job: perdure.Job, count: int) -> float:
    return Picker(job).run(count, forgets_each=3)


def kept_for_the_end(job: perdure.Job, count: int) -> float:
    """Refused at the first commit, and not when all the work is done."""
    state = job.private("state", init=_layers)
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        state["layers"][superstep % 4] += superstep
        if superstep % 7 == 1:
            best = state["layers"][superstep % 4]
    return _total(state) + float(best.sum())


def iterator_advanced(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=lambda: {"todo": list(range(100)), "sum": 0})
    todo = enumerate(state["todo"])
    for _ in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        place, one = next(todo)
        state["sum"] += place * one
    return float(state["sum"])


def generator_advanced(job: perdure.Job, count: int) -> float:
    state = job.private("state", init=_layers)
    turns = _turns(state["layers"])
    for superstep in job.supersteps(count, commit_every=EVERY):
        job.comm.barrier()
        next(turns)[:] += superstep
    return _total(state)


def _turns(layers: list[Any]) -> Iterator[Any]:
    while True:
        yield from layers


def captured_swapped(job: perdure.Job, count: int) -> float:
    u, prev = job.private("u", np.ones(4)), job.private("prev", np.ones(4))

    def step(superstep: int) -> None:
        nonlocal u, prev
        prev[:] = 2 * u - prev + superstep
        if superstep % 4 != 3:
            u, prev = prev, u

    _drive(job, count, step)
    return float(u.sum())


def swapped_around_a_generator(job: perdure.Job, count: int) -> float:
    u, prev = job.private("u", np.ones(4)), job.private("prev", np.ones(4))
    for superstep in _progress(job, count):
        job.comm.barrier()
        if superstep % 4 != 3:
            prev[:] = 2 * u - prev + superstep
            u, prev = prev, u
    return float(u.sum())


def rebound_around_a_generator(job: perdure.Job, count: int) -> float:
    u = job.private("u", np.ones(4))
    for superstep in _progress(job, count):
        job.comm.barrier()
        u = u + superstep
    return float(u.sum())


class Grid:
    """A class whose attributes are the fields."""

    u: Any = None
    prev: Any = None

    @classmethod
    def step(cls, superstep: int) -> None:
        cls.prev[:] = 2 * cls.u - cls.prev + superstep
        cls.u, cls.prev = cls.prev, cls.u


def swapped_class_attributes(job: perdure.Job, count: int) -> float:
    Grid.u, Grid.prev = job.private("u", np.ones(4)), job.private("prev", np.ones(4))
    for superstep in job.supersteps(count, commit_every=3):
        job.comm.barrier()
        Grid.step(superstep)
    return float(Grid.u.sum())


KINDS: dict[str, Callable[[perdure.Job, int], float]] = {
    made.__name__: made
    for made in (
        global_taken_inside, attribute_taken_inside, blocks, global_kept, local_kept, captured_kept, attribute_kept, kept_for_the_end,
        iterator_advanced, generator_advanced, iterators_made_inside, same_condition, namespace_taken_inside, captured_taken_inside,
        captured_swapped, swapped_around_a_generator, rebound_around_a_generator, swapped_class_attributes,
    )
}  # fmt: skip


def main(job: perdure.Job, what: str = "blocks", supersteps: int = 30) -> list[float]:
    return job.comm.allgather(KINDS[what](job, supersteps))  # type: ignore[no-any-return]
