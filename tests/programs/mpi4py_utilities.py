"""What programs import from mpi4py beside `MPI`: unedited, on any number of ranks."""

import mpi4py
import numpy as np
from mpi4py import MPI
from mpi4py.util import dtlib, pkl5

comm = pkl5.Intracomm(MPI.COMM_WORLD)
rank, size = comm.rank, comm.size
mine = {"rank": rank, "data": np.full(100_000, rank), "text": "x" * rank}

request = comm.isend(mine, (rank + 1) % size, tag=3)
got = comm.recv(source=(rank - 1) % size, tag=3)
request.wait()
assert got["rank"] == (rank - 1) % size
assert (got["data"] == got["rank"]).all()
got["data"] += 1

request = comm.isend(mine, (rank + 1) % size)
message = comm.mprobe(source=(rank - 1) % size)
assert type(message) is pkl5.Message
assert (message.recv()["data"] == (rank - 1) % size).all()
assert type(request) is pkl5.Request
pkl5.Request.waitall([request])
everyone = comm.allgather(mine)
assert [one["rank"] for one in everyone] == list(range(size))
assert (comm.bcast(mine if rank == size - 1 else None, root=size - 1)["data"] == size - 1).all()
assert comm.alltoall([(rank, other) for other in range(size)]) == [(other, rank) for other in range(size)]
assert comm.scatter([np.arange(other) for other in range(size)] if rank == 0 else None).tolist() == list(range(rank))
assert comm.sendrecv(mine, (rank + 1) % size, source=(rank - 1) % size)["rank"] == (rank - 1) % size
assert len(comm.gather(mine) or []) == (size if rank == 0 else 0)

for one in (comm, MPI.COMM_WORLD):  # without a sequence, everybody gets None, and no rank is left alone in the call
    assert one.scatter(None, root=size - 1) is None
    assert one.alltoall(None) == [None] * size
assert pkl5.Request().__ne__("other") is NotImplemented
assert pkl5.Message(MPI.MESSAGE_NO_PROC) == MPI.MESSAGE_NO_PROC != MPI.MESSAGE_NULL

record = np.dtype([("a", "i4"), ("b", "f8", (3,)), ("c", "u1")], align=True)
datatype = dtlib.from_numpy_dtype(record).Commit()
assert datatype.extent == record.itemsize
assert dtlib.to_numpy_dtype(datatype).itemsize == record.itemsize
array = np.zeros(4, record)
if rank == 0:
    array["b"] = 7.0
MPI.COMM_WORLD.Bcast([array, datatype])
assert (array["b"] == 7.0).all()
assert dtlib.to_numpy_dtype(dtlib.from_numpy_dtype("f8")) == np.dtype("f8")

for refused in ("mpi4py.futures", "mpi4py.util.pool", "mpi4py.util.sync"):
    try:
        __import__(refused)
    except ImportError as error:
        if rank == 0:
            print(error, flush=True)
assert mpi4py.rc.thread_level == "multiple"
