"""`Init`, `Finalize`, and whether they were called: of one rank, in one generation.

The job runs before the program does, so they only keep the account that MPI asks for. `mpi4py.MPI` initialises itself when it is imported,
unless `mpi4py.rc.initialize` is false.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from perdure.comm.definitions.failures import ErrorClass, MPIException


@dataclass(slots=True)
class Lifecycle:
    """What the program has called."""

    is_initialized: bool
    is_finalized: bool = False

    def init(self) -> None:
        """`MPI.Exception`: it is initialised already, or was finalised."""
        if self.is_initialized:
            why = "after Finalize" if self.is_finalized else "a second time: importing MPI does it, unless mpi4py.rc.initialize is False"
            raise MPIException(ErrorClass.OTHER, f"Init is called {why}")
        self.is_initialized = True

    def finalize(self) -> None:
        """`MPI.Exception`: it is not initialised, or finalised already."""
        if not self.is_initialized or self.is_finalized:
            raise MPIException(ErrorClass.OTHER, f"Finalize is called {'a second time' if self.is_finalized else 'before Init'}")
        self.is_finalized = True


def begun() -> Lifecycle:
    """Return the account of a rank that has called nothing yet."""
    rc = getattr(sys.modules.get("mpi4py"), "rc", None)
    return Lifecycle(is_initialized=bool(getattr(rc, "initialize", True)))
