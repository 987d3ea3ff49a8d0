"""The modules of the program, and the objects that modules have by name.

A sentinel (`MISSING = object()` at the top of a module) is compared by `is`. So a reference to it is committed as its name, and restored as
what the module has by that name. That is done only where a name loses nothing: for objects without state.
"""

from __future__ import annotations

import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from perdure.adapters import object_structure
from perdure.runtime.program_threads import PACKAGE

Name = tuple[str, str]
"""A module and a qualified name in it."""
_INSTALLED: Final = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})
PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_verdicts: dict[types.ModuleType, bool] = {}
"""Module -> is it the program's? Asked at each commit, of some hundred modules."""
_programs: dict[tuple[int, str], list[tuple[str, types.ModuleType]]] = {}
"""The program's modules by name, for the number of loaded modules and the last one: at most one entry."""
_bare: dict[int, tuple[Any, Name]] = {}
_seen: list[int] = [0]
"""The number of loaded modules when `_bare` was made."""


def program_modules() -> list[types.ModuleType]:
    """Return the loaded modules that are neither installed nor Python's own nor perdure's."""
    loaded = len(sys.modules), next(reversed(sys.modules), "")
    found = _programs.get(loaded)
    if found is None or any(sys.modules.get(name) is not module for name, module in found):
        found = _find_program_modules()
        _programs.clear()
        _programs[loaded] = found
    return [module for _, module in found]


def _find_program_modules() -> list[tuple[str, types.ModuleType]]:
    found = []
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType):
            is_programs = _verdicts.get(module)
            if is_programs is None:
                is_programs = _verdicts[module] = _is_programs(module)
            if is_programs:
                found.append((name, module))
    return found


def _is_programs(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__":
        return not (isinstance(file, str) and file.startswith(PACKAGE))
    if module.__name__.partition(".")[0] == "perdure":
        return False
    return isinstance(file, str) and not file.startswith(_INSTALLED)


def is_of_program(file: str) -> bool:
    """Return whether code of that file is the program's: neither installed nor Python's own nor perdure's."""
    return not file.startswith((*_INSTALLED, PACKAGE, "<frozen "))


class Sentinels:
    """The objects that modules have by name, as they are now: looked up by identity."""

    def __init__(self) -> None:
        self._programs: dict[int, tuple[Any, Name]] | None = None
        self._libraries: dict[str, dict[int, str]] = {}
        self._values: dict[int, tuple[Any, Name]] | None = None

    def name_of(self, value: Any) -> Name | None:
        """Return the name of an object without state; None if it has state, or no module has it."""
        if type(value) is object:
            return self._of_program(value) or _of_bare(value)
        if object_structure.c_base(type(value)) is not object:
            return ("numpy.ma", "masked") if value is np.ma.masked else None
        found = self._of_program(value) or self._of_library(value)
        return None if found is None or any(True for _ in object_structure.attributes(value)) else found

    def home_of(self, value: Any) -> Name | None:
        """Return the name of a constant of the program: an object that a class has as an attribute, or a module by a name in capitals.

        Its attributes are plain values: others would be set anew in the object that the program goes on using, by a trial restore too.
        """
        found = self._of_program(value)
        if found is None or not (_is_constant(found) or "." in found[1]):
            return None
        return found if all(type(one) in PLAIN for _, one in object_structure.attributes(value)) else None

    def constant_of(self, value: Any) -> Name | None:
        """Return the constant of the program that is this flat tuple or NaN, which the program may compare by `is`."""
        if self._values is None:
            self._values = {
                id(one): (one, (module.__name__, name))
                for module in program_modules()
                for name, one in list(vars(module).items())
                if name.isupper() and (type(one) is tuple or (type(one) in (float, complex) and one != one))
            }
        found = self._values.get(id(value))
        return None if found is None or (type(value) is tuple and not all(type(one) in PLAIN for one in value)) else found[1]

    def _of_program(self, value: Any) -> Name | None:
        if self._programs is None:
            self._programs = {id(one): (one, name) for module in program_modules() for one, name in _named_in(module)}
        found = self._programs.get(id(value))
        return found[1] if found is not None and object_structure.find_global(*found[1]) is value else None

    def _of_library(self, value: Any) -> Name | None:
        """Return the name that the module of an object's class has for it."""
        home = type(value).__module__
        if home not in self._libraries:
            module = sys.modules.get(home)
            self._libraries[home] = {id(one): name for name, one in list(vars(module).items())} if module is not None else {}
        name = self._libraries[home].get(id(value))
        return None if name is None or object_structure.find_global(home, name) is not value else (home, name)


def _named_in(module: types.ModuleType) -> Iterator[tuple[Any, Name]]:
    """Yield the objects of plain classes without contents that a module has, in its classes too, and their names.

    Of several names for one object the last that is yielded counts: a constant's, the first one.
    """
    found = []
    for name, one in list(vars(module).items()):
        if isinstance(one, type) and one.__module__ == module.__name__:
            found += [(inner, (module.__name__, f"{one.__qualname__}.{key}")) for key, inner in vars(one).items() if _may_be(inner)]
        elif _may_be(one):
            found.append((one, (module.__name__, name)))
    yield from sorted(reversed(found), key=lambda one: _is_constant(one[1]))


def _is_constant(name: Name) -> bool:
    return name[1].rpartition(".")[2].isupper()


def _may_be(value: Any) -> bool:
    return object_structure.c_base(type(value)) is object


def _of_bare(value: Any) -> Name | None:
    """Return the name that any module has for an `object()`. Names are looked for again when modules have been loaded."""
    if _seen[0] != len(sys.modules):
        _seen[0] = len(sys.modules)
        for module in list(sys.modules.values()):
            for name, one in list(vars(module).items()) if isinstance(module, types.ModuleType) else ():
                if type(one) is object:
                    _bare[id(one)] = one, (module.__name__, name)
    found = _bare.get(id(value))
    return found[1] if found is not None and object_structure.find_global(*found[1]) is value else None
