"""How lower-case calls turn objects into bytes: `MPI.pickle`, which a program may change."""

from __future__ import annotations

import pickle as _pickle
from collections.abc import Callable
from typing import Any

from perdure.comm.failures import ErrorClass, Exception


class Pickle:
    """A pair of functions and a protocol. As mpi4py has it, without the threshold for out-of-band buffers."""

    __module__ = "perdure.MPI"

    def __init__(
        self, dumps: Callable[..., bytes] | None = None, loads: Callable[..., Any] | None = None, protocol: int | None = None
    ) -> None:
        self._dumps, self._loads = dumps or _pickle.dumps, loads or _pickle.loads
        self.PROTOCOL: int | None = protocol if protocol is not None or dumps else _pickle.HIGHEST_PROTOCOL

    def dumps(self, obj: Any) -> bytes:
        """The bytes of an object."""
        return self._dumps(obj) if self.PROTOCOL is None else self._dumps(obj, self.PROTOCOL)

    def loads(self, data: Any) -> Any:
        """The object of these bytes."""
        return self._loads(data)

    def dumps_oob(self, obj: Any) -> tuple[bytes, list[_pickle.PickleBuffer]]:
        """The bytes of an object, and its large buffers beside them."""
        buffers: list[_pickle.PickleBuffer] = []
        return _pickle.dumps(obj, protocol=5, buffer_callback=buffers.append), buffers

    def loads_oob(self, data: Any, buffers: Any) -> Any:
        """The object of these bytes and buffers."""
        return _pickle.loads(data, buffers=buffers)


pickle = Pickle()


def dump(obj: Any) -> memoryview:
    """An object's bytes. `MPI.Exception`: it cannot be pickled."""
    try:
        return memoryview(pickle.dumps(obj))
    except BaseException as error:
        if isinstance(error, _pickle.PicklingError | TypeError | AttributeError):
            raise Exception(ErrorClass.ARG, f"this object cannot be pickled, so it cannot be sent: {error}") from error
        raise
