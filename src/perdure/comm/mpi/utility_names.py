"""The names that mpi4py's own pure-Python packages (`mpi4py.util`, `mpi4py.futures`) import from `MPI`, with a leading underscore there.

A key tells users of one communicator apart: each (communicator, key) has one lock, and one duplicate with tags of its own.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Hashable, Iterator
from typing import Any, NoReturn

from perdure.comm.datatypes.datatype import Datatype
from perdure.comm.definitions.failures import left_out
from perdure.comm.messaging.comm_state import CommState
from perdure.comm.mpi.communicator import Intercomm, Intracomm

_locks: weakref.WeakKeyDictionary[CommState, dict[Hashable, threading.Lock]] = weakref.WeakKeyDictionary()
_contexts: weakref.WeakKeyDictionary[CommState, dict[Hashable, tuple[Any, Iterator[int]]]] = weakref.WeakKeyDictionary()


def comm_lock(comm: Any, key: Hashable = None) -> threading.Lock:
    """Return the lock of a communicator in this process."""
    return _locks.setdefault(comm.held(), {}).setdefault(key, threading.Lock())


def context_of_intracomm(comm: Intracomm, key: Hashable = None) -> tuple[Any, int]:
    """Return a duplicate of a communicator, the same for the same key, and a tag that no earlier call has returned for it.

    All ranks of the communicator call it in the same order; the first call of a key blocks until all have.
    """
    found = _contexts.setdefault(comm.held(), {})
    if key not in found:
        found[key] = comm.Dup(), itertools.count()
    duplicate, tags = found[key]
    return duplicate, next(tags)


def context_of_intercomm(comm: Intercomm, key: Hashable = None) -> NoReturn:
    """NotImplementedError: there are no intercommunicators."""
    raise left_out("_commctx_inter", "perdure has no intercommunicators")


def typecode(datatype: Datatype) -> str | None:
    """Return NumPy's type code of a datatype; None: it has none."""
    return datatype.tocode() if datatype.thing is not None and datatype.thing.char else None


def typealign(datatype: Datatype) -> int | None:
    """Return the alignment of a datatype in a C structure, in bytes; None: it is not known."""
    one = datatype.thing
    return None if one is None or one.dtype is None else int(one.dtype.alignment)
