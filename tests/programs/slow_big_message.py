"""One message of `bytes` bytes from rank 0 to rank 1 over a link that takes `seconds` for it, while both ranks wait.

perdure run slow_big_message.py --ranks 2 --spares 0 --setting deadlock_timeout_s=1 -- 80000000 3 [copied]

`copied`: the receiver must not read the sender's memory.
"""

import sys
import time

import numpy as np

from perdure import MPI
from perdure.comm.messaging import engine
from perdure.comm.transports import direct, ring, stream_transport, threads

size, seconds = int(sys.argv[1]), float(sys.argv[2])
PIECE_BYTES = size // 30
comm = MPI.COMM_WORLD


def slowly(kind, name):
    """Let `kind.name(..., target)` take a piece of a long message at most, and the time that the link needs for it. `kind`: a class or
    an object."""
    take = getattr(kind, name)

    def taken(*arguments):
        *others, target = arguments
        if len(target) < 1000:
            return take(*arguments)
        if name == "read":
            done, count = take(*arguments), len(target)
        else:
            done = count = take(*others, target[:PIECE_BYTES])
        time.sleep(seconds * (count or 0) / size)
        return done

    setattr(kind, name, taken)


if comm.rank == 1:
    engine.BLOCK_BYTES = PIECE_BYTES
    slowly(ring.Ring, "read_into")
    slowly(threads._End, "recv_into")
    if "copied" in sys.argv:
        direct.Reader.read = lambda *arguments: False
    else:
        slowly(direct.Reader, "read")
data = np.zeros(size, np.uint8)
comm.Barrier()
for inward in comm.engine.traffic._in.values():
    if isinstance(inward.stream, stream_transport.StreamEnd):
        slowly(inward.stream, "recv_into")
if comm.rank == 0:
    comm.Send(data + 1, 1)
else:
    began = time.monotonic()
    comm.Recv(data, 0)
    print(data.sum() == size, time.monotonic() - began > seconds / 2, flush=True)
