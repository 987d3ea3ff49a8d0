"""Data of a datatype put into a buffer one after the other, and out of it again (MPI 4.1, section 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perdure.comm.definitions.failures import ErrorClass, MPIException

if TYPE_CHECKING:
    from perdure.comm.datatypes.buffers import TypedBuffer


class Packing:
    """A part of `Datatype`."""

    if TYPE_CHECKING:

        def held(self) -> Any: ...

    def Pack_size(self, count: int, comm: Any) -> int:
        """Bytes that so many elements take."""
        return int(self.held().map.size) * count

    def Pack(self, inbuf: Any, outbuf: Any, position: int, comm: Any) -> int:
        """Puts elements into `outbuf` from byte `position` on. Returns the position after them."""
        return self._pack(inbuf, outbuf, position, swap=False)

    def Unpack(self, inbuf: Any, position: int, outbuf: Any, comm: Any) -> int:
        """Takes as many elements as `outbuf` holds from byte `position` on. Returns the position after them."""
        return self._unpack(inbuf, position, outbuf, swap=False)

    def Pack_external_size(self, datarep: str, count: int) -> int:
        """Bytes that so many elements take in a representation that all machines know."""
        _external(datarep)
        return self.Pack_size(count, None)

    def Pack_external(self, datarep: str, inbuf: Any, outbuf: Any, position: int) -> int:
        """`Pack`, the most significant byte first."""
        _external(datarep)
        return self._pack(inbuf, outbuf, position, swap=True)

    def Unpack_external(self, datarep: str, inbuf: Any, position: int, outbuf: Any) -> int:
        """`Unpack`, the most significant byte first."""
        _external(datarep)
        return self._unpack(inbuf, position, outbuf, swap=True)

    def _pack(self, inbuf: Any, outbuf: Any, position: int, *, swap: bool) -> int:
        source, target = self._block(inbuf, writable=False), _bytes(outbuf, writable=True)
        data = self._swapped(np.frombuffer(source.out(), np.uint8), swap)
        end = position + len(data)
        _fits(position, end, len(target))
        target[position:end] = data
        return end

    def _unpack(self, inbuf: Any, position: int, outbuf: Any, *, swap: bool) -> int:
        target, source = self._block(outbuf, writable=True), _bytes(inbuf, writable=False)
        end = position + target.nbytes
        _fits(position, end, len(source))
        room = target.room()
        room[:] = self._swapped(source[position:end], swap).data
        target.put(room)
        return end

    def _block(self, buffer: Any, *, writable: bool) -> TypedBuffer:
        """A buffer of elements of this datatype: the array, or `[array, count]`."""
        from perdure.comm.datatypes.buffers import block

        message = [*buffer, self] if isinstance(buffer, list | tuple) and len(buffer) == 2 else [buffer, self]
        return block(message, writable=writable)

    def _swapped(self, data: Any, swap: bool) -> Any:
        dtype = self.held().dtype
        if not swap or dtype is None or not len(data):
            return data
        return data.copy().view(dtype).byteswap().view(np.uint8)


def _bytes(buffer: Any, *, writable: bool) -> Any:
    from perdure.comm.datatypes.buffers import block
    from perdure.comm.datatypes.datatype import BYTE

    one = block([buffer, BYTE], writable=writable)
    return one.memory[: one.count]


def _external(datarep: str) -> None:
    if datarep != "external32":
        raise MPIException(ErrorClass.ARG, f"unknown data representation {datarep!r}: use external32")


def _fits(position: int, end: int, size: int) -> None:
    if position < 0 or end > size:
        raise MPIException(ErrorClass.TRUNCATE, f"{end - position} bytes from {position} on do not fit into {size}")
