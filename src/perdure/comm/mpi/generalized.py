"""`MPI.Grequest`: requests that a program completes by itself (MPI 4.1, section 13.2)."""

from __future__ import annotations

from typing import Any

from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG
from perdure.comm.definitions.failures import ErrorClass, MPIException, reported
from perdure.comm.messaging.engine import MessageEngine
from perdure.comm.messaging.requests import Request
from perdure.comm.messaging.status import Status
from perdure.comm.mpi.communicator import COMM_WORLD


class Generalized:
    """Complete when the program says so."""

    persistent = False
    engine: MessageEngine | None = None

    def __init__(self, query_fn: Any, free_fn: Any, cancel_fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.active = True
        self.completed = False
        self.result: Any = None
        self._query, self._free, self._cancel = query_fn, free_fn, cancel_fn
        self._args, self._kwargs = args, kwargs

    def ready(self) -> bool:
        return self.completed

    def block(self) -> None:
        if not self.completed:
            raise MPIException(ErrorClass.PENDING, "this generalized request is not completed, so waiting for it would never end")

    def finish(self, status: Status | None) -> Any:
        self.peek(status if status is not None else Status())
        if self._free is not None:
            reported(lambda: self._free(*self._args, **self._kwargs))
        return self.result

    def peek(self, status: Status) -> None:
        status.fill(ANY_SOURCE, ANY_TAG, 0)
        if self._query is not None:
            reported(lambda: self._query(status, *self._args, **self._kwargs))

    def cancel(self) -> None:
        if self._cancel is not None:
            reported(lambda: self._cancel(self.completed, *self._args, **self._kwargs))


class Grequest(Request):
    """A generalized request, as mpi4py has it."""

    __module__ = "perdure.MPI"

    @classmethod
    def takes(cls, handle: Any) -> bool:
        return isinstance(handle, Request) and isinstance(handle.thing, Generalized | None)

    @classmethod
    def Start(
        cls, query_fn: Any = None, free_fn: Any = None, cancel_fn: Any = None, args: Any = None, kwargs: dict[str, Any] | None = None
    ) -> Any:
        """A request with the functions that tell its status, free it, and cancel it."""
        pending = Generalized(query_fn, free_fn, cancel_fn, tuple(args or ()), dict(kwargs or {}))
        world = COMM_WORLD.thing
        if world is None:  # of a thread that belongs to no rank
            return cls.of(pending)
        with world.engine.traffic.turns.lock:
            return cls.begun(world.engine, pending)

    def Complete(self) -> None:
        """It is complete."""
        self.complete()

    def complete(self, obj: Any = None) -> None:
        """It is complete, and `wait` gives this object."""
        pending = self.held()
        assert isinstance(pending, Generalized)
        pending.completed, pending.result = True, obj
