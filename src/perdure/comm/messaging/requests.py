"""`MPI.Request`: a call under way. Waiting moves the bytes of all calls, and is woken by a revoke like any blocked call."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, UNDEFINED
from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.definitions.handles import Handle
from perdure.comm.messaging.status import Status

if TYPE_CHECKING:
    from perdure.comm.messaging.engine import MessageEngine


class Operation(Protocol):
    """A call under way.

    Attributes:
        engine: that moves its bytes; None: nothing of it does.
        active: there is something to wait for. A persistent request is inactive until it is started.
        persistent: it stays after it has completed.
    """

    engine: MessageEngine | None
    active: bool
    persistent: bool

    def ready(self) -> bool:
        """Is it complete? Does not move bytes."""

    def block(self) -> None:
        """Returns when it is complete."""

    def finish(self, status: Status | None) -> Any:
        """Once it is complete: tells the status, and gives the object of a lower-case call. Raises what went wrong."""

    def peek(self, status: Status) -> None:
        """Tells the status of one that is complete, and leaves it so."""

    def cancel(self) -> None:
        """Tries to."""


class Request(Handle[Operation]):
    """A request, as mpi4py has it."""

    null_class = ErrorClass.REQUEST
    __module__ = "perdure.MPI"

    @classmethod
    def begun(cls, engine: MessageEngine, pending: Operation) -> Self:
        """Return the request of a call that begins now. The calling thread has its turn."""
        engine.active.add(pending)
        self = object.__new__(cls)  # as `of`, in a third of the time
        self.thing = pending
        return self

    def _is_active(self) -> bool:
        return self.thing is not None and self.thing.active

    def _complete(self, status: Status | None) -> Any:
        pending = self.held()
        try:
            return pending.finish(status)
        finally:
            pending.active = False
            if not pending.persistent:
                self.thing = None

    # ---- one ----------------------------------------------------------------------------------------------------------------

    def wait(self, status: Status | None = None) -> Any:
        """Blocks until it is complete; gives the object of a lower-case call."""
        if not self._is_active():
            _empty(status)
            return None
        pending = self.held()
        with _inside(pending.engine, "comm.wait"):
            pending.block()
        return self._complete(status)

    def Wait(self, status: Status | None = None) -> bool:
        """Blocks until it is complete."""
        Request.wait(self, status)
        return True

    def test(self, status: Status | None = None) -> tuple[bool, Any]:
        """(complete?, object or None), without blocking."""
        if not self._is_active():
            _empty(status)
            return True, None
        pending = self.held()
        with _inside(pending.engine, "comm.test"):
            is_ready = _ready(pending)
        return (True, self._complete(status)) if is_ready else (False, None)

    def Test(self, status: Status | None = None) -> bool:
        """Is it complete? Does not block."""
        return Request.test(self, status)[0]

    def Get_status(self, status: Status | None = None) -> bool:
        """Is it complete? Unlike `Test`, leaves it as it is."""
        if not self._is_active():
            _empty(status)
            return True
        pending = self.held()
        if not _ready(pending):
            return False
        if status is not None:
            pending.peek(status)
        return True

    get_status = Get_status

    def Cancel(self) -> None:
        """A receive that nothing has matched ends cancelled; a send goes on."""
        pending = self.held()
        with _inside(pending.engine, "comm.Cancel"):
            pending.cancel()

    def cancel(self) -> None:
        """`Cancel`."""
        self.Cancel()

    def Free(self) -> None:
        """Gives it up; what is under way ends by itself, and must so before the next commit."""
        self.held().active = False
        self.thing = None

    # ---- several --------------------------------------------------------------------------------------------------------------

    @classmethod
    def waitany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, Any]:
        """Blocks until one is complete: (its index, its object); (UNDEFINED, None) when none is active."""
        active = [(index, request) for index, request in enumerate(requests) if request._is_active()]
        if not active:
            _empty(status)
            return UNDEFINED, None
        engine = next((request.held().engine for _, request in active if request.held().engine is not None), None)
        with _inside(engine, "comm.Waitany"):
            if engine is not None:
                engine.traffic.wait_until(lambda: any(request.held().ready() for _, request in active))
            first = next(((index, request) for index, request in active if request.held().ready()), None)
        if first is not None:
            return first[0], first[1]._complete(status)
        raise MPIException(ErrorClass.PENDING, "none of these requests can complete, because none is active")

    @classmethod
    def Waitany(cls, requests: Sequence[Request], status: Status | None = None) -> int:
        """Blocks until one is complete; its index."""
        return Request.waitany(requests, status)[0]

    @classmethod
    def testany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, bool, Any]:
        """(index, is one complete?, its object)."""
        active = [(index, request) for index, request in enumerate(requests) if request._is_active()]
        if not active:
            _empty(status)
            return UNDEFINED, True, None
        for index, request in active:
            if _ready(request.held()):
                return index, True, request._complete(status)
        return UNDEFINED, False, None

    @classmethod
    def Testany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, bool]:
        """(index, is one complete?)."""
        return Request.testany(requests, status)[:2]

    @classmethod
    def Get_status_any(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, bool]:
        """`Testany` that leaves the requests as they are."""
        active = [(index, request) for index, request in enumerate(requests) if request._is_active()]
        if not active:
            _empty(status)
            return UNDEFINED, True
        return next(((index, True) for index, request in active if Request.Get_status(request, status)), (UNDEFINED, False))

    get_status_any = Get_status_any

    @classmethod
    def waitall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[Any]:
        """Blocks until all are complete; their objects."""
        given = _statuses(statuses, len(requests))
        results = [Request.wait(request, status) for request, status in zip(requests, given, strict=True)]
        _give_back(statuses, given)
        return results

    @classmethod
    def Waitall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> bool:
        """Blocks until all are complete."""
        Request.waitall(requests, statuses)
        return True

    @classmethod
    def testall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> tuple[bool, list[Any] | None]:
        """(are all complete?, their objects)."""
        if not all(_ready(request.held()) for request in requests if request._is_active()):
            return False, None
        return True, Request.waitall(requests, statuses)

    @classmethod
    def Testall(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> bool:
        """Are all complete?"""
        return Request.testall(requests, statuses)[0]

    @classmethod
    def Get_status_all(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> bool:
        """`Testall` that leaves the requests as they are."""
        given = _statuses(statuses, len(requests))
        if not all(_ready(request.held()) for request in requests if request._is_active()):
            return False
        for request, status in zip(requests, given, strict=True):
            Request.Get_status(request, status)
        _give_back(statuses, given)
        return True

    get_status_all = Get_status_all

    @classmethod
    def waitsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> tuple[list[int] | None, list[Any] | None]:
        """Blocks until some are complete: (their indices, their objects); (None, None) when none is active."""
        if not any(request._is_active() for request in requests):
            return None, None
        found: list[Status] = [Status()]
        first, result = Request.waitany(requests, found[0])
        indices, results = [first], [result]
        for index, request in enumerate(requests):
            if request._is_active() and _ready(request.held()):
                found.append(Status())
                indices.append(index)
                results.append(request._complete(found[-1]))
        order = sorted(range(len(indices)), key=lambda at: indices[at])
        _fill(statuses, [found[at] for at in order])
        return [indices[at] for at in order], [results[at] for at in order]

    @classmethod
    def Waitsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[int] | None:
        """Blocks until some are complete; their indices."""
        return Request.waitsome(requests, statuses)[0]

    @classmethod
    def testsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> tuple[list[int] | None, list[Any] | None]:
        """`waitsome` that does not block: empty lists when none is complete."""
        active = [request for request in requests if request._is_active()]
        if not active:
            return None, None
        if not any(_ready(request.held()) for request in active):
            return [], []
        return Request.waitsome(requests, statuses)

    @classmethod
    def Testsome(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[int] | None:
        """The indices of those that are complete."""
        return Request.testsome(requests, statuses)[0]

    @classmethod
    def Get_status_some(cls, requests: Sequence[Request], statuses: list[Status] | None = None) -> list[int] | None:
        """`Testsome` that leaves the requests as they are."""
        if not any(request._is_active() for request in requests):
            return None
        found = [(index, Status()) for index, request in enumerate(requests) if request._is_active()]
        done = [(index, status) for index, status in found if Request.Get_status(requests[index], status)]
        _fill(statuses, [status for _, status in done])
        return [index for index, _ in done]

    get_status_some = Get_status_some


def _inside(engine: MessageEngine | None, call: str) -> Any:
    return engine.inside(call) if engine is not None else contextlib.nullcontext()


def _ready(pending: Operation) -> bool:
    """After one look for what has arrived."""
    if pending.engine is None:
        return pending.ready()
    traffic = pending.engine.traffic
    with traffic.turns.lock:
        if not pending.ready():
            traffic.progress()
        return pending.ready()


def _empty(status: Status | None) -> None:
    if status is not None:
        status.fill(ANY_SOURCE, ANY_TAG, 0)


def _statuses(statuses: list[Status] | None, count: int) -> Sequence[Status | None]:
    """One for each request: those that were given, and fresh ones."""
    if statuses is None:
        return [None] * count
    return [*statuses[:count], *(Status() for _ in range(count - len(statuses)))]


def _give_back(statuses: list[Status] | None, filled: Sequence[Status | None]) -> None:
    if isinstance(statuses, list):
        statuses[:] = [*(status for status in filled if status is not None), *statuses[len(filled) :]]


def _fill(statuses: list[Status] | None, found: list[Status]) -> None:
    if statuses is None:
        return
    for given, status in zip(statuses, found, strict=False):
        given._fields[:] = status._fields
    if isinstance(statuses, list):
        statuses += found[len(statuses) :]


REQUEST_NULL: Request = Request()
REQUEST_NULL.constant = "REQUEST_NULL"
