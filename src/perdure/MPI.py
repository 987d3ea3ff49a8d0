"""mpi4py's module `MPI`, over perdure's communicator: `from perdure import MPI` in place of `from mpi4py import MPI`.

`COMM_WORLD` is the communicator of the running job, in the generation that runs now; it may be named before a job runs. What is left out
raises `NotImplementedError` when it is called; docs/communicator.md has the list, call by call.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from perdure.comm.collectives.ops import (
    BAND,
    BOR,
    BXOR,
    LAND,
    LOR,
    LXOR,
    MAX,
    MAXLOC,
    MIN,
    MINLOC,
    NO_OP,
    OP_NULL,
    PROD,
    REPLACE,
    SUM,
    Op,
)  # fmt: skip
from perdure.comm.datatypes import datatype as _datatypes
from perdure.comm.datatypes.datatype import DATATYPE_NULL, Datatype
from perdure.comm.datatypes.memory import memory_of as _memory_of
from perdure.comm.datatypes.pickles import Pickle, pickle
from perdure.comm.datatypes.raw_buffers import buffer
from perdure.comm.datatypes.type_codes import all_types as _typedict
from perdure.comm.datatypes.type_codes import c_types as _typedict_c
from perdure.comm.datatypes.type_codes import fortran_types as _typedict_f
from perdure.comm.definitions.constants import (
    ANY_SOURCE,
    ANY_TAG,
    APPNUM,
    BOTTOM,
    BSEND_OVERHEAD,
    BUFFER_AUTOMATIC,
    CART,
    COMM_TYPE_HW_GUIDED,
    COMM_TYPE_HW_UNGUIDED,
    COMM_TYPE_RESOURCE_GUIDED,
    COMM_TYPE_SHARED,
    CONGRUENT,
    DIST_GRAPH,
    DISTRIBUTE_BLOCK,
    DISTRIBUTE_CYCLIC,
    DISTRIBUTE_DFLT_DARG,
    DISTRIBUTE_NONE,
    GRAPH,
    HOST,
    IDENT,
    IN_PLACE,
    IO,
    KEYVAL_INVALID,
    LASTUSEDCODE,
    MAX_DATAREP_STRING,
    MAX_ERROR_STRING,
    MAX_INFO_KEY,
    MAX_INFO_VAL,
    MAX_LIBRARY_VERSION_STRING,
    MAX_OBJECT_NAME,
    MAX_PORT_NAME,
    MAX_PROCESSOR_NAME,
    MAX_STRINGTAG_LEN,
    ORDER_C,
    ORDER_F,
    ORDER_FORTRAN,
    PROC_NULL,
    ROOT,
    SIMILAR,
    SUBVERSION,
    TAG_UB,
    THREAD_FUNNELED,
    THREAD_MULTIPLE,
    THREAD_SERIALIZED,
    THREAD_SINGLE,
    TYPECLASS_COMPLEX,
    TYPECLASS_INTEGER,
    TYPECLASS_LOGICAL,
    TYPECLASS_REAL,
    UNDEFINED,
    UNEQUAL,
    UNIVERSE_SIZE,
    UNWEIGHTED,
    VERSION,
    WEIGHTS_EMPTY,
    WTIME_IS_GLOBAL,
    BottomType,
    BufferAutomaticType,
    Combiner,
    InPlaceType,
)  # fmt: skip
from perdure.comm.definitions.constants import Marker as _Marker
from perdure.comm.definitions.failures import (
    Add_error_class,
    Add_error_code,
    Add_error_string,
    ErrorClass,
    Get_error_class,
    Get_error_string,
    Remove_error_class,
    Remove_error_code,
    Remove_error_string,
    left_out,
)  # fmt: skip
from perdure.comm.definitions.failures import MPIException as Exception
from perdure.comm.messaging.operations import Prequest
from perdure.comm.messaging.probes import MESSAGE_NO_PROC, MESSAGE_NULL, Message
from perdure.comm.messaging.requests import REQUEST_NULL, Request
from perdure.comm.messaging.status import Status
from perdure.comm.messaging.topologies import balanced as _balanced
from perdure.comm.mpi.communicator import COMM_NULL, COMM_SELF, COMM_WORLD, Comm, Intercomm, Intracomm
from perdure.comm.mpi.generalized import Grequest
from perdure.comm.mpi.groups import GROUP_EMPTY, GROUP_NULL, Group
from perdure.comm.mpi.infos import ERRHANDLER_NULL, ERRORS_ABORT, ERRORS_ARE_FATAL, ERRORS_RETURN, INFO_ENV, INFO_NULL, Errhandler, Info
from perdure.comm.mpi.topocomms import Cartcomm, Distgraphcomm, Graphcomm, Topocomm
from perdure.comm.mpi.unsupported import CONSTANTS, FILE_NULL, FUNCTIONS, SESSION_NULL, WIN_NULL, File, Session, Win
from perdure.comm.mpi.utility_names import comm_lock as _comm_lock
from perdure.comm.mpi.utility_names import context_of_intercomm as _commctx_inter
from perdure.comm.mpi.utility_names import context_of_intracomm as _commctx_intra
from perdure.comm.mpi.utility_names import typealign as _typealign
from perdure.comm.mpi.utility_names import typecode as _typecode

memory = buffer
SUCCESS: Final = 0
F_SOURCE: Final = 0
F_TAG: Final = 1
F_ERROR: Final = 2
F_STATUS_SIZE: Final = 5
"""Indices of the fields in the list of `Status.py2f`, and its length."""


def __getattr__(name: str) -> Any:
    """Return datatypes, `ERR_…` and `COMBINER_…` by name, and for unsupported names an object that raises an error when it is used."""
    if name in _datatypes.named:
        return _datatypes.named[name]
    if name in _datatypes.NULLS:
        return DATATYPE_NULL
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name.startswith("ERR_") and name[4:] in ErrorClass.__members__:
        return int(ErrorClass[name[4:]])
    if name.startswith("COMBINER_") and name[9:] in Combiner.__members__:
        return int(Combiner[name[9:]])
    raise AttributeError(f"module 'perdure.MPI' has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names, also those that are found by `__getattr__`."""
    errors = [f"ERR_{one.name}" for one in ErrorClass if one]
    combiners = [f"COMBINER_{one.name}" for one in Combiner]
    return sorted({*globals(), *_datatypes.named, *_datatypes.NULLS, *CONSTANTS, *FUNCTIONS, *errors, *combiners})


