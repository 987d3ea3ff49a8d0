"""What all of mpi4py's objects have in common: they are handles, of which several may mean the same thing, or nothing."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar, Final, Generic, TypeVar

from perdure.comm.definitions import integers
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException

Thing = TypeVar("Thing")
_by_number: Final[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()


class Handle(Generic[Thing]):
    """Holds `thing`, or None when it is the null handle. Two handles are equal when they hold the same."""

    thing: Thing | None
    null_class: ClassVar[ErrorClass] = ErrorClass.ARG
    constant: str = ""
    """The name in `perdure.MPI`, of a handle that is a constant there."""

    def __new__(cls, handle: Any = None) -> Any:
        """A second handle of the same thing; without an argument the null handle."""
        self = super().__new__(cls)
        self.thing = None
        if handle is not None:
            if not cls.takes(handle):
                raise TypeError(f"{type(handle).__name__} is not a {cls.__name__}")
            self.thing = handle.thing
        return self

    @classmethod
    def base(cls) -> type[Any]:
        """The class whose handles may be taken over: the one of `perdure.MPI` that a program's class comes from."""
        return next(one for one in cls.__mro__ if one.__module__ == "perdure.MPI")

    @classmethod
    def takes(cls, handle: Any) -> bool:
        """May this handle be taken over?"""
        return isinstance(handle, cls.base())

    @classmethod
    def of(cls, thing: Thing) -> Any:
        """The handle of a thing."""
        self = cls()
        self.thing = thing
        return self

    def held(self) -> Thing:
        """The thing. `MPI.Exception`: this is the null handle, or was freed."""
        if self.thing is None:
            raise MPIException(self.null_class, f"this {type(self).__name__} is null, or was freed")
        return self.thing

    def __bool__(self) -> bool:
        return self.thing is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Handle):
            return NotImplemented
        return self.thing is other.thing and (isinstance(other, type(self)) or isinstance(self, type(other)))

    def __hash__(self) -> int:
        raise TypeError(f"unhashable type: {type(self).__name__}")

    def __reduce__(self) -> Any:
        if self.constant:
            return self.constant
        if self.thing is None:
            return type(self), ()
        if named := getattr(self.thing, "constant", None):
            return type(self), (named,)
        raise ValueException(self.null_class, f"a {type(self).__name__} cannot be pickled")

    @property
    def handle(self) -> int:
        """A number for it in this process."""
        thing = self.thing
        if thing is None:
            return 0
        _by_number[id(thing)] = thing
        return id(thing)

    @classmethod
    def fromhandle(cls, handle: int) -> Any:
        """The object of a number that `handle` gave."""
        return cls() if handle == 0 else cls.of(_by_number[handle])

    def toint(self) -> int:
        """Return a small number for it in this process; 0 for the null handle."""
        return 0 if self.thing is None else integers.number_of(self.thing, type(self).base())

    @classmethod
    def fromint(cls, arg: int) -> Any:
        """Return a handle of the object that `toint` gave the number to. `MPI.Exception`: there is none, or it is of another class."""
        if arg == 0:
            return cls()
        base = cls.base()
        thing = integers.thing_of(arg, base)
        if thing is None:
            raise MPIException(cls.null_class, f"this process has no {base.__name__} with the number {arg}")
        return cls.of(thing)

    def py2f(self) -> int:
        """Return the number of `toint`: there is no Fortran that could use it."""
        return self.toint()

    @classmethod
    def f2py(cls, arg: int) -> Any:
        """Return the same as `fromint`."""
        return cls.fromint(arg)

    def Free(self) -> None:
        """Gives it up; this handle is null afterwards. Constants stay."""
        self.held()
        if self.constant:
            raise MPIException(self.null_class, f"{self.constant} is a constant and cannot be freed")
        self.thing = None

    def free(self) -> None:
        """`Free`, unless it is null or a constant."""
        if self.thing is not None and not self.constant:
            self.Free()
