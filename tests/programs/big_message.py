"""One message from rank 0 to rank 1, of `bytes` bytes, as a buffer or as a pickled object.

perdure run big_message.py --ranks 2 --spares 0 -- 2684354560 buffer
"""

import sys

import numpy as np

from perdure import MPI

comm = MPI.COMM_WORLD
size, kind = int(sys.argv[1]), sys.argv[2]
data = np.zeros(size, np.uint8)
places = [0, size // 2, min(2**31, size - 2), size - 1]
if comm.rank == 0:
    data[places] = 1, 2, 3, 4
comm.Barrier()
if comm.rank == 0 and kind == "buffer":
    comm.Send(data, 1)
elif comm.rank == 0:
    comm.send(data, 1)
elif kind == "buffer":
    status = MPI.Status()
    comm.Recv(data, 0, status=status)
    print(status.Get_count(MPI.BYTE), data[places].tolist(), flush=True)
else:
    data = comm.recv(source=0)
    print(data.nbytes, data[places].tolist(), flush=True)
