"""The state of a communicator: ranks of the job in an order of their own, and a context that keeps its messages apart from others'.

Contexts need no agreement: a communicator's is a hash of its parent's and of what made it (the index of the duplicate, of the split, ...),
which all its members compute alike. Messages are matched by source as well, so groups without a common member may share one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from perdure.comm.definitions.attributes import Attributes
from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, PROC_NULL, TAG_UB_VALUE
from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.messaging.matching import Receive
from perdure.comm.messaging.shared_window import SharedWindow
from perdure.comm.messaging.topologies import Topology

if TYPE_CHECKING:
    from perdure.comm.messaging.engine import MessageEngine, Part
    from perdure.comm.messaging.inside import Inside

WORLD_CONTEXT: Final = 2
SELF_CONTEXT: Final = 4


@dataclass(slots=True, eq=False, weakref_slot=True)
class CommState:
    """The state of one communicator.

    Attributes:
        context: even, for the messages of programs; the odd one after it is for those of collectives.
        shared_window: memory that its members share, once they have met and could have it.
    """

    engine: MessageEngine
    ranks: tuple[int, ...]
    rank: int
    context: int
    name: str = ""
    topology: Topology | None = None
    attributes: Attributes = field(default_factory=Attributes)
    info: dict[str, str] = field(default_factory=dict)
    errhandler: Any = None
    buffer: Any = None
    collectives: int = 0
    children: dict[Any, int] = field(default_factory=dict)
    position: dict[int, int] | None = None
    shared_window: SharedWindow | None = None
    has_met: bool = False

    def __post_init__(self) -> None:
        self.engine.comm_states[self.context] = self
        if self.ranks != tuple(range(len(self.ranks))):
            self.position = {rank: at for at, rank in enumerate(self.ranks)}

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return len(self.ranks)

    def local(self, world_rank: int) -> int:
        """The rank here of a rank of the job."""
        return world_rank if self.position is None or world_rank < 0 else self.position[world_rank]

    def inside(self, call: str) -> Inside:
        """See `MessageEngine.inside`."""
        return self.engine.inside(call)

    def child_context(self, made_by: tuple[Any, ...]) -> int:
        """The context of the next communicator made in this way; the same on all its members."""
        number = self.children.get(made_by, 0)
        self.children[made_by] = number + 1
        digest = hashlib.blake2b(repr((self.context, made_by, number)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") & ~1

    def destination(self, dest: int, tag: int) -> int:
        """The rank of the job to send to; or -1 for PROC_NULL. `MPI.Exception`: no such rank, or a negative tag."""
        if dest == PROC_NULL:
            return -1
        if not 0 <= dest < len(self.ranks):
            raise MPIException(ErrorClass.RANK, f"rank {self.rank}: there is no rank {dest} among {len(self.ranks)}")
        if not 0 <= tag <= TAG_UB_VALUE:
            raise MPIException(ErrorClass.TAG, f"rank {self.rank}: a tag must not be negative, nor above {TAG_UB_VALUE}, as {tag} is")
        return self.ranks[dest]

    def source(self, source: int, tag: int) -> int:
        """The rank of the job to receive from, or ANY_SOURCE. `MPI.Exception`: as of `destination`."""
        if source != ANY_SOURCE and not 0 <= source < len(self.ranks):
            raise MPIException(ErrorClass.RANK, f"rank {self.rank}: there is no rank {source} among {len(self.ranks)}")
        if tag != ANY_TAG and not 0 <= tag <= TAG_UB_VALUE:
            raise MPIException(ErrorClass.TAG, f"rank {self.rank}: a tag must not be negative, nor above {TAG_UB_VALUE}, as {tag} is")
        return source if source == ANY_SOURCE else self.ranks[source]

    def root(self, root: int) -> int:
        """Checks the root of a collective."""
        if not 0 <= root < len(self.ranks):
            raise MPIException(ErrorClass.ROOT, f"rank {self.rank}: there is no root {root} among {len(self.ranks)} ranks")
        return root

    def exchange(self) -> Exchange:
        """The messages of the next collective call."""
        self.collectives += 1
        return Exchange(self.engine, self.ranks, self.rank, self.context + 1, self.collectives)


class Exchange:
    """The messages of one collective call: a tag of its own, so that it meets no other."""

    __slots__ = ("context", "engine", "rank", "ranks", "size", "tag")

    def __init__(self, engine: MessageEngine, ranks: tuple[int, ...], rank: int, context: int, tag: int) -> None:
        self.engine, self.ranks, self.rank, self.context, self.tag = engine, ranks, rank, context, tag
        self.size = len(ranks)

    def send(self, to: int, data: memoryview) -> Part:
        """A message under way."""
        return self.engine.send(self.ranks[to], self.context, self.tag, data)

    def receive(self, source: int, buffer: memoryview | None, hold: bool = False) -> Receive:
        """A receive under way."""
        return self.engine.receive(self.ranks[source], self.context, self.tag, buffer, hold)

    def check(self, wanted: Receive, nbytes: int) -> None:
        """`MPI.Exception`: a message of another size than this rank expects means that the ranks do not agree."""
        if wanted.length != nbytes:
            raise self.disagreement(wanted, wanted.length, nbytes)

    def disagreement(self, wanted: Receive, theirs: int, nbytes: int) -> MPIException:
        """The error of a rank that has `nbytes` where the sender of a message has another number."""
        source = self.ranks.index(wanted.from_rank)
        text = f"rank {source} takes part in a collective with {theirs} bytes where rank {self.rank} has {nbytes}"
        return MPIException(ErrorClass.TRUNCATE, text)
