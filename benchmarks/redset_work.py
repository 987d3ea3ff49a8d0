"""Ranks under mpirun that protect a file each with redset, and lose one: what `redset.py` measures. As SCR uses it, files in /dev/shm.

    mpirun -n 4 python redset_work.py LIBRARY FOLDER MIB PARITY TURNS

Rank 0 prints a line of JSON: seconds of each `redset_apply` and `redset_recover`, from a barrier until the last rank is done.
"""

from __future__ import annotations

import ctypes
import json
import pathlib
import sys

import numpy as np
from mpi4py import MPI

SUCCESS = 0


def main(library: str, folder: str, mib: str, parity: str, turns: str) -> None:
    """All turns; the first, which touches the memory, does not count."""
    world = MPI.COMM_WORLD
    redset = ctypes.CDLL(library)
    comm = ctypes.c_void_p.from_address(MPI._addressof(world))
    state = np.random.default_rng(world.rank).integers(0, 256, int(mib) << 20, np.uint8)
    mine = pathlib.Path(folder, str(world.rank))
    mine.mkdir()
    file, prefix = mine / "state", str(mine / "redset").encode()
    names = (ctypes.c_char_p * 1)(str(file).encode())

    def timed(what: str, call: object, *arguments: object) -> float:
        world.Barrier()
        started = MPI.Wtime()
        status = call(*arguments)  # type: ignore[operator]
        seconds = world.allreduce(MPI.Wtime() - started, MPI.MAX)
        if status != SUCCESS:
            print(f"{what} failed on rank {world.rank}", flush=True)
            world.Abort(1)
        return seconds

    def create() -> ctypes.c_void_p:
        descriptor = ctypes.c_void_p()
        node = f"node{world.rank}".encode()
        if int(parity) == 1:
            timed("redset_create_xor", redset.redset_create_xor, comm, node, world.size, ctypes.byref(descriptor))
        else:
            timed("redset_create_rs", redset.redset_create_rs, comm, node, world.size, int(parity), ctypes.byref(descriptor))
        return descriptor

    redset.redset_init()
    times: dict[str, list[float]] = {"apply": [], "recover": []}
    for turn in range(int(turns) + 1):
        file.write_bytes(state.data)
        descriptor = create()
        apply_s = timed("redset_apply", redset.redset_apply, 1, names, prefix, descriptor)
        redset.redset_delete(ctypes.byref(descriptor))
        if world.rank == 0:
            for path in mine.iterdir():
                path.unlink()
        recover_s = timed("redset_recover", redset.redset_recover, comm, prefix, ctypes.byref(descriptor))
        if not np.array_equal(np.fromfile(file, np.uint8), state):
            print(f"what redset rebuilt on rank {world.rank} is not what was lost", flush=True)
            world.Abort(1)
        redset.redset_unapply(prefix, descriptor)
        redset.redset_delete(ctypes.byref(descriptor))
        if turn:
            times["apply"].append(apply_s)
            times["recover"].append(recover_s)
    redset.redset_finalize()
    if world.rank == 0:
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
