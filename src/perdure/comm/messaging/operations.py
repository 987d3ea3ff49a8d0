"""The kinds of calls that may be under way: sends, receives, collectives, several at once, and persistent ones."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, PROC_NULL
from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.messaging.engine import MessageEngine
from perdure.comm.messaging.links import Send
from perdure.comm.messaging.matching import Receive
from perdure.comm.messaging.requests import Operation, Request
from perdure.comm.messaging.status import Status

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState
    from perdure.comm.messaging.engine import Part

Schedule = Generator["Part", None, Any]
"""A collective: it yields what it must wait for, and returns its result."""


class SendOperation:
    """A send. `to`: a rank of the job."""

    persistent = False

    def __init__(self, comm_state: CommState, part: Send, to: int, tag: int) -> None:
        self.engine: MessageEngine | None = comm_state.engine
        self.active = True
        self.comm_state, self.to, self.tag = comm_state, to, tag
        self._part, self._wait = part, comm_state.engine.wait

    def ready(self) -> bool:
        return self._part.done

    def block(self) -> None:
        self._wait(self._part)

    def finish(self, status: Status | None) -> None:
        if status is not None:
            self.peek(status)

    def peek(self, status: Status) -> None:
        status.fill(ANY_SOURCE, ANY_TAG, 0)

    def cancel(self) -> None:
        """It is under way and goes on."""


class ReceiveOperation:
    """A receive. `put`: takes the data to where it belongs; `load`: makes an object of it."""

    persistent = False

    def __init__(
        self,
        comm_state: CommState,
        part: Receive,
        put: Callable[[memoryview], None] | None = None,
        load: Callable[[memoryview], Any] | None = None,
    ) -> None:
        self.engine: MessageEngine | None = comm_state.engine
        self.active = True
        self.part, self._comm_state, self._put, self._load = part, comm_state, put, load

    def ready(self) -> bool:
        return self.part.done

    def block(self) -> None:
        assert self.engine is not None
        self.engine.wait(self.part)

    def finish(self, status: Status | None) -> Any:
        part = self.part
        if status is not None:
            self.peek(status)
        if part.error:
            raise MPIException(ErrorClass.TRUNCATE, part.error)
        if part.cancelled:
            return None
        assert part.data is not None
        if self._put is not None:
            self._put(part.data)
        return self._load(part.data) if self._load is not None and part.length else None

    def peek(self, status: Status) -> None:
        part = self.part
        source = part.from_rank if part.cancelled else self._comm_state.local(part.from_rank)
        status.fill(source, part.from_tag, part.length, cancelled=part.cancelled, error=ErrorClass.TRUNCATE if part.error else 0)

    def cancel(self) -> None:
        assert self.engine is not None
        self.engine.cancel(self.part)


class NullOperation:
    """To or from PROC_NULL, or another call that is complete at once: `what` it is."""

    persistent = False
    engine: MessageEngine | None = None

    def __init__(self, receives: bool, what: str = "") -> None:
        self.active = True
        self.what = what or ("receive from PROC_NULL" if receives else "send to PROC_NULL")
        self._receives = receives

    def ready(self) -> bool:
        return True

    def block(self) -> None:
        """It is complete."""

    def finish(self, status: Status | None) -> None:
        if status is not None:
            self.peek(status)

    def peek(self, status: Status) -> None:
        status.fill(PROC_NULL if self._receives else ANY_SOURCE, ANY_TAG, 0)

    def cancel(self) -> None:
        """Nothing to cancel."""


class SendReceiveOperation:
    """A send and a receive at the same time; the status is the receive's."""

    persistent = False

    def __init__(self, sending: Operation, receiving: Operation) -> None:
        self.engine = receiving.engine or sending.engine
        self.active = True
        self.sending, self.receiving = sending, receiving

    def ready(self) -> bool:
        return self.sending.ready() and self.receiving.ready()

    def block(self) -> None:
        self.sending.block()
        self.receiving.block()

    def finish(self, status: Status | None) -> Any:
        self.sending.finish(None)
        return self.receiving.finish(status)

    def peek(self, status: Status) -> None:
        self.receiving.peek(status)

    def cancel(self) -> None:
        self.receiving.cancel()


class CollectiveOperation:
    """A collective that goes on whenever bytes have moved."""

    persistent = False

    def __init__(self, comm_state: CommState, schedule: Schedule) -> None:
        self.engine: MessageEngine | None = comm_state.engine
        self.active = True
        self.comm_state = comm_state
        self._schedule = schedule
        self._needs: Part | None = None
        self._over = False
        self._result: Any = None
        self._error: BaseException | None = None
        if not self.advance():
            comm_state.engine.traffic.background.append(self.advance)

    def advance(self) -> bool:
        """Goes on as far as it can. True: it is over."""
        try:
            while not self._over and (self._needs is None or self._needs.done):
                self._needs = next(self._schedule)
        except StopIteration as end:
            self._over, self._result = True, end.value
        except BaseException as error:
            # It belongs to this request, and not to the call that happened to move the bytes.
            self._over, self._error = True, error
        return self._over

    def ready(self) -> bool:
        return self._over or self.advance()

    def block(self) -> None:
        assert self.engine is not None
        self.engine.traffic.wait_until(self.ready)

    def finish(self, status: Status | None) -> Any:
        if status is not None:
            self.peek(status)
        if self._error is not None:
            raise self._error
        return self._result

    def peek(self, status: Status) -> None:
        status.fill(ANY_SOURCE, ANY_TAG, 0)

    def cancel(self) -> None:
        raise MPIException(ErrorClass.REQUEST, "a collective cannot be cancelled")


def drive(engine: MessageEngine, schedule: Schedule) -> Any:
    """A blocking collective: waits for what it needs until it is over."""
    wait = engine.wait
    try:
        while True:
            part = next(schedule)
            if not part.done:
                wait(part)
    except StopIteration as end:
        return end.value


class PersistentOperation:
    """A persistent call: `start` makes it anew each time."""

    persistent = True

    def __init__(self, engine: MessageEngine, start: Callable[[], Operation]) -> None:
        self.engine: MessageEngine | None = engine
        self.active = False
        self._engine, self._start = engine, start
        self._now: Operation | None = None

    def start(self) -> None:
        """Begins it again."""
        if self.active:
            raise MPIException(ErrorClass.REQUEST, "this persistent request is active already: wait for it first")
        self._now = self._start()
        with self._engine.traffic.turns.lock:
            self.active = True
            self._engine.active.add(self)

    def current(self) -> Operation:
        """The call that it began last."""
        if self._now is None:
            raise MPIException(ErrorClass.REQUEST, "this persistent request was never started")
        return self._now

    def ready(self) -> bool:
        return self.current().ready()

    def block(self) -> None:
        self.current().block()

    def finish(self, status: Status | None) -> Any:
        return self.current().finish(status)

    def peek(self, status: Status) -> None:
        self.current().peek(status)

    def cancel(self) -> None:
        self.current().cancel()


class Prequest(Request):
    """A persistent request, as mpi4py has it."""

    __module__ = "perdure.MPI"

    @classmethod
    def takes(cls, handle: Any) -> bool:
        return isinstance(handle, Request) and isinstance(handle.thing, PersistentOperation | None)

    def Start(self) -> None:
        """Begins the call again."""
        pending = self.held()
        assert isinstance(pending, PersistentOperation)
        pending.start()

    @classmethod
    def Startall(cls, requests: list[Prequest]) -> None:
        """Begins several."""
        for request in requests:
            request.Start()
