"""The classes of a function that was sent by value, as a module that pickles can name.

1. `perdure.run(main)` pickles `main` by value, with the globals and classes that it uses: workers have not imported its module.
2. A worker unpickles it, and puts a `ModuleByValue` into `sys.modules` under the name of the function's module. So pickles, messages and
   restored objects find the classes there.
3. A result names those classes, so that the caller finds its own ones.

A module other than `__main__` may be imported by the program too. Names that did not come with the function are read from its file then.
"""

from __future__ import annotations

import functools
import gc
import importlib.machinery
import importlib.util
import inspect
import io
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle


class ModuleByValue(types.ModuleType):
    """A module whose namespace is the globals of a function that was sent by value."""

    def __init__(self, name: str, values: dict[str, Any], spec: importlib.machinery.ModuleSpec | None) -> None:
        super().__init__(name)
        self.__spec__ = spec
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_original", None)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return self._values  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        values = object.__getattribute__(self, "_values")
        if name in values:
            return values[name]
        if self.__spec__ is None or (name.startswith("__") and name != "__file__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__spec__.origin if name == "__file__" else getattr(self._loaded(), name)

    def _loaded(self) -> types.ModuleType:
        """Return the module as its file has it; it is in no other place."""
        if self._original is None:
            assert self.__spec__ is not None
            assert self.__spec__.loader is not None
            original = importlib.util.module_from_spec(self.__spec__)
            object.__setattr__(self, "_original", original)
            self.__spec__.loader.exec_module(original)
        return self._original  # type: ignore[no-any-return]


def place(function: Callable[..., Any]) -> None:
    """Make the classes that came with a function by value findable under the names of their modules, in this process.

    `__main__` is the caller's afterwards. A module that this process has imported stays as it is.
    """
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    home = getattr(inner, "__module__", None) or "__main__"
    values = getattr(inner, "__globals__", {})
    classes = [one for one in gc.get_objects() if isinstance(one, type)]
    for name in {"__main__", home}:
        if name != "__main__" and name in sys.modules:
            continue
        spec = None if name == "__main__" else _spec_of(name, str(values.get("__file__", "")))
        module = sys.modules[name] = ModuleByValue(name, values if name == home else {}, spec)
        for one in classes:
            if one.__module__ == name and "." not in one.__qualname__:
                vars(module).setdefault(one.__qualname__, one)


def _spec_of(name: str, file: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module as an import does, else in the file that the caller has it from; None: this host has neither."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a package that it is in is not found here
        spec = None
    return spec or (importlib.util.spec_from_file_location(name, file) if pathlib.Path(file).is_file() else None)


def dump(result: Any) -> bytes:
    """Pickle a result for the caller, which has the classes of its `__main__`, and has imported or can import the others."""
    file = io.BytesIO()
    _Pickler(file).dump(result)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Names the classes at the top of `__main__`, which cloudpickle would send by value."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            name: str = obj.__qualname__
            if obj.__module__ == "__main__" and getattr(sys.modules["__main__"], name, None) is obj:
                return name
        return super().reducer_override(obj)
