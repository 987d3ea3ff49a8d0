"""Do the program's variables mean at a commit what they would mean after a recovery?

A recovery enters `main` again, and what stands before the loop gives each variable the part that it had when the loop began: the one at
the same place of the same item. Where the loop makes a variable mean another part (`old, new = new, old`), the next superstep would compute
with the wrong one. So the places of all parts that variables mean are noted at the loop's first `next()` and compared at each commit.

1. Variables are the locals of the looping function and the globals of the program's modules. What they hold belongs to them: elements of
   short lists, tuples and dicts, attributes of objects that are not state, and what bound methods belong to, `DEPTH` steps deep.
2. A view of an array is a part too: its place is that of the array, with the offset.
3. A variable that the next superstep writes before it reads it may mean anything. Where the bytecode does not show that (`liveness`), the
   variable is unset if it can be, and the superstep itself shows it (`unset_variables`); the others are refused.
4. An iterator over a part has a position instead (`iterators`).
5. A variable that meant no part when the loop began must mean none, for nothing gives it back. Elements of lists and dicts and attributes
   may, for they are often caches.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, Final, NamedTuple

import numpy as np

from perdure.adapters import object_structure
from perdure.adapters.iterators import Position, position_of
from perdure.adapters.liveness import is_kept_for_the_end, is_read_first, reads_global, writes_global
from perdure.adapters.modules import PLAIN, program_modules
from perdure.adapters.places import Items, Place
from perdure.adapters.unset_variables import CAN_UNSET_LOCALS, Unsetting, may_unset_attribute
from perdure.errors import UsageError

DEPTH: Final = 3
ELEMENTS_MAX: Final = 64
"""Of a list, tuple or dict that is looked into. Arbitrary: what holds more is data and not names."""
STEPS_MAX: Final = 20_000
"""Values that are looked at in all. Arbitrary; it takes a hundredth of a second."""
_SNAPSHOT: Final = sys.version_info < (3, 13)
"""Whether `frame.f_locals` is a dict that refers to the values too."""
_PLAIN_VALUES: Final = (int, float, str, type(None))
_OPAQUE: Final = (*_PLAIN_VALUES, type, FunctionType, type(sys), bytes, complex)
_OF_IMPORT: Final = frozenset({"__builtins__", "__loader__", "__spec__"})
"""Variables that Python gives a module, and that hold nothing of the program."""


class Variable(NamedTuple):
    """A variable of the program, or what is behind one; made by the dozen at each commit.

    Attributes:
        name: as the program writes it: `self.old`, `buffers[0]`.
        root: the variable itself.
        module: of a global its module's name, or empty.
        lasting: the program may have changed what the variable refers to without changing the variable.
    """

    name: str
    root: str
    module: str
    lasting: bool


class Variables:
    """The variables of the program that mean parts of items."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._modules: dict[str, dict[str, Any]] = {}
        self._noted: dict[Variable, tuple[Place | Position, int]] = {}
        self._noted_names: set[str] = set()
        self._bound: frozenset[str] = frozenset()
        self._plain: dict[tuple[str, str], Any] = {}
        self._unsetting = Unsetting()
        self._gone: set[Variable] = set()
        self._owns_modules = True
        self._codes: set[CodeType] = set()

    def note(self, frame: FrameType, items: Items, *, owns_modules: bool = True) -> None:
        """Note which parts the variables mean, at the loop's first `next()` in `frame`.

        `owns_modules`: the modules of the process are those of this rank alone.
        """
        self._frame, self._owns_modules = frame, owns_modules
        self._modules = {module.__name__: vars(module) for module in program_modules()}
        self._modules.setdefault(frame.f_globals.get("__name__", ""), frame.f_globals)
        self._bound = frozenset(frame.f_locals)
        self._plain = {
            (module, name): value for module, names in self._modules.items() for name, value in names.items() if type(value) in PLAIN
        }
        self._noted = {
            variable: (meant, id(value))
            for variable, value, _, _, place in self._walk(items)
            if (meant := place or position_of(value, items)) is not None
        }
        self._noted_names = {variable.name for variable in self._noted}

    def forget(self) -> None:
        """The loop is over: variables may mean anything."""
        self._unsetting.put_back()
        self._frame, self._noted, self._noted_names = None, {}, set()

    def explain(self, error: BaseException) -> str | None:
        """Return what an error of the program means, if it comes from a variable that would mean another part after a loss."""
        return self._unsetting.explain(error)

    def references(self, items: Items | None = None) -> Counter[int]:
        """Return how many references to each object, by id, are those of variables: `check` looks after them."""
        counts: Counter[int] = Counter()
        for _, value, number, _, _ in self._walk(items):
            counts[id(value)] += number
            if isinstance(value, np.ndarray) and value.base is not None:
                counts[id(value.base)] += 1
        return counts

    def check(self, items: Items) -> None:
        """Compare, at a commit. UsageError names a variable that would mean another part after a loss and that cannot be unset."""
        if self._frame is None:
            return
        seen = set()
        for variable, value, _, holder, place in list(self._walk(items)):
            seen.add(variable)
            noted = self._noted.get(variable)
            if noted is not None and _is_still(noted, value, items):
                continue
            here = place or position_of(value, items)
            if noted is None and (here is None or variable.lasting):
                continue
            if self._is_read(variable):
                why = _why(variable, noted[0] if noted else None, here, is_same=noted is not None and noted[1] == id(value))
                if not self._unset(variable, value, holder, why):
                    raise UsageError(why)
        for variable, (meant, _) in self._noted.items():
            if variable in seen or variable.name == variable.root or variable in self._gone or not self._is_read(variable):
                continue
            raise UsageError(_why(variable, meant, None, is_same=False))

    def _unset(self, variable: Variable, value: Any, holder: Any, why: str) -> bool:
        """Unset a variable, if that can be done: then a superstep that reads it before it writes it fails with `why`."""
        assert self._frame is not None
        if variable.name != variable.root:
            name = variable.name.rpartition(".")[2]
            if holder is None or not may_unset_attribute(holder, name, self._functions()):
                return False
            self._gone.add(variable)
            self._unsetting.unset_attribute(holder, name, why)
            return True
        names = self._frame.f_globals if self._frame.f_locals is self._frame.f_globals else self._modules.get(variable.module)
        code = self._frame.f_code
        is_written_elsewhere = names is not None and any(writes_global(one, variable.root) for one in self._functions() if one is not code)
        if not is_written_elsewhere and is_kept_for_the_end(code, self._frame.f_lasti, variable.root):
            return False  # the program would learn it when all of its work is done
        if names is not None and self._owns_modules and names.get(variable.root) is value:
            again = self._plain.get((names.get("__name__", ""), variable.root), value)
            self._unsetting.unset_global(names, variable.root, again, why)
            return True
        if names is not None or variable.root in self._bound:
            return False
        if not CAN_UNSET_LOCALS:  # after a loss it is unbound, which Python reports on the paths that are not ordinary
            return not is_read_first(code, self._frame.f_lasti, variable.root, is_ordinary=True)
        self._unsetting.unset_local(self._frame, variable.root, why)
        return True

    def _is_read(self, variable: Variable) -> bool:
        """Return whether the next superstep may read the variable before it writes it."""
        assert self._frame is not None
        code = self._frame.f_code
        if is_read_first(code, self._frame.f_lasti, variable.root):
            return True
        is_global = variable.module or self._frame.f_locals is self._frame.f_globals
        return bool(is_global) and any(reads_global(one, variable.root) for one in self._functions() if one is not code)

    def _functions(self) -> set[CodeType]:
        """Return the code of all functions of the program, whatever holds them: decorators, closures, classes, tables."""
        if not self._codes:
            spaces = {id(names) for names in self._modules.values()}
            self._codes = {one.__code__ for one in gc.get_objects() if type(one) is FunctionType and id(one.__globals__) in spaces}
        return self._codes

    # ---- what variables hold ----------------------------------------------------------------------------------------------------

    def _walk(self, items: Items | None) -> Iterator[tuple[Variable, Any, int, Any, Place | None]]:
        """Yield what variables hold, how many references to it are theirs, the object if it is an attribute's, and its place in the items.

        Parts of items are not looked into.
        """
        if self._frame is None:
            return
        local = self._frame.f_locals
        number = 1 + (local is not self._frame.f_globals and _SNAPSHOT)
        todo: deque[tuple[Variable, Any, int, int, Any]] = deque(
            (Variable(name, name, "", False), value, number, 0, None)
            for name, value in list(local.items())
            if name not in _OF_IMPORT and self._is_looked_at(name, value)
        )
        for module, names in self._modules.items():
            if names is not local:
                todo += [
                    (Variable(name, name, module, False), value, 1, 0, None)
                    for name, value in list(names.items())
                    if name not in _OF_IMPORT and self._is_looked_at(name, value)
                ]
        seen: set[int] = set()
        while todo and len(seen) < STEPS_MAX:
            variable, value, number, depth, holder = todo.popleft()
            place = items.place_of(value) if items is not None else None
            yield variable, value, number, holder, place
            if depth < DEPTH and place is None and id(value) not in seen:
                seen.add(id(value))
                for word, one, lasting in _inside(value):
                    name = variable.name + word
                    if self._is_looked_at(name, one):
                        inner = Variable(name, variable.root, variable.module, variable.lasting or lasting)
                        todo.append((inner, one, 1, depth + 1, value if word.startswith(".") else None))

    def _is_looked_at(self, name: str, value: Any) -> bool:
        """Return whether a value may mean a part, or a variable of that name did when the loop began."""
        return not isinstance(value, _OPAQUE) or (isinstance(value, _PLAIN_VALUES) and name in self._noted_names)


