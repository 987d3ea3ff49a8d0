"""A check that the program's variables mean at a commit what they would mean after a recovery.

A recovery enters `main` again, and what stands before the loop gives each variable the part that it had when the loop began: the one at
the same place of the same item. Where the loop makes a variable mean another part (`old, new = new, old`), the next superstep would compute
with the wrong one. So the places of all parts that variables mean are noted at the loop's first `next()` and compared at each commit.

1. Variables are the locals of the functions of the program that wait for the loop (`loop_frames`) and the globals of the program's modules.
   What they hold belongs to them (`variable_paths`): elements of lists, tuples and dicts, attributes of objects that are not state and of
   the program's classes, variables that functions captured, and what bound methods and `functools.partial` belong to.
2. A view of an array is a part too: its place is that of the array, with the offset.
3. A variable that the next superstep writes before it reads it may mean anything. Where the bytecode does not show that (`liveness`), the
   variable is unset if it can be, and the superstep itself shows it (`unset_variables`); the others are refused.
4. An iterator over a part has a position instead (`iterators`).
5. A variable that meant no part when the loop began must mean none, for nothing gives it back. Elements of lists and dicts and attributes
   may, for they are often caches.

All that variables hold is walked once, when the loop begins. A commit looks at the variables themselves, at what they hold by fixed steps,
and at what was noted: by rule 5 nothing else matters.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from perdure.adapters.iterators import Position, position_of
from perdure.adapters.liveness import is_kept_for_the_end, is_read_first, reads_global, writes_global
from perdure.adapters.loop_frames import running
from perdure.adapters.modules import PLAIN, program_modules
from perdure.adapters.places import Items, Place
from perdure.adapters.unset_variables import CAN_UNSET_LOCALS, Unsetting, may_unset_attribute
from perdure.adapters.variable_errors import refusal
from perdure.adapters.variable_paths import DEPTH, FIXED, MISSING, OPAQUE, Step, Trail, fixed, follow, root_of, walk, word
from perdure.adapters.variable_spaces import Root, Space
from perdure.errors import UsageError

_SNAPSHOT: Final = sys.version_info < (3, 13)
"""Whether `frame.f_locals` is a dict that refers to the values too."""


@dataclass(slots=True, eq=False)
class _Noted:
    """The meaning of a variable, or of a value behind one, when the loop began.

    Attributes:
        meant: its part; None: only values that it holds meant some.
        held: the id of its value.
        inner: by step, the values that it holds.
        aliases: other variables that led to the same value.
        is_gone: it has been unset.
    """

    meant: Place | Position | None = None
    held: int = 0
    inner: dict[Step, _Noted] = field(default_factory=dict)
    aliases: set[Root] = field(default_factory=set)
    is_gone: bool = False


class _Spot(NamedTuple):
    """The place at which a value is found.

    Attributes:
        root: the variable itself.
        steps: from it, with the values from which they lead.
        aliases: other variables that led there when the loop began.
        lasting: what holds it may have been given it without the variable being written.
    """

    root: Root
    steps: tuple[tuple[Any, Step], ...] = ()
    aliases: frozenset[Root] = frozenset()
    lasting: bool = False


class Variables:
    """The variables of the program that mean parts of items."""

    def __init__(self) -> None:
        self._frames: list[FrameType] = []
        self._spaces: list[Space] = []
        self._modules: dict[str, dict[str, Any]] = {}
        self._noted: list[dict[str, _Noted]] = []
        self._bound: frozenset[str] = frozenset()
        self._plain: dict[tuple[str, str], Any] = {}
        self._unsetting = Unsetting()
        self._owns_modules = True
        self._codes: set[CodeType] = set()
        self._visited: set[int] = set()

    def note(self, frames: list[FrameType], items: Items, *, owns_modules: bool = True) -> None:
        """Note which parts the variables mean, at the loop's first `next()`, for which `frames` wait: the innermost first.

        `owns_modules`: the modules of the process are those of this rank alone.
        """
        frame, self._frames, self._owns_modules = frames[0], frames, owns_modules
        self._modules = {module.__name__: vars(module) for module in program_modules()}
        self._modules.setdefault(frame.f_globals.get("__name__", ""), frame.f_globals)
        self._bound = frozenset(frame.f_locals)
        self._plain = {
            (module, name): value for module, names in self._modules.items() for name, value in names.items() if type(value) in PLAIN
        }
        self._spaces = [Space(frame, names=frame.f_globals)]
        self._spaces += [Space(None, module, names) for module, names in self._modules.items() if names is not frame.f_locals]
        self._spaces += [Space(one) for one in frames[1:] if one.f_locals is not one.f_globals]
        self._noted = [{} for _ in self._spaces]
        again = []
        for trail, value, place, before in walk(self._roots(), items.place_of, self._modules):
            meant = place or position_of(value, items)
            if meant is not None:
                noted = self._noted_at(trail)
                noted.meant, noted.held = meant, id(value)
            elif before is not None and root_of(before) != root_of(trail):
                again.append((before, root_of(trail)))
        for trail, root in again:
            known = self._known_at(trail)
            if known is not None:
                known.aliases.add(root)

    def forget(self) -> None:
        """The loop is over: variables may mean anything."""
        self._unsetting.put_back()
        self._frames, self._spaces, self._noted = [], [], []

    def explain(self, error: BaseException) -> str | None:
        """Return what an error of the program means, if it comes from a variable that would mean another part after a loss."""
        return self._unsetting.explain(error)

    def references(self, items: Items | None = None) -> Counter[int]:
        """Return how many references to each object, by id, are those of variables: `check` looks after them."""
        counts: Counter[int] = Counter()
        captured: set[tuple[str, int]] = set()
        for trail, value, _, _ in walk(self._roots(), items.place_of if items is not None else lambda _: None, self._modules):
            parent, last = trail
            if parent is None:
                frame = self._spaces[last.space].frame
                counts[id(value)] += 1
                if frame is not None and frame.f_locals is not frame.f_globals:
                    is_known = (last.name, id(value)) in captured
                    counts[id(value)] += _SNAPSHOT - is_known
                    if last.name in frame.f_code.co_cellvars + frame.f_code.co_freevars:
                        captured.add((last.name, id(value)))
            elif not (last[0] == "cell" and (last[1][1], id(value)) in captured):
                counts[id(value)] += 1
            if isinstance(value, np.ndarray) and value.base is not None:
                counts[id(value.base)] += 1
        return counts

    def check(self, items: Items) -> None:
        """Compare, at a commit. UsageError names a variable that would mean another part after a loss and that cannot be unset."""
        if not self._spaces:
            return
        alive = running(self._frames, sys._getframe(1))
        self._visited.clear()
        for number, space in enumerate(self._spaces):
            if space.frame is not None and space.frame not in alive:
                self._noted[number] = {}
                continue
            noted = self._noted[number]
            is_looping = space.frame is self._frames[0]
            entries = space.to_look_at(noted)
            if space.captured:  # the looping function unsets what functions captured from it; of another function they unset it
                entries = [one for one in entries if (one[0] in space.captured) is is_looping] + [
                    one for one in entries if (one[0] in space.captured) is not is_looping
                ]
            for name, value in entries:
                known = noted.get(name)
                if known is None and _is_opaque(value):
                    continue
                if known is not None and known.meant is not None and _is_still(known.meant, known.held, value, items):
                    continue
                if is_looping or name not in space.captured or name in space.now():
                    self._compare(_Spot(Root(number, name)), value, known, items)

    # ---- one value ------------------------------------------------------------------------------------------------------------------

    def _compare(self, spot: _Spot, value: Any, noted: _Noted | None, items: Items) -> None:
        """Compare a value, and what it holds, with what was noted."""
        if noted is not None and noted.meant is not None:
            if _is_still(noted.meant, noted.held, value, items):
                return
            return self._differs(spot, value, noted, items.place_of(value) or position_of(value, items), items)
        if not spot.lasting:
            here = items.place_of(value) or position_of(value, items)
            if here is not None:
                return self._differs(spot, value, noted, here, items)
        if noted is not None:
            aliases = spot.aliases | noted.aliases
            for step, known in noted.inner.items():
                inner = _Spot(spot.root, (*spot.steps, (value, step)), aliases, spot.lasting or step[0] not in FIXED)
                one = follow(value, step)
                if one is not MISSING:
                    self._compare(inner, one, known, items)
                else:
                    self._is_missing(inner, known)
        if not spot.lasting and len(spot.steps) < DEPTH:
            self._compare_fixed(spot, value, noted, items)
        return None

    def _compare_fixed(self, spot: _Spot, value: Any, noted: _Noted | None, items: Items) -> None:
        """Look at what a value holds by fixed steps and that meant no part. What a module's functions captured counts as a cache."""
        if type(value) is FunctionType:
            if id(value) in self._visited or self._spaces[spot.root.space].frame is None or not self._is_read(spot):
                return
            self._visited.add(id(value))  # functions may refer to one another
        for step, one in fixed(value):
            if not _is_opaque(one) and (noted is None or step not in noted.inner):
                self._compare(_Spot(spot.root, (*spot.steps, (value, step)), spot.aliases), one, None, items)

    def _is_missing(self, spot: _Spot, noted: _Noted) -> None:
        """Refuse that a value is nowhere any more, unless it was unset."""
        if noted.is_gone:
            return
        if noted.meant is not None and self._is_read(spot):
            raise UsageError(refusal(self._name(spot), noted.meant, None, is_same=False))
        for step, known in noted.inner.items():
            self._is_missing(spot._replace(steps=(*spot.steps, (MISSING, step)), aliases=spot.aliases | noted.aliases), known)

    def _differs(self, spot: _Spot, value: Any, noted: _Noted | None, here: Place | Position | None, items: Items) -> None:
        """Unset a variable that means another part, or refuse it, if the next superstep may read it."""
        if not self._is_read(spot, is_new=noted is None or noted.meant is None):
            return
        meant = noted.meant if noted is not None else None
        why = refusal(self._name(spot), meant, here, is_same=meant is not None and noted is not None and noted.held == id(value))
        if not (self._unset_behind(spot, noted, why, items) if spot.steps else self._unset(spot.root, value, why)):
            raise UsageError(why)

    def _unset_behind(self, spot: _Spot, noted: _Noted | None, why: str, items: Items) -> bool:
        """Unset an attribute or a captured variable, if that can be done: then a read before a write fails with `why`."""
        holder, (kind, key) = spot.steps[-1]
        is_shared = self._spaces[spot.root.space].frame is None and not self._owns_modules
        if is_shared or items.hold(holder):  # unset, it would be missing in other ranks, or in the next commit
            return False
        if kind == "cell":
            self._unsetting.unset_captured(holder.__closure__[key[0]], key[1], why)
        elif kind == "attribute" and may_unset_attribute(holder, key.rpartition(".")[2], self._functions()):
            self._unsetting.unset_attribute(holder, key, why)
        else:
            return False
        if noted is not None:
            noted.is_gone = True
        return True

    def _unset(self, root: Root, value: Any, why: str) -> bool:
        """Unset a variable, if that can be done: then a superstep that reads it before it writes it fails with `why`."""
        space, frame = self._spaces[root.space], self._frames[0]
        if space.frame not in (None, frame):
            return False
        names = space.names if space.frame is None or frame.f_locals is frame.f_globals else None
        code = frame.f_code
        is_written_elsewhere = names is not None and any(writes_global(one, root.name) for one in self._functions() if one is not code)
        if not is_written_elsewhere and is_kept_for_the_end(code, frame.f_lasti, root.name):
            return False  # the program would learn it when all of its work is done
        if names is not None and self._owns_modules and names.get(root.name) is value:
            again = self._plain.get((names.get("__name__", ""), root.name), value)
            self._unsetting.unset_global(names, root.name, again, why)
            return True
        if names is not None or root.name in self._bound:
            return False
        if not CAN_UNSET_LOCALS:  # after a loss it is unbound, which Python reports on the paths that are not ordinary
            return not is_read_first(code, frame.f_lasti, root.name, is_ordinary=True)
        self._unsetting.unset_local(frame, root.name, why)
        return True

    def _is_read(self, spot: _Spot, *, is_new: bool = False) -> bool:
        """Return whether the next superstep may read a variable, or one that led to the same value, before it writes it.

        `is_new`: it meant no part when the loop began.
        """
        if any(step[0] == "class" for _, step in spot.steps):
            return True  # by an object of the class
        return any(self._is_root_read(root, is_new=is_new) for root in (spot.root, *spot.aliases))

    def _is_root_read(self, root: Root, *, is_new: bool) -> bool:
        space, frame = self._spaces[root.space], self._frames[0]
        if space.frame is not None and space.frame is not frame:  # where it cannot be unset, and is unbound after a loss if it is new
            return is_read_first(space.frame.f_code, space.frame.f_lasti, root.name, is_ordinary=is_new)
        if is_read_first(frame.f_code, frame.f_lasti, root.name):
            return True
        if space.frame is not None and frame.f_locals is not frame.f_globals:
            return False
        waiting = (one for one in self._frames[1:] if one.f_locals is space.names)
        if any(is_read_first(one.f_code, one.f_lasti, root.name) for one in waiting):
            return True
        return any(reads_global(one, root.name) for one in self._functions() if one is not frame.f_code)

    def _functions(self) -> set[CodeType]:
        """Return the code of all functions of the program, whatever holds them: decorators, closures, classes, tables."""
        if not self._codes:
            spaces = {id(names) for names in self._modules.values()}
            self._codes = {one.__code__ for one in gc.get_objects() if type(one) is FunctionType and id(one.__globals__) in spaces}
        return self._codes

    def _name(self, spot: _Spot) -> str:
        """Return the text of a value for an error message: the variable, and the steps from there."""
        space = self._spaces[spot.root.space]
        name = spot.root.name + "".join(word(value, step) for value, step in spot.steps)
        of = f" of the module {space.module}" if space.module else ""
        return f"the variable {name!r}{of}"

    # ---- what was noted -------------------------------------------------------------------------------------------------------------

    def _roots(self) -> Iterator[tuple[Root, Any]]:
        """Yield the variables that may hold something, and their values."""
        for number, space in enumerate(self._spaces):
            for name, value in space.to_look_at(()):
                yield Root(number, name), value

    def _noted_at(self, trail: Trail) -> _Noted:
        """Return what is noted at a trail, which begins to exist."""
        parent, last = trail
        if parent is None:
            root: Root = last
            return self._noted[root.space].setdefault(root.name, _Noted())
        return self._noted_at(parent).inner.setdefault(last, _Noted())

    def _known_at(self, trail: Trail) -> _Noted | None:
        """Return what is noted at a trail, if something is."""
        parent, last = trail
        if parent is None:
            root: Root = last
            return self._noted[root.space].get(root.name)
        known = self._known_at(parent)
        return known.inner.get(last) if known is not None else None


def _is_opaque(value: Any) -> bool:
    """Return whether a value is no part and holds nothing by a fixed step."""
    cls = type(value)
    if cls is FunctionType:
        return value.__closure__ is None
    if cls is BuiltinFunctionType:
        return value.__self__ is None or type(value.__self__) is ModuleType
    return cls in OPAQUE or isinstance(value, type)


def _is_still(meant: Place | Position, held: int, value: Any, items: Items) -> bool:
    """Return whether a value is what a recovery would make of the variable: what stands at the place now, or an iterator at the start."""
    if isinstance(meant, Place):
        return items.stands_at(meant, value)
    here = position_of(value, items)
    return id(value) == held and here is not None and here.token == meant.token
