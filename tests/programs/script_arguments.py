"""Rank 0 prints its arguments, positional and short ones too."""

import sys

from perdure import MPI

if MPI.COMM_WORLD.rank == 0:
    print(sys.argv[1:])
