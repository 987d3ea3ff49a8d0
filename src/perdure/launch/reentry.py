"""The reset of a worker's process before it enters `main` again.

A survivor enters `main` in a process that has run it before; a replaced rank enters it in a fresh one. Both begin with the job's current
folder and with empty caches of the program's functions: a cache would return objects of the former generation. Everything else of the
process stays as `main` left it (docs/state.md lists it).
"""

from __future__ import annotations

import functools
import gc
import os

from perdure.adapters.modules import program_modules


class Reentry:
    """The beginning of each entry of `main` in one process."""

    def __init__(self) -> None:
        self._folder = -1

    def begin(self) -> None:
        """Note the current folder at the first call; at later ones go back to it, and clear the caches of the program's functions."""
        if self._folder < 0:
            self._folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            return
        os.fchdir(self._folder)
        clear_caches()


def clear_caches() -> None:
    """Clear each `functools.lru_cache` and `functools.cache` around a function or method of a module of the program's."""
    names = {module.__name__ for module in program_modules()}
    for one in gc.get_objects():
        if type(one) is functools._lru_cache_wrapper and getattr(getattr(one, "__wrapped__", None), "__module__", None) in names:
            one.cache_clear()
