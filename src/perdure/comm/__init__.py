"""How do ranks talk to one another, and how do they learn at once that it is over?

`Mesh` lives as long as a worker's process; `Mesh.enter` gives the `Communicator` of one generation, with mpi4py's names and argument
order. A revoke wakes every blocked call; from then on every call of that communicator raises `GenerationRevoked`.
"""

from perdure.comm.communicator import Communicator
from perdure.comm.mesh import Mesh, Monitor
from perdure.comm.ops import BAND, BOR, BXOR, LAND, LOR, MAX, MIN, PROD, SUM, Op
from perdure.comm.values import ANY_SOURCE, ANY_TAG, IN_PLACE, PROC_NULL

__all__ = [
    "ANY_SOURCE", "ANY_TAG", "BAND", "BOR", "BXOR", "IN_PLACE", "LAND", "LOR", "MAX", "MIN", "PROC_NULL", "PROD", "SUM",
    "Communicator", "Mesh", "Monitor", "Op",
]  # fmt: skip
