"""A variable that means another part at a commit is refused wherever the program keeps it; what a superstep takes anew is not."""

from __future__ import annotations

import functools
import re
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from perdure.adapters import variables
from perdure.adapters.encoding import Encoding
from perdure.adapters.loop_frames import loop_frames
from perdure.adapters.places import Items
from perdure.adapters.variables import Variables
from perdure.errors import UsageError


class Loop:
    """The items of a job with one loop, which looks at the variables before each superstep but the first."""

    def __init__(self) -> None:
        self.u, self.prev, self.rows = np.zeros(4), np.ones(4), np.zeros((80, 2))
        self.state: dict[str, Any] = {"even": [], "odd": [], "layers": [[1], [2], [3]]}
        self.variables = Variables()

    def supersteps(self, count: int = 3) -> Iterator[int]:
        return self._run(count, sys._getframe(1))

    def _run(self, count: int, caller: Any) -> Iterator[int]:
        self.variables.note(loop_frames(sys._getframe(1), caller), self._items())
        for superstep in range(count):
            if superstep:
                self.variables.check(self._items())
            yield superstep
        self.variables.forget()

    def _items(self) -> Items:
        return Items([("u", self.u), ("prev", self.prev), ("rows", self.rows), ("state", Encoding("state", self.state))])


Loop.__module__ = "perdure.loop"  # what jobs hold is not the program's


class State(NamedTuple):
    """Two time levels."""

    u: Any
    prev: Any


class Fields(dict[str, Any]):
    """A dict with more methods."""


class Levels(list[Any]):
    """A list with more methods."""


class Grid:
    """A class that holds the fields of the program itself."""

    u: Any = None
    prev: Any = None


class Block:
    """An object of the program, with one slot for its `__dict__` and two for fields."""

    __slots__ = ("__dict__", "now", "prev")

    def __init__(self, now: Any, prev: Any, **more: Any) -> None:
        self.now, self.prev = now, prev
        vars(self).update(more)

    def swap(self) -> None:
        self.now, self.prev = self.prev, self.now


# ---- wrong after a loss ---------------------------------------------------------------------------------------------------------


def namespace(loop: Loop) -> None:
    f = SimpleNamespace(u=loop.u, prev=loop.prev)
    for _ in loop.supersteps():
        f.u, f.prev = f.prev, f.u


def rebound_in_a_namespace(loop: Loop) -> None:
    ns = SimpleNamespace(u=loop.u)
    for superstep in loop.supersteps():
        ns.u = ns.u + superstep


def named_tuple(loop: Loop) -> None:
    s = State(loop.u, loop.prev)
    for _ in loop.supersteps():
        s = State(s.prev, s.u)


def dict_with_other_keys(loop: Loop) -> None:
    fields = {("h", 0): loop.u, ("h", 1): loop.prev}
    for _ in loop.supersteps():
        fields["h", 0], fields["h", 1] = fields["h", 1], fields["h", 0]


def dict_with_objects_as_keys(loop: Loop) -> None:
    one, two = Block(1, 1), Block(2, 2)
    fields = {one: loop.u, two: loop.prev}
    for _ in loop.supersteps():
        fields[one], fields[two] = fields[two], fields[one]


def ordered_dict(loop: Loop) -> None:
    f = OrderedDict(new=loop.u, now=loop.prev)
    for _ in loop.supersteps():
        f["new"], f["now"] = f["now"], f["new"]


def dict_subclass(loop: Loop) -> None:
    f = Fields(u=loop.u, prev=loop.prev)
    for _ in loop.supersteps():
        f["u"], f["prev"] = f["prev"], f["u"]


def list_subclass(loop: Loop) -> None:
    levels = Levels([loop.u, loop.prev])
    for _ in loop.supersteps():
        levels.reverse()


def rotated_deque(loop: Loop) -> None:
    levels = deque([loop.u, loop.prev], maxlen=2)
    for _ in loop.supersteps():
        levels.rotate()


def object_array(loop: Loop) -> None:
    levels = np.empty(2, object)
    levels[0], levels[1] = loop.u, loop.prev
    for _ in loop.supersteps():
        levels[0], levels[1] = levels[1], levels[0]


def captured(loop: Loop) -> None:
    u, prev = loop.u, loop.prev

    def step() -> None:
        nonlocal u, prev
        u += 1
        u, prev = prev, u

    _drive(loop, step)


def _drive(loop: Loop, step: Callable[[], None]) -> None:
    for _ in loop.supersteps():
        step()


def captured_by_a_function_that_made_it(loop: Loop) -> None:
    _drive(loop, _stepper(loop.u, loop.prev))


def captured_behind_a_method(loop: Loop) -> None:
    holder = Block(None, None, step=_stepper(loop.u, loop.prev))
    for _ in loop.supersteps():
        holder.step()


def _stepper(u: Any, prev: Any) -> Callable[[], None]:
    def step() -> None:
        nonlocal u, prev
        u += 1
        u, prev = prev, u

    return step


def captured_kept(loop: Loop) -> None:
    _drive(loop, _keeper(loop.state))


