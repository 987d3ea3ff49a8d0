"""Small numbers for the objects behind handles, as C and Fortran have them: `toint`, `py2f` and their inverses.

A number means the same object for as long as that lives, in this process only.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Final

_next: Final = itertools.count(1)
_objects: Final[dict[int, tuple[weakref.ref[Any], type]]] = {}
"""Number -> the object, and the class of `perdure.MPI` that its handles have."""


def number_of(thing: Any, cls: type) -> int:
    """Return the number of an object, a new one at the first call."""
    for number, (reference, _) in list(_objects.items()):
        if reference() is thing:
            return number
    number = next(_next)
    _objects[number] = weakref.ref(thing, lambda _: _objects.pop(number, None)), cls
    return number


def thing_of(number: int, cls: type) -> Any:
    """Return the object of a number; None: there is none, or its handles are not of the class."""
    reference, found = _objects.get(number, (None, object))
    return reference() if reference is not None and issubclass(found, cls) else None
