"""The common work on Open MPI with ULFM and mpi4py: `mpirun ... python ulfm_work.py FOLDER MB spawn|spare`.

State is protected by a partner copy: each rank keeps two snapshots of its own and two of its left neighbour's, written in turn. After a
loss: revoke, shrink, a process for the lost rank, its state from the right neighbour, and everybody's from the own snapshot. `spawn`
starts that process then (MPI_Comm_spawn); `spare` has started it with the others, and it has waited in a receive that the revoke ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

import machine
import mpi4py

machine.prioritise()  # before the imports, which are part of what is measured
mpi4py.rc.finalize = False  # with a failed rank there is nothing to be learnt from it
import numpy as np  # noqa: E402
from common_work import EDGE, MIB, PROTECT_EVERY, SIZE, STEPS, Log, checksum, initial, must_die, step  # noqa: E402
from mpi4py import MPI  # noqa: E402

PARTNER, HOME, RING = 7, 9, 5


class Rank:
    """One rank: its state, its snapshots and its communicator."""

    def __init__(self, comm: MPI.Comm, world: MPI.Comm, rank: int, folder: str, mb: int) -> None:
        self.comm, self.world, self.rank, self.folder = comm, world, rank, folder
        self.log = Log(folder, rank)
        self.epoch, self.number = 0, 0
        self.state = initial(rank, mb)
        self.own = [np.ones(mb * MIB) for _ in range(2)]  # ones, not zeros: their pages are there from the start
        self.partner = [np.ones(mb * MIB) for _ in range(2)]
        self.labels = [-1, -1]
        self.received = np.empty(EDGE)
        self.right, self.left = (rank + 1) % SIZE, (rank - 1) % SIZE

    def protect(self) -> None:
        """All ranks call it; blocks until everybody has the copies."""
        began = MPI.Wtime()
        slot = self.labels.index(min(self.labels))
        self.labels[slot] = -1
        np.copyto(self.own[slot], self.state)
        self.comm.Sendrecv(self.state, self.right, PARTNER, self.partner[slot], self.left, PARTNER)
        self.comm.Barrier()
        self.labels[slot] = self.number
        self.log("protected", rank=self.rank, step=self.number, seconds=MPI.Wtime() - began)

    def restore(self, lost: int) -> None:
        """Everybody goes back to the newest step that all survivors have copies of."""
        self.number = self.comm.allreduce(max(self.labels) if self.rank != lost else STEPS, MPI.MIN)
        if self.rank != lost:
            slot = self.labels.index(self.number)
            np.copyto(self.state, self.own[slot])
        if self.rank == (lost + 1) % SIZE:
            self.comm.Send(self.partner[slot], lost, HOME)
        if self.rank == lost:
            self.comm.Recv(self.state, self.right, HOME)
        self.log("restored", rank=self.rank)
        self.epoch += 1
        self.labels = [self.number if label == self.number else -1 for label in self.labels]
        self.protect()
        self.log("resume", rank=self.rank, epoch=self.epoch, step=self.number)

    def steps(self) -> None:
        """To the end, or until MPI.Exception tells of a loss."""
        while self.number < STEPS:
            if must_die(self.folder, self.log, self.rank, self.number):
                os.kill(os.getpid(), signal.SIGKILL)
            total = step(self.state, self.number, self.reduce, self.ring)
            self.log("step", rank=self.rank, epoch=self.epoch, step=self.number, sum=total)
            self.number += 1
            if self.number % PROTECT_EVERY == 0:
                self.protect()

    def reduce(self, vector: np.ndarray) -> np.ndarray:
        """The all-reduce of a step."""
        self.comm.Allreduce(MPI.IN_PLACE, vector)
        return vector

    def ring(self, edge: np.ndarray) -> np.ndarray:
        """The exchange of a step."""
        self.comm.Sendrecv(edge, self.right, RING, self.received, self.left, RING)
        return self.received

    def repair(self, mode: str) -> None:
        """A survivor: a full communicator again, and the committed state."""
        self.log("detected", rank=self.rank)
        self.comm.Revoke()
        if mode == "spare":
            self.world.Revoke()
        shrunk = quiet(self.world.Shrink())
        lost = min(set(range(SIZE)) - set(shrunk.allgather(self.rank)))
        if mode == "spawn":
            info = MPI.Info.Create()
            info.Set("map_by", ":OVERSUBSCRIBE")
            between = shrunk.Spawn(sys.executable, args=[*sys.argv[:3], "spawned"], maxprocs=1, info=info, root=0)
            shrunk = quiet(between.Merge(high=False))
            shrunk.bcast(lost, root=0)
        self.world = shrunk
        self.comm = quiet(shrunk.Split(0, self.rank))
        self.log("repaired", rank=self.rank)
        self.restore(lost)


def quiet(comm: MPI.Comm) -> MPI.Comm:
    """Failures are exceptions and do not end the process."""
    if comm != MPI.COMM_NULL:
        comm.Set_errhandler(MPI.ERRORS_RETURN)
    return comm


def spawned(folder: str, mb: int) -> Rank:
    """A process that replaces a lost rank and has only now begun."""
    world = quiet(quiet(MPI.Comm.Get_parent()).Merge(high=True))
    lost = world.bcast(None, root=0)
    rank = Rank(quiet(world.Split(0, lost)), world, lost, folder, mb)
    rank.restore(lost)
    return rank


def spare(world: MPI.Comm, folder: str, mb: int) -> Rank:
    """A process without a rank: waits for a loss, with all its memory touched."""
    rank = Rank(world, world, SIZE, folder, mb)
    with contextlib.suppress(MPI.Exception):  # a survivor revokes the communicator: this process is needed
        world.recv(source=0, tag=HOME)
    shrunk = quiet(world.Shrink())
    lost = min(set(range(SIZE)) - set(shrunk.allgather(SIZE)))
    rank.rank, rank.right, rank.left = lost, (lost + 1) % SIZE, (lost - 1) % SIZE
    rank.world, rank.comm = shrunk, quiet(shrunk.Split(0, lost))
    rank.restore(lost)
    return rank


def first(folder: str, mb: int) -> Rank:
    """A process that mpirun has started."""
    world = quiet(MPI.COMM_WORLD.Dup())
    number = world.Get_rank()
    comm = quiet(world.Split(0 if number < SIZE else MPI.UNDEFINED, number))
    if number == SIZE:
        return spare(world, folder, mb)
    rank = Rank(comm, world, number, folder, mb)
    rank.protect()
    return rank


def main(folder: str, mb: int, mode: str) -> None:
    """One process."""
    rank = spawned(folder, mb) if mode == "spawned" else first(folder, mb)
    while rank.number < STEPS:
        try:
            rank.steps()
        except MPI.Exception:
            rank.repair(mode)
    rank.log("final", rank=rank.rank, sum=checksum(rank.state))
    rank.comm.Barrier()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
