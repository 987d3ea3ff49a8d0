"""`MPI.Info`: words that a program hands on; and `MPI.Errhandler`, which says what becomes of errors."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from perdure.comm.definitions.constants import MAX_INFO_KEY, MAX_INFO_VAL
from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.definitions.handles import Handle

Items = Any
MAX_USER_HANDLERS: Final = 32
"""As mpi4py has it."""


class InfoItems(dict[str, str]):
    """The pairs of one info."""

    constant: Info | None = None


class Info(Handle[InfoItems]):
    """Pairs of keys and values, as mpi4py has them."""

    null_class = ErrorClass.INFO
    __module__ = "perdure.MPI"

    @classmethod
    def Create(cls, items: Items = None) -> Any:
        """A new one."""
        info = cls.of(InfoItems())
        if items is not None:
            info.update(items)
        return info

    @classmethod
    def Create_env(cls, args: Sequence[str] | None = None) -> Any:
        """What is known of how the program was started."""
        words = list(args) if args is not None else [sys.executable, *sys.argv]
        items = {"command": words[0] if words else "", "argv": " ".join(words[1:])}
        items |= {"arch": platform.machine(), "wdir": os.getcwd(), "host": platform.node()}
        return cls.Create({key: value for key, value in items.items() if value})

    def Dup(self) -> Any:
        """The same once more."""
        return type(self).of(InfoItems(self.held()))

    def Get(self, key: str) -> str | None:
        """The value; None: there is none."""
        return self.held().get(_key(key))

    def Set(self, key: str, value: str) -> None:
        """Sets a value."""
        if not value or len(value) > MAX_INFO_VAL:
            raise MPIException(ErrorClass.INFO_VALUE, f"a value has 1 to {MAX_INFO_VAL} characters")
        self.held()[_key(key)] = value

    def Delete(self, key: str) -> None:
        """Takes a pair out. `MPI.Exception`: there is none."""
        if self.held().pop(_key(key), None) is None:
            raise MPIException(ErrorClass.INFO_NOKEY, f"there is no key {key!r}")

    def Get_nkeys(self) -> int:
        """How many pairs there are."""
        return len(self.held())

    def Get_nthkey(self, n: int) -> str:
        """One of the keys."""
        keys = list(self.held())
        if not 0 <= n < len(keys):
            raise MPIException(ErrorClass.ARG, f"there is no key number {n}")
        return keys[n]

    # ---- as a dict ------------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return 0 if self.thing is None else len(self.thing)

    def __contains__(self, key: str) -> bool:
        return self.thing is not None and key in self.thing

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str) -> str:
        if self.thing is None or key not in self.thing:
            raise KeyError(key)
        return self.thing[key]

    def __setitem__(self, key: str, value: str) -> None:
        if self.thing is None:
            raise KeyError(key)
        self.Set(key, value)

    def __delitem__(self, key: str) -> None:
        if self.thing is None or key not in self.thing:
            raise KeyError(key)
        self.Delete(key)

    def __reduce__(self) -> Any:
        if self.constant or self.thing is None or self.thing.constant is not None:
            return super().__reduce__()
        return type(self).Create, (dict(self.thing),)

    def get(self, key: str, default: str | None = None) -> str | None:
        """The value, or the default."""
        return default if self.thing is None else self.thing.get(key, default)

    def keys(self) -> list[str]:
        """The keys."""
        return [] if self.thing is None else list(self.thing)

    def values(self) -> list[str]:
        """The values."""
        return [] if self.thing is None else list(self.thing.values())

    def items(self) -> list[tuple[str, str]]:
        """The pairs."""
        return [] if self.thing is None else list(self.thing.items())

    def update(self, items: Info | Mapping[str, str] | Iterable[tuple[str, str]] = (), **kwds: str) -> None:
        """Sets many."""
        if self.thing is None:
            raise KeyError("the info is null")
        pairs: Any = items.items() if isinstance(items, Info | Mapping) else items
        for key, value in [*pairs, *kwds.items()]:
            self.Set(key, value)

    def pop(self, key: str, *default: str) -> str:
        """Takes a pair out and gives its value."""
        if self.thing is None:
            return _default(key, default)
        return self.thing.pop(key) if key in self.thing else _default(key, default)

    def popitem(self) -> tuple[str, str]:
        """Takes a pair out and gives it."""
        if not self.thing:
            raise KeyError("the info is empty")
        return self.thing.popitem()

    def copy(self) -> Any:
        """`Dup`; of the null info a null one."""
        return type(self)() if self.thing is None else self.Dup()

    def clear(self) -> None:
        """Takes all pairs out."""
        if self.thing is not None:
            self.thing.clear()


def _key(key: str) -> str:
    if not key or len(key) > MAX_INFO_KEY:
        raise MPIException(ErrorClass.INFO_KEY, f"a key has 1 to {MAX_INFO_KEY} characters")
    return key


def _default(key: str, default: tuple[str, ...]) -> str:
    if not default:
        raise KeyError(key)
    return default[0]


class Handler:
    """A function `(object, error code)`, or None: the error is raised."""

    __slots__ = ("__weakref__", "constant", "function")

    def __init__(self, function: Any = None) -> None:
        self.function = function
        self.constant: Errhandler | None = None


class Errhandler(Handle[Handler]):
    """What becomes of an error. Here errors are raised always; handlers are called by `Call_errhandler` only."""

    null_class = ErrorClass.ERRHANDLER
    __module__ = "perdure.MPI"
    _created = 0

    @classmethod
    def create(cls, function: Any) -> Errhandler:
        """One of the program's own."""
        if Errhandler._created >= MAX_USER_HANDLERS:
            raise MPIException(ErrorClass.ERRHANDLER, f"cannot create more than {MAX_USER_HANDLERS} error handlers: free some")
        Errhandler._created += 1
        return cls.of(Handler(function))  # type: ignore[no-any-return]

    def Free(self) -> None:
        """Gives it up."""
        created = self.thing is not None and self.thing.function is not None
        super().Free()
        Errhandler._created -= created


def _handler(name: str) -> Errhandler:
    handler: Errhandler = Errhandler.of(Handler())
    handler.constant = name
    handler.held().constant = handler
    return handler


INFO_NULL: Info = Info()
INFO_NULL.constant = "INFO_NULL"
_ENV = InfoItems()
INFO_ENV: Info = Info.of(_ENV)
INFO_ENV.constant = "INFO_ENV"
_ENV.constant = INFO_ENV
ERRHANDLER_NULL: Errhandler = Errhandler()
ERRHANDLER_NULL.constant = "ERRHANDLER_NULL"
ERRORS_RETURN = _handler("ERRORS_RETURN")
ERRORS_ABORT = _handler("ERRORS_ABORT")
ERRORS_ARE_FATAL = _handler("ERRORS_ARE_FATAL")
