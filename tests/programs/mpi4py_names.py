"""The names of `MPI` that mpi4py's own pure-Python packages import: they are there, and do what those packages expect."""

import numpy as np

from perdure import MPI

names = ["_comm_lock", "_commctx_intra", "_commctx_inter", "_typealign", "_typecode"]
comm = MPI.COMM_WORLD
if comm.rank == 0:
    missing = [name for name in names if not hasattr(MPI, name)]
    print("missing:", missing, [name for name in ("dumps_oob", "loads_oob") if not hasattr(MPI.Pickle, name)])

assert MPI._comm_lock(comm) is MPI._comm_lock(comm)
assert MPI._comm_lock(comm, "a") is not MPI._comm_lock(comm, "b")
with MPI._comm_lock(comm):
    context, tag = MPI._commctx_intra(comm)
again, next_tag = MPI._commctx_intra(comm)
assert (again == context, tag, next_tag) == (True, 0, 1)
assert MPI.Comm.Compare(comm, context) == MPI.CONGRUENT
other = (comm.rank + 1) % comm.size
assert context.sendrecv(comm.rank, other, tag, source=MPI.ANY_SOURCE, recvtag=tag) == (comm.rank - 1) % comm.size
refused = ""
try:
    MPI._commctx_inter(comm)
except NotImplementedError as error:
    refused = str(error)
assert "intercommunicators" in refused

assert (MPI._typecode(MPI.DOUBLE), MPI._typecode(MPI.INT32_T)) == ("d", "i")
assert MPI._typecode(MPI.DATATYPE_NULL) is None
assert (MPI._typealign(MPI.DOUBLE), MPI._typealign(MPI.DATATYPE_NULL)) == (np.dtype("d").alignment, None)
