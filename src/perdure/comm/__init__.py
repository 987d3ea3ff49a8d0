"""How do ranks talk to one another, and how do they learn at once that it is over?

`Mesh` lives as long as a worker's process; `Mesh.enter` gives the messages of one generation, and `world_of` their `Communicator`, with
mpi4py's names and argument order. A revoke wakes every blocked call; from then on every call of that communicator raises
`GenerationRevoked`.

From bottom to top, each package importing only those before it (import-linter holds this):

1. `transports`: bytes in order, from one rank to another. `definitions`: constants, error classes, handles.
2. `datatypes`: which bytes a buffer, a datatype or an object stands for.
3. `messaging`: `traffic` (all links, and waiting) → `matching`, `engine` (messages) → `comm_state` (ranks and contexts) → `operations`,
   `requests` (what is under way) → `point_to_point`, `probes` (the calls).
4. `collectives`: `schedules`, `reductions` (algorithms as generators) → `plans` (arguments) → `blocking`, `nonblocking`, `persistent`,
   `objects`, `neighbours` (the calls).
5. `mpi`: `communicator`, the class that programs hold, put together from all these calls; and communicators that are made of others.
"""

from perdure.comm.collectives.ops import BAND, BOR, BXOR, LAND, LOR, LXOR, MAX, MAXLOC, MIN, MINLOC, PROD, SUM, Op
from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, IN_PLACE, PROC_NULL
from perdure.comm.messaging.mesh import Mesh
from perdure.comm.messaging.monitor import Monitor
from perdure.comm.mpi import topocomms as _topocomms  # noqa: F401  (its classes are made by calls of `Communicator`)
from perdure.comm.mpi.communicator import Communicator, world_of

__all__ = [
    "ANY_SOURCE", "ANY_TAG", "BAND", "BOR", "BXOR", "IN_PLACE", "LAND", "LOR", "LXOR", "MAX", "MAXLOC", "MIN", "MINLOC", "PROC_NULL",
    "PROD", "SUM", "Communicator", "Mesh", "Monitor", "Op", "world_of",
]  # fmt: skip