def _inside(value: Any) -> Iterable[tuple[str, Any, bool]]:
    """Return what a value of the program holds: the word for each, it, and whether it may be put there without making another value."""
    cls = type(value)
    if cls in (list, tuple, deque) and len(value) <= ELEMENTS_MAX:
        return [(f"[{number}]", one, cls is not tuple) for number, one in enumerate(value)]
    if cls is dict and len(value) <= ELEMENTS_MAX:
        return [(f"[{key!r}]", one, True) for key, one in value.items() if isinstance(key, str | int)]
    if cls is MethodType:
        return [(".__self__", value.__self__, False)]
    if cls is functools.partial:
        return [(".func", value.func, False), *((f".args[{number}]", one, False) for number, one in enumerate(value.args))]
    if object_structure.is_plain(cls) and object_structure.c_base(cls) is object and cls.__module__.partition(".")[0] != "perdure":
        return [(f".{name.rpartition('.')[2]}", one, True) for name, one in object_structure.attributes(value)]
    return []


def _is_still(noted: tuple[Place | Position, int], value: Any, items: Items) -> bool:
    """Return whether a value is what a recovery would make of the variable: what stands at the place now, or an iterator at the start."""
    if isinstance(noted[0], Place):
        return items.stands_at(noted[0], value)
    here = position_of(value, items)
    return id(value) == noted[1] and here is not None and here.token == noted[0].token


def _why(variable: Variable, noted: Place | Position | None, here: Place | Position | None, *, is_same: bool) -> str:
    name = f"the variable {variable.name!r}" + (f" of the module {variable.module}" if variable.module else "")
    if noted is None:
        return (
            f"{name} means {here} since the loop began, and the next superstep may read it; after a loss it means what main gave it before "
            "the loop. Put the object into the item before the loop, or take the part from the item at the start of each superstep"
        )
    if isinstance(noted, Position):
        return (
            f"{name} is {noted} from before the loop and has advanced since; after a loss it starts again: make the iterator in the "
            "superstep, and keep in the item how far it has come"
        )
    if is_same:
        return (
            f"{noted} has left its place, and {name} means it from before the loop, which would mean another object after a loss: take "
            "such a part from the item inside the loop, under another name"
        )
    return (
        f"{name} meant {noted} when the loop began and means {here or 'another object'} now; after a loss it would mean the first again. "
        "Change the item in the same way (state['a'], state['b'] = state['b'], state['a']), or take the part from the item at the start of "
        "each superstep; between arrays that are items, copy (old[...] = new)"
    )
