"""A script that imports mpi4py and knows nothing of perdure: it prints "0 of 4" and so on."""

from mpi4py import MPI

print(MPI.COMM_WORLD.rank, "of", MPI.COMM_WORLD.size)
