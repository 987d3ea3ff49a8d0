"""Messages from rank to rank, upper case for buffers and lower case for objects (MPI 4.1, chapter 3)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perdure.comm.datatypes.buffers import TypedBuffer, block
from perdure.comm.datatypes.pickles import PICKLED, PickleCodec
from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, PROC_NULL
from perdure.comm.messaging.links import GONE, Send
from perdure.comm.messaging.operations import (
    NullOperation,
    PersistentOperation,
    Prequest,
    ReceiveOperation,
    SendOperation,
    SendReceiveOperation,
)
from perdure.comm.messaging.requests import Operation, Request
from perdure.comm.messaging.status import Status

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState
    from perdure.comm.messaging.matching import Receive

_SIMPLE = frozenset("?bBhHiIlLqQfd")
"""Formats of memory in this machine's order whose bytes can be had in one step."""


def outgoing(buf: Any, dest: int) -> memoryview:
    """The bytes of a send buffer."""
    if type(buf) is np.ndarray and buf.dtype.char in _SIMPLE:
        view = buf.data
        if view.format in _SIMPLE and view.c_contiguous and view.nbytes:
            return view.cast("B")
    return memoryview(b"") if dest == PROC_NULL else block(buf, writable=False).out()


def incoming(buf: Any) -> tuple[memoryview, TypedBuffer | None]:
    """Where to receive; and the block that must `put` it, if that is not its place."""
    if type(buf) is np.ndarray and buf.dtype.char in _SIMPLE:
        view = buf.data
        if view.format in _SIMPLE and view.c_contiguous and view.nbytes and not view.readonly:
            return view.cast("B"), None
    target = block(buf, writable=True)
    return target.room(), None if target.dense else target


