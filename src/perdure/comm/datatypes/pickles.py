"""How lower-case calls turn objects into bytes: `MPI.pickle`, which a program may change."""

from __future__ import annotations

import pickle as _pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from perdure.comm.definitions.failures import ErrorClass, MPIException


class Pickle:
    """A pair of functions and a protocol, as mpi4py has it."""

    THRESHOLD = 262144
    """Of mpi4py, for out-of-band buffers. It has no meaning here."""

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


@dataclass(frozen=True, slots=True)
class PickleCodec:
    """How the calls of a communicator turn objects into bytes, and bytes into objects."""

    dump: Callable[[Any], memoryview]
    load: Callable[[Any], Any]


def load(data: Any) -> Any:
    """Return the object of these bytes."""
    return pickle.loads(data)


def dump(obj: Any) -> memoryview:
    """An object's bytes. `MPI.Exception`: it cannot be pickled."""
    try:
        return memoryview(pickle.dumps(obj))
    except BaseException as error:
        if isinstance(error, _pickle.PicklingError | TypeError | AttributeError):
            raise MPIException(ErrorClass.ARG, f"this object cannot be pickled, so it cannot be sent: {error}") from error
        raise


PICKLED: Final = PickleCodec(dump, load)