def _keeper(state: dict[str, Any]) -> Callable[[], None]:
    last: Any = None

    def step() -> None:
        nonlocal last
        if last is not None:
            last.append(1)
        last = state["layers"][0]

    return step


def generator_around_the_loop(loop: Loop) -> None:
    u, prev = loop.u, loop.prev
    for _ in _progress(loop):
        u += 1
        u, prev = prev, u


def generator_kept(loop: Loop) -> None:
    for superstep in _progress(loop):
        if superstep:
            last.append(1)  # noqa: F821
        last = loop.state["layers"][superstep % 3]  # noqa: F841


def generators_with_a_zip(loop: Loop) -> None:
    u, prev = loop.u, loop.prev
    for _, _ in zip(enumerate(_progress(loop)), range(10), strict=False):
        u += 1
        u, prev = prev, u


def _progress(loop: Loop) -> Iterator[int]:
    for superstep in loop.supersteps():
        yield superstep
        loop.rows[0] = superstep


def iterator_made_elsewhere(loop: Loop) -> None:
    u, prev = loop.u, loop.prev
    for _ in _made(loop):
        u += 1
        u, prev = prev, u


def _made(loop: Loop) -> Iterator[int]:
    return loop.supersteps()


def class_attributes(loop: Loop) -> None:
    Grid.u, Grid.prev = loop.u, loop.prev
    for _ in loop.supersteps():
        Grid.u, Grid.prev = Grid.prev, Grid.u


def class_attributes_by_an_object(loop: Loop) -> None:
    Grid.u, Grid.prev = loop.u, loop.prev
    grid = Grid()
    for _ in loop.supersteps():
        type(grid).u, type(grid).prev = grid.prev, grid.u


def deep(loop: Loop) -> None:
    solver = Block(None, None, domain=Block(None, None, fields={"h": [Block(loop.u, loop.prev)]}))
    for _ in loop.supersteps():
        solver.domain.fields["h"][0].swap()


def many(loop: Loop) -> None:
    blocks = [Block(row[:1], row[1:]) for row in loop.rows]
    for _ in loop.supersteps():
        blocks[-1].swap()


def many_rotated(loop: Loop) -> None:
    rows = list(loop.rows)
    for _ in loop.supersteps():
        rows.append(rows.pop(0))


def one_fewer(loop: Loop) -> None:
    rows = list(loop.rows)
    for _ in loop.supersteps():
        rows.pop()


def behind_a_variable_that_is_not_read(loop: Loop) -> None:
    block = Block(loop.u, loop.prev)
    solver = Block(None, None, block=block)
    for _ in loop.supersteps():
        solver.block.swap()


def bound_methods(loop: Loop) -> None:
    push, other = loop.state["even"].append, loop.state["odd"].append
    for superstep in loop.supersteps():
        push(superstep)
        push, other = other, push


def partial_keywords(loop: Loop) -> None:
    put = functools.partial(_put, to=loop.state["even"])
    other = functools.partial(_put, to=loop.state["odd"])
    for superstep in loop.supersteps():
        put(superstep)
        put, other = other, put


def _put(one: int, *, to: list[int]) -> None:
    to.append(one)


def function_attributes(loop: Loop) -> None:
    def step() -> None:
        step.u, step.prev = step.prev, step.u  # type: ignore[attr-defined]

    step.u, step.prev = loop.u, loop.prev  # type: ignore[attr-defined]
    for _ in loop.supersteps():
        step()


REFUSED: dict[Callable[[Loop], None], str] = {
    namespace: r"'f\.u' meant the item 'u' .* and means the item 'prev'",
    rebound_in_a_namespace: r"'ns\.u' meant the item 'u' .* and means another object",
    named_tuple: r"'s\.u' meant the item 'u'",
    dict_with_other_keys: r"fields\[\('h', 0\)\]\" meant the item 'u'",
    dict_with_objects_as_keys: r"'fields\.values\(\)\[0\]' meant the item 'u'",
    ordered_dict: r"f\['new'\]\" meant the item 'u'",
    dict_subclass: r"f\['u'\]\" meant the item 'u'",
    list_subclass: r"'levels\[0\]' meant the item 'u'",
    rotated_deque: r"'levels\[0\]' meant the item 'u'",
    object_array: r"'levels\.flat\[0\]' meant the item 'u'",
    captured: r"step\.__closure__\['u'\]\" meant the item 'u'",
    captured_by_a_function_that_made_it: r"step\.__closure__\['u'\]\" meant the item 'u'",
    captured_behind_a_method: r"holder\.step\.__closure__\['u'\]\" meant the item 'u'",
    captured_kept: r"step\.__closure__\['last'\]\" means the part \['layers'\]\[0\]",
    generator_around_the_loop: "'u' meant the item 'u' .* and means the item 'prev'",
    generator_kept: r"'last' means the part \['layers'\]\[0\]",
    generators_with_a_zip: "'u' meant the item 'u' .* and means the item 'prev'",
    iterator_made_elsewhere: "'u' meant the item 'u' .* and means the item 'prev'",
    class_attributes: r"'Grid\.(u|prev)' of the module .* meant the item '(u|prev)'",
    class_attributes_by_an_object: r"'Grid\.(u|prev)' of the module .* meant the item '(u|prev)'",
    deep: r"solver\.domain\.fields\['h'\]\[0\]\.now\" meant the item 'u'",
    many: r"'blocks\[79\]\.now' meant a view of the item 'rows'",
    many_rotated: r"'rows\[0\]' meant a view of the item 'rows'",
    one_fewer: r"'rows\[79\]' meant a view of the item 'rows' .* and means another object",
    behind_a_variable_that_is_not_read: r"'block\.now' meant the item 'u'",
    bound_methods: r"'push\.__self__' meant the part \['even'\]",
    partial_keywords: r"put\.keywords\['to'\]\" meant the part \['even'\]",
    function_attributes: r"'step\.u' meant the item 'u'",
}


