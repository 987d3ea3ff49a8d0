"""Messages that are looked at before they are received (MPI 4.1, section 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from perdure.comm.datatypes.pickles import PICKLED, PickleCodec
from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, PROC_NULL
from perdure.comm.definitions.failures import ErrorClass
from perdure.comm.definitions.handles import Handle
from perdure.comm.messaging.matching import Arrival, Receive
from perdure.comm.messaging.operations import NullOperation, ReceiveOperation
from perdure.comm.messaging.point_to_point import incoming
from perdure.comm.messaging.requests import Request
from perdure.comm.messaging.status import Status

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


class Matched:
    """A message that was taken out of the mailbox; `arrival` None: from PROC_NULL. `active`: it is to be received."""

    __slots__ = ("__weakref__", "active", "arrival", "comm_state", "constant")

    def __init__(self, comm_state: CommState | None, arrival: Arrival | None) -> None:
        self.comm_state, self.arrival, self.active = comm_state, arrival, True
        self.constant: Message | None = None


class Message(Handle[Matched]):
    """A matched message, as mpi4py has it: it is received by this and by nothing else."""

    null_class = ErrorClass.REQUEST
    _codec: ClassVar[PickleCodec] = PICKLED
    __module__ = "perdure.MPI"

    @classmethod
    def Probe(cls, comm: Probes, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """`comm.Mprobe`."""
        return _typed(cls, comm.Mprobe(source, tag, status))

    @classmethod
    def Iprobe(cls, comm: Probes, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """`comm.Improbe`."""
        found = comm.Improbe(source, tag, status)
        return None if found is None else _typed(cls, found)

    probe, iprobe = Probe, Iprobe

    def Recv(self, buf: Any, status: Status | None = None) -> None:
        """Receives it."""
        self.Irecv(buf).Wait(status)

    def Irecv(self, buf: Any) -> Request:
        """Starts to receive it."""
        matched = self._taken()
        if matched.arrival is None:
            return Request.of(NullOperation(receives=True))  # type: ignore[no-any-return]
        room, target = incoming(buf)
        return self._receive(matched, room, target.put if target else None)

    def recv(self, status: Status | None = None) -> Any:
        """Receives it as an object."""
        return self.irecv().wait(status)

    def irecv(self) -> Request:
        """Starts to receive it as an object."""
        matched = self._taken()
        if matched.arrival is None:
            return Request.of(NullOperation(receives=True))  # type: ignore[no-any-return]
        return self._receive(matched, None, None, self._codec.load)

    def _taken(self) -> Matched:
        matched = self.held()
        if not self.constant:
            self.thing, matched.active = None, False
        return matched

    def _receive(self, matched: Matched, room: memoryview | None, put: Any, load: Callable[[Any], Any] | None = None) -> Request:
        m, arrival = matched.comm_state, matched.arrival
        assert m is not None
        assert arrival is not None
        with m.inside("comm.Mrecv"):
            wanted = Receive(arrival.context, arrival.source, arrival.tag, room)
            m.engine.fulfil(wanted, arrival)
            return Request.begun(m.engine, ReceiveOperation(m, wanted, put, load))


class Probes:
    """A part of `Comm`. `_message_class`: of what is matched."""

    _message_class: ClassVar[type[Message]] = Message

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def Probe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Blocks until a message is here that a receive would take; leaves it."""
        m = self.held()
        with m.inside("comm.Probe"):
            if source != PROC_NULL:
                wanted = m.source(source, tag)
                m.engine.traffic.wait_until(lambda: m.engine.mailbox.find(m.context, wanted, tag) is not None)
                found = m.engine.mailbox.find(m.context, wanted, tag)
                assert found is not None
                _tell(m, m.engine.is_receivable(found), status)
            else:
                _tell(m, None, status)
        return True

    def Iprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> bool:
        """Is a message here that a receive would take?"""
        m = self.held()
        with m.inside("comm.Iprobe"):
            if source == PROC_NULL:
                _tell(m, None, status)
                return True
            wanted = m.source(source, tag)
            m.engine.traffic.progress()
            arrival = m.engine.mailbox.find(m.context, wanted, tag)
            if arrival is not None:
                _tell(m, m.engine.is_receivable(arrival), status)
            return arrival is not None

    def Mprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message:
        """Blocks until a message is here, and takes it."""
        m = self.held()
        with m.inside("comm.Mprobe"):
            self.Probe(source, tag)
            return self._take(m, source, tag, status)

    def Improbe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message | None:
        """Takes a message if one is here."""
        m = self.held()
        with m.inside("comm.Improbe"):
            return self._take(m, source, tag, status) if self.Iprobe(source, tag) else None

    probe, iprobe, mprobe, improbe = Probe, Iprobe, Mprobe, Improbe

    def _take(self, m: CommState, source: int, tag: int, status: Status | None) -> Message:
        if source == PROC_NULL:
            _tell(m, None, status)
            return self._message_class(MESSAGE_NO_PROC)  # type: ignore[no-any-return]
        matched = Matched(m, m.engine.mailbox.take(m.context, m.source(source, tag), tag))
        m.engine.active.add(matched)
        _tell(m, matched.arrival, status)
        return self._message_class.of(matched)  # type: ignore[no-any-return]


def _tell(m: CommState, arrival: Arrival | None, status: Status | None) -> None:
    if status is None:
        return
    if arrival is None:
        status.fill(PROC_NULL, ANY_TAG, 0)
    else:
        status.fill(m.local(arrival.source), arrival.tag, arrival.length)


def _typed(cls: type[Message], message: Message) -> Message:
    return message if type(message) is cls else cls.of(message.held())


MESSAGE_NULL: Message = Message()
MESSAGE_NULL.constant = "MESSAGE_NULL"
MESSAGE_NO_PROC: Message = Message.of(Matched(None, None))
MESSAGE_NO_PROC.constant = "MESSAGE_NO_PROC"
MESSAGE_NO_PROC.held().constant = MESSAGE_NO_PROC
