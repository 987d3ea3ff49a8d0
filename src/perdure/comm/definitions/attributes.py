"""What programs attach to communicators and datatypes (MPI 4.1, section 7.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from perdure.comm.definitions.constants import KEYVAL_INVALID
from perdure.comm.definitions.failures import ErrorClass, MPIException, reported

FIRST_KEYVAL = 1000
"""Below are the predefined ones."""


@dataclass(slots=True)
class Attributes:
    """Of one object."""

    values: dict[int, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Keyvals:
    """The keys of one kind of object, with what is called when it is duplicated or freed.

    Copy functions: None, the attribute is not copied; True, it is, as it is; a function `(object, keyval, value) -> value`, or
    `NotImplemented` when it is not to be copied.
    """

    functions: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    predefined: dict[int, Callable[[], Any]] = field(default_factory=dict)
    last: int = FIRST_KEYVAL

    def create(self, copy_fn: Any, delete_fn: Any, nopython: bool) -> int:
        """A new key."""
        for function in (copy_fn, delete_fn):
            if function is not None and not isinstance(function, bool) and not callable(function):
                raise TypeError("the functions of a key are callables, True, False or None")
        self.last += 1
        self.functions[self.last] = copy_fn, delete_fn
        return self.last

    def free(self, keyval: int) -> int:
        """Gives a key back."""
        self._known(keyval)
        del self.functions[keyval]
        return KEYVAL_INVALID

    def get(self, attributes: Attributes, keyval: int) -> Any:
        """The value; None: there is none."""
        if keyval in self.predefined:
            return self.predefined[keyval]()
        if keyval not in self.functions and keyval not in attributes.values:
            self._known(keyval)
        return attributes.values.get(keyval)

    def set(self, of: Any, attributes: Attributes, keyval: int, value: Any) -> None:
        """Attaches a value; one that was there is deleted first."""
        self._known(keyval)
        if keyval in attributes.values:
            self.delete(of, attributes, keyval)
        attributes.values[keyval] = value

    def delete(self, of: Any, attributes: Attributes, keyval: int) -> None:
        """Takes it off, after its function was called."""
        self._known(keyval)
        if keyval not in attributes.values:
            raise MPIException(ErrorClass.KEYVAL, f"nothing is attached under {keyval}")
        _, delete_fn = self.functions[keyval]
        value = attributes.values.pop(keyval)
        if callable(delete_fn):
            reported(lambda: delete_fn(of, keyval, value))

    def delete_all(self, of: Any, attributes: Attributes) -> None:
        """At the object's end."""
        for keyval in list(attributes.values):
            value = attributes.values.pop(keyval)
            _, delete_fn = self.functions.get(keyval, (None, None))
            if callable(delete_fn):
                delete_fn(of, keyval, value)

    def copy(self, of: Any, old: Attributes, new: Attributes) -> None:
        """At a duplication."""
        for keyval, value in old.values.items():
            copy_fn, _ = self.functions.get(keyval, (None, None))
            copied = reported(partial(copy_fn, of, keyval, value)) if callable(copy_fn) else value if copy_fn else NotImplemented
            if copied is not NotImplemented:
                new.values[keyval] = copied

    def _known(self, keyval: int) -> None:
        if keyval not in self.functions:
            raise MPIException(ErrorClass.KEYVAL, f"the key {keyval} does not exist or is predefined")


class Attributed:
    """The calls of an object that programs attach things to."""

    if TYPE_CHECKING:
        keyvals: ClassVar[Keyvals]

        def held(self) -> Any: ...

    def Get_attr(self, keyval: int) -> Any:
        """What the program attached; None: nothing."""
        return self.keyvals.get(self.held().attributes, keyval)

    def Set_attr(self, keyval: int, attrval: Any) -> None:
        """Attaches something."""
        self.keyvals.set(self, self.held().attributes, keyval, attrval)

    def Delete_attr(self, keyval: int) -> None:
        """Takes it off."""
        self.keyvals.delete(self, self.held().attributes, keyval)

    @classmethod
    def Create_keyval(cls, copy_fn: Any = None, delete_fn: Any = None, nopython: bool = False) -> int:
        """A key for attributes."""
        return cls.keyvals.create(copy_fn, delete_fn, nopython)

    @classmethod
    def Free_keyval(cls, keyval: int) -> int:
        """Gives a key back."""
        return cls.keyvals.free(keyval)