@pytest.mark.parametrize("program", REFUSED, ids=lambda one: one.__name__)
def test_a_variable_that_means_another_part_is_refused(program: Callable[[Loop], None]) -> None:
    loop = Loop()
    with pytest.raises((UsageError, NameError, AttributeError)) as caught:
        program(loop)
    why = caught.value if isinstance(caught.value, UsageError) else loop.variables.explain(caught.value)
    assert re.search(REFUSED[program], str(why))
    loop.variables.forget()


# ---- right -----------------------------------------------------------------------------------------------------------------------


def captured_taken_inside(loop: Loop) -> None:
    _drive(loop, _taker(loop.state, loop.state["layers"][0]))


def _taker(state: dict[str, Any], current: Any) -> Callable[[], None]:
    def step() -> None:
        nonlocal current
        current = state["layers"][len(state["even"]) % 3]
        state["even"].append(1)
        current.append(1)

    return step


def generator_with_parts_taken_inside(loop: Loop) -> None:
    for superstep in _progress(loop):
        for layer in loop.state["layers"]:
            layer.append(superstep)
        layer.append(superstep)
        current = loop.state["layers"][superstep]
        current.append(1)


def swapped_back(loop: Loop) -> None:
    f = Fields(u=loop.u, prev=loop.prev)
    for _ in loop.supersteps():
        f["u"], f["prev"] = f["prev"], f["u"]
        f["u"], f["prev"] = f["prev"], f["u"]


def cache(loop: Loop) -> None:
    views: dict[Any, Any] = {}
    holder = Block(None, None)
    for superstep in loop.supersteps():
        views.setdefault(("row", superstep), loop.rows[superstep])[:] += 1
        holder.now = loop.u


def another_object_that_is_written_first(loop: Loop) -> None:
    blocks = [Block(loop.u, loop.prev)]
    for _ in loop.supersteps():
        blocks = [Block(loop.prev, loop.u)]
        blocks[0].swap()


def functions_that_refer_to_one_another(loop: Loop) -> None:
    def odd(number: int) -> bool:
        return number > 0 and even(number - 1)

    def even(number: int) -> bool:
        return number == 0 or odd(number - 1)

    for superstep in loop.supersteps():
        loop.u[0] += even(superstep)


@pytest.mark.parametrize(
    "program",
    [
        captured_taken_inside, generator_with_parts_taken_inside, swapped_back, cache,
        another_object_that_is_written_first, functions_that_refer_to_one_another,
    ],
    ids=lambda one: one.__name__,
)  # fmt: skip
def test_what_is_the_same_after_a_loss_is_accepted(program: Callable[[Loop], None]) -> None:
    program(Loop())


@dataclass(frozen=True, eq=False)
class Constant:
    """An object that a class has by name, and that an item holds: nothing changes it, but what its attribute means can change."""

    field: Any = field(default_factory=lambda: np.zeros(2))


class Constants:
    """A class with an object as an attribute."""

    ONE = Constant()
    TWO = Constant()


def test_an_attribute_of_what_an_item_holds_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, it would be missing in the next commit."""
    monkeypatch.setattr(variables, "may_unset_attribute", lambda *_: True)
    loop = Loop()
    loop.state["used"] = [Constants.ONE, Constants.TWO]
    supersteps = loop.supersteps()
    next(supersteps)
    loop.state["used"].reverse()
    with pytest.raises(UsageError, match=r"'Constants\.(ONE|TWO)\.field' of the module"):
        next(supersteps)
    assert "field" in vars(Constants.ONE)


def test_an_unset_captured_variable_is_put_back() -> None:
    loop = Loop()
    step = _taker(loop.state, loop.state["layers"][0])
    supersteps = loop.supersteps()
    next(supersteps)
    step()
    step()
    next(supersteps)
    (cell,) = (one for name, one in zip(step.__code__.co_freevars, step.__closure__ or (), strict=True) if name == "current")
    with pytest.raises(ValueError, match="empty"):
        cell.cell_contents  # noqa: B018
    loop.variables.forget()
    assert cell.cell_contents is loop.state["layers"][1]