class PointToPoint:
    """A part of `Comm`. `_codec` is for lower-case calls; `_request_class` is what they return."""

    _codec: ClassVar[PickleCodec] = PICKLED
    _request_class: ClassVar[type[Request]] = Request

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def _send(self, m: CommState, data: memoryview, dest: int, tag: int, synchronous: bool = False) -> Send | None:
        rank = m.destination(dest, tag)
        return None if rank < 0 else m.engine.send(rank, m.context, tag, data, synchronous)

    def _receive(self, m: CommState, room: memoryview | None, source: int, tag: int) -> Receive:
        return m.engine.receive(m.source(source, tag), m.context, tag, room)

    def _sending(self, m: CommState, data: memoryview, dest: int, tag: int, synchronous: bool = False) -> Operation:
        rank = m.destination(dest, tag)
        if rank < 0:
            return NullOperation(receives=False)
        return SendOperation(m, m.engine.send(rank, m.context, tag, data, synchronous), rank, tag)

    def _sending_copy(self, m: CommState, data: memoryview, dest: int, tag: int) -> Operation:
        """A send that is complete at once. `data` is nobody else's."""
        rank = m.destination(dest, tag)
        if rank < 0:
            return NullOperation(receives=False)
        m.engine.send(rank, m.context, tag, data)
        return SendOperation(m, GONE, rank, tag)

    def _receiving(self, m: CommState, buf: Any, source: int, tag: int) -> Operation:
        if source == PROC_NULL:
            return NullOperation(receives=True)
        room, target = incoming(buf)
        return ReceiveOperation(m, self._receive(m, room, source, tag), target.put if target else None)

    # ---- buffers: blocking --------------------------------------------------------------------------------------------------

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Sends; returns when the buffer may be changed."""
        m = self.held()
        with m.engine.inside("comm.Send"):
            part = self._send(m, outgoing(buf, dest), dest, tag)
            if part is not None and not part.done:
                m.engine.wait(part)

    def Recv(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> None:
        """Receives; blocks until the message is here."""
        m = self.held()
        with m.engine.inside("comm.Recv"):
            if source == PROC_NULL:
                return NullOperation(receives=True).finish(status)
            room, target = incoming(buf)
            part = m.engine.receive(m.source(source, tag), m.context, tag, room)
            if not part.done:
                m.engine.wait(part)
            if status is not None or target is not None or part.error:
                ReceiveOperation(m, part, target.put if target else None).finish(status)

    def Sendrecv(
        self, sendbuf: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE, recvtag: int = ANY_TAG,
        status: Status | None = None,
    ) -> None:  # fmt: skip
        """Sends and receives at the same time."""
        m = self.held()
        with m.inside("comm.Sendrecv"):
            data = outgoing(sendbuf, dest)
            m.destination(dest, sendtag)
            pending = self._receiving(m, recvbuf, source, recvtag)
            part = self._send(m, data, dest, sendtag)
            pending.block()
            pending.finish(status)
            if part is not None and not part.done:
                m.engine.wait(part)

    def Sendrecv_replace(
        self, buf: Any, dest: int, sendtag: int = 0, source: int = ANY_SOURCE, recvtag: int = ANY_TAG, status: Status | None = None
    ) -> None:
        """Sends a buffer and receives into it."""
        self.Isendrecv_replace(buf, dest, sendtag, source, recvtag).Wait(status)

    def Ssend(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Sends; returns when the receiver has begun to receive."""
        self.Issend(buf, dest, tag).Wait()

    def Bsend(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Sends a copy; returns at once."""
        self.Ibsend(buf, dest, tag).Wait()

    def Rsend(self, buf: Any, dest: int, tag: int = 0) -> None:
        """`Send`, when the receive is known to be posted."""
        self.Send(buf, dest, tag)

    # ---- buffers: non-blocking ------------------------------------------------------------------------------------------------

    def Isend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Starts to send a buffer, which must not change until the request is complete."""
        m = self.held()
        with m.inside("comm.Isend"):
            return Request.begun(m.engine, self._sending(m, outgoing(buf, dest), dest, tag))

    def Issend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """`Isend` that is complete when the receiver has begun to receive."""
        m = self.held()
        with m.inside("comm.Issend"):
            return Request.begun(m.engine, self._sending(m, outgoing(buf, dest), dest, tag, synchronous=True))

    def Ibsend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """`Isend` of a copy: complete at once. The copy needs no attached buffer."""
        m = self.held()
        with m.inside("comm.Ibsend"):
            return Request.begun(m.engine, self._sending_copy(m, memoryview(bytes(outgoing(buf, dest))), dest, tag))

    def Irsend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """`Isend`, when the receive is known to be posted."""
        return self.Isend(buf, dest, tag)

    def Irecv(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """Starts to receive into a buffer."""
        m = self.held()
        with m.inside("comm.Irecv"):
            return Request.begun(m.engine, self._receiving(m, buf, source, tag))

    def Isendrecv(
        self, sendbuf: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE, recvtag: int = ANY_TAG
    ) -> Request:
        """Starts both."""
        m = self.held()
        with m.inside("comm.Isendrecv"):
            data = outgoing(sendbuf, dest)
            receiving = self._receiving(m, recvbuf, source, recvtag)
            return Request.begun(m.engine, SendReceiveOperation(self._sending(m, data, dest, sendtag), receiving))

    def Isendrecv_replace(self, buf: Any, dest: int, sendtag: int = 0, source: int = ANY_SOURCE, recvtag: int = ANY_TAG) -> Request:
        """Starts both, of one buffer."""
        m = self.held()
        with m.inside("comm.Isendrecv_replace"):
            nothing = dest == PROC_NULL and source == PROC_NULL
            data = memoryview(b"") if nothing else memoryview(bytes(block(buf, writable=True).out()))
            receiving = self._receiving(m, buf, source, recvtag)
            return Request.begun(m.engine, SendReceiveOperation(self._sending(m, data, dest, sendtag), receiving))

    # ---- buffers: persistent --------------------------------------------------------------------------------------------------

    def Send_init(self, buf: Any, dest: int, tag: int = 0) -> Prequest:
        """A send that `Start` begins, as often as wanted."""
        return self._persistent_send(buf, dest, tag)

    def Ssend_init(self, buf: Any, dest: int, tag: int = 0) -> Prequest:
        """A synchronous one."""
        return self._persistent_send(buf, dest, tag, synchronous=True)

    def Rsend_init(self, buf: Any, dest: int, tag: int = 0) -> Prequest:
        """One for receives that are known to be posted."""
        return self._persistent_send(buf, dest, tag)

    def Bsend_init(self, buf: Any, dest: int, tag: int = 0) -> Prequest:
        """One that sends copies."""
        m = self.held()
        outgoing(buf, dest)
        m.destination(dest, tag)
        return _persistent(m, "comm.Bsend", lambda: self._sending_copy(m, memoryview(bytes(outgoing(buf, dest))), dest, tag))

    def _persistent_send(self, buf: Any, dest: int, tag: int, synchronous: bool = False) -> Prequest:
        m = self.held()
        outgoing(buf, dest)
        m.destination(dest, tag)
        return _persistent(m, "comm.Start", lambda: self._sending(m, outgoing(buf, dest), dest, tag, synchronous))

    def Recv_init(self, buf: Any, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Prequest:
        """A receive that `Start` begins, as often as wanted."""
        m = self.held()
        if source != PROC_NULL:
            incoming(buf)
            m.source(source, tag)
        return _persistent(m, "comm.Start", lambda: self._receiving(m, buf, source, tag))

    # ---- objects ----------------------------------------------------------------------------------------------------------------

    def send(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Sends an object, pickled."""
        m = self.held()
        data = self._pickled(obj, dest)
        with m.inside("comm.send"):
            part = self._send(m, data, dest, tag)
            if part is not None and not part.done:
                m.engine.wait(part)

    def ssend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Sends an object; returns when the receiver has begun to receive."""
        self.issend(obj, dest, tag).wait()

    def bsend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Sends an object; returns at once."""
        self.ibsend(obj, dest, tag).wait()

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Starts to send an object, pickled now."""
        m = self.held()
        data = self._pickled(obj, dest)
        with m.inside("comm.isend"):
            return self._request_class.begun(m.engine, self._sending(m, data, dest, tag))

    def issend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """`isend` that is complete when the receiver has begun to receive."""
        m = self.held()
        data = self._pickled(obj, dest)
        with m.inside("comm.issend"):
            return self._request_class.begun(m.engine, self._sending(m, data, dest, tag, synchronous=True))

    def ibsend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """`isend` that is complete at once."""
        m = self.held()
        data = self._pickled(obj, dest)
        with m.inside("comm.ibsend"):
            return self._request_class.begun(m.engine, self._sending_copy(m, data, dest, tag))

    def recv(self, buf: Any = None, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Any:
        """Receives an object. `buf` is there for mpi4py's sake: memory is found as needed."""
        m = self.held()
        if buf is not None:
            warnings.warn("the 'buf' argument is ignored: perdure allocates memory as needed", UserWarning, stacklevel=2)
        with m.inside("comm.recv"):
            pending = self._receiving_object(m, source, tag)
            pending.block()
        return pending.finish(status)

    def irecv(self, buf: Any = None, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """Starts to receive an object; `wait` gives it."""
        m = self.held()
        with m.inside("comm.irecv"):
            return self._request_class.begun(m.engine, self._receiving_object(m, source, tag))

    def sendrecv(
        self, sendobj: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE, recvtag: int = ANY_TAG,
        status: Status | None = None,
    ) -> Any:  # fmt: skip
        """Sends one object and receives another."""
        m = self.held()
        data = self._pickled(sendobj, dest)
        with m.inside("comm.sendrecv"):
            m.destination(dest, sendtag)
            receiving = self._receiving_object(m, source, recvtag)
            both = SendReceiveOperation(self._sending(m, data, dest, sendtag), receiving)
            both.block()
        return both.finish(status)

    def _pickled(self, obj: Any, dest: int) -> memoryview:
        """Return the bytes of an object. Called outside of `inside`: a rank that pickles computes, and does not wait."""
        return memoryview(b"") if dest == PROC_NULL else self._codec.dump(obj)

    def _receiving_object(self, m: CommState, source: int, tag: int) -> Operation:
        if source == PROC_NULL:
            return NullOperation(receives=True)
        return ReceiveOperation(m, self._receive(m, None, source, tag), load=self._codec.load)


def _persistent(m: CommState, call: str, start: Callable[[], Operation]) -> Prequest:
    def begin() -> Operation:
        with m.inside(call):
            return start()

    request: Prequest = Prequest.of(PersistentOperation(m.engine, begin))
    return request