# ---- what is asked of the library itself ------------------------------------------------------------------------------------


def Get_version() -> tuple[int, int]:
    """The version of the standard whose calls these are."""
    return VERSION, SUBVERSION


def Get_library_version() -> str:
    """perdure's name and version."""
    from perdure import __version__

    return f"perdure {__version__}"


def Get_abi_version() -> tuple[int, int]:
    """Return (-1, -1), as mpi4py does for a library without the standard's binary interface: this one is not called from C."""
    return -1, -1


def Get_abi_info() -> Info:
    """Return an empty `Info`: there is no binary interface."""
    return Info.Create()  # type: ignore[no-any-return]


Get_abi_fortran_info = Get_abi_info


def get_vendor() -> tuple[str, tuple[int, int, int]]:
    """The same in parts."""
    from perdure import __version__

    major, minor, patch = __version__.split(".")[:3]
    return "perdure", (int(major), int(minor), int(patch))


def Is_initialized() -> bool:
    """Return whether MPI is initialized: by `Init`, or at import, unless `mpi4py.rc.initialize` is false."""
    return COMM_WORLD.engine.lifecycle.is_initialized


def Is_finalized() -> bool:
    """Return whether this rank has called `Finalize` in the current generation."""
    return COMM_WORLD.engine.lifecycle.is_finalized


def Init() -> None:
    """Note that this rank has called it: the job runs already."""
    COMM_WORLD.engine.lifecycle.init()


def Init_thread(required: int = THREAD_MULTIPLE) -> int:
    """`Init`; any thread may call afterwards, whatever is required."""
    Init()
    return THREAD_MULTIPLE


def Finalize() -> None:
    """Note that this rank has called it; the job ends when the program does."""
    COMM_WORLD.engine.lifecycle.finalize()


def Query_thread() -> int:
    """Any thread may call at any time."""
    return THREAD_MULTIPLE


def Is_thread_main() -> bool:
    """Return whether this thread runs `main`."""
    return COMM_WORLD.engine.main_thread == threading.get_ident()


def Get_processor_name() -> str:
    """Return the name of this host."""
    return platform.node()


def Wtime() -> float:
    """Seconds of one clock for all processes of this host."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def Wtick() -> float:
    """Return the resolution of `Wtime` in seconds."""
    return time.clock_getres(time.CLOCK_MONOTONIC)


def Get_hw_resource_info() -> Info:
    """Return empty information."""
    return Info.Create()  # type: ignore[no-any-return]


def _set_abort_status(status: int) -> None:
    """Ignore the status: an uncaught error ends the job with its own status."""


def Pcontrol(level: int) -> None:
    """Ignore the level, because there is no profiler."""


def Compute_dims(nnodes: int, dims: int | Sequence[int]) -> list[int]:
    """Sizes of a grid of `nnodes` ranks; zeros in `dims` are filled in, as equal as can be."""
    return _balanced(nnodes, [0] * dims if isinstance(dims, int) else [int(dim) for dim in dims])


def Get_address(location: Any) -> int:
    """Return the address of a buffer in memory."""
    if isinstance(location, _Marker):
        return int(location)
    return int(_memory_of(location, writable=False).data.__array_interface__["data"][0])


def Aint_add(base: int, disp: int) -> int:
    """An address so many bytes further."""
    return base + disp


def Aint_diff(addr1: int, addr2: int) -> int:
    """Bytes between two addresses."""
    return addr1 - addr2


def Alloc_mem(size: int, info: Info = INFO_NULL) -> buffer:
    """Memory of so many bytes."""
    return buffer.allocate(size, clear=True)


def Free_mem(mem: buffer) -> None:
    """Gives it up."""
    mem.release()


def Attach_buffer(buf: Any) -> None:
    """Remembers a buffer; sends in buffered mode do without."""
    COMM_SELF.Attach_buffer(buf)


def Detach_buffer() -> Any:
    """Gives it back."""
    return COMM_SELF.Detach_buffer()


def Flush_buffer() -> None:
    """Return at once, because no message waits in the buffer."""


def Iflush_buffer() -> Request:
    """Complete at once."""
    return COMM_SELF.Iflush_buffer()


def Open_port(info: Info = INFO_NULL) -> str:
    """Not here."""
    raise left_out("Open_port", "perdure has no dynamic processes")


def Lookup_name(service_name: str, info: Info = INFO_NULL) -> str:
    """Not here."""
    raise left_out("Lookup_name", "perdure has no dynamic processes")


def Publish_name(service_name: str, port_name: str, info: Info = INFO_NULL) -> None:
    """Not here."""
    raise left_out("Publish_name", "perdure has no dynamic processes")
