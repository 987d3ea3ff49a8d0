"""What `job.comm` is: all ranks of one generation, with mpi4py's calls. Upper case takes buffers, lower case objects.

mpi4py's classes inherit from one another, and programs inherit from them; so these do. A class of two hundred calls would be one file of
a thousand lines, so the calls are grouped by chapter of the MPI standard, and `Comm` is put together from the groups.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from perdure.comm.collectives.blocking import Collectives
from perdure.comm.collectives.nonblocking import NonblockingCollectives
from perdure.comm.collectives.objects import ObjectCollectives
from perdure.comm.collectives.persistent import PersistentCollectives
from perdure.comm.definitions import constants as c
from perdure.comm.definitions.attributes import Keyvals
from perdure.comm.definitions.failures import ErrorClass, MPIException, last_used_code, left_out
from perdure.comm.definitions.handles import Handle
from perdure.comm.messaging.comm_state import SELF_CONTEXT, WORLD_CONTEXT, CommState
from perdure.comm.messaging.point_to_point import PointToPoint
from perdure.comm.messaging.probes import Probes
from perdure.comm.mpi import singleton
from perdure.comm.mpi.groups import Group
from perdure.comm.mpi.infos import INFO_NULL, Info
from perdure.comm.mpi.management import Management
from perdure.comm.mpi.scoped import Scoped
from perdure.comm.mpi.topology_calls import CLASSES, TopologyCalls
from perdure.errors import ProgramExited, UsageError

if TYPE_CHECKING:
    from perdure.comm.messaging.engine import MessageEngine


class Comm(
    PointToPoint, Probes, Collectives, NonblockingCollectives, PersistentCollectives, ObjectCollectives, Management, Handle[CommState]
):
    """A communicator. Any thread may use it; every call may raise `GenerationRevoked`."""

    null_class = ErrorClass.COMM
    __module__ = "perdure.MPI"
    keyvals: ClassVar[Keyvals] = Keyvals(
        predefined={
            c.TAG_UB: lambda: c.TAG_UB_VALUE,
            c.HOST: lambda: c.PROC_NULL,
            c.IO: lambda: c.ANY_SOURCE,
            c.WTIME_IS_GLOBAL: lambda: True,
            c.UNIVERSE_SIZE: lambda: COMM_WORLD.Get_size(),
            c.APPNUM: lambda: 0,
            c.LASTUSEDCODE: last_used_code,
        }
    )
    topologies: ClassVar[tuple[type[Any], ...]] = ()
    """What a communicator of this class must have."""
    _thing: CommState | None
    _current = ""

    def __new__(cls, comm: Any = None) -> Any:
        """A second handle of the same communicator; without an argument the null one."""
        self = super().__new__(cls, comm)
        if self.thing is not None and cls.topologies and not isinstance(self.thing.topology, cls.topologies):
            raise TypeError(f"this communicator is not a {cls.__name__}")
        return self

    @classmethod
    def base(cls) -> type[Any]:
        return Comm

    @property
    def thing(self) -> CommState | None:
        """What it is made of; of COMM_WORLD and COMM_SELF, in the generation that runs now."""
        return self._thing if not self._current else _comm_states().get(self._current)

    @thing.setter
    def thing(self, comm_state: CommState | None) -> None:
        self._thing = comm_state

    def held(self) -> CommState:
        """What it is made of. `MPI.Exception`: it is null, or was freed."""
        comm_state = self._thing if not self._current else _comm_states().get(self._current)
        if comm_state is None:
            if self._current:
                raise UsageError(singleton.why_none())
            raise MPIException(ErrorClass.COMM, "this communicator is null, or was freed")
        return comm_state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Comm) and self.thing is other.thing

    __hash__ = Handle.__hash__

    def __reduce__(self) -> Any:
        for constant in (COMM_WORLD, COMM_SELF):
            if not self.constant and self.thing is not None and self.thing is constant.thing:
                return type(self), (constant,)
        return super().__reduce__()

    @property
    def engine(self) -> MessageEngine:
        """What moves its bytes."""
        return self.held().engine

    def Free(self) -> None:
        """Gives it up."""
        comm_state = self.held()
        self.keyvals.delete_all(self, comm_state.attributes)
        super().Free()

    def Disconnect(self) -> None:
        """`Free`, when all ranks have called it."""
        self.Barrier()
        self.Free()

    def Abort(self, errorcode: int = 0) -> NoReturn:
        """Ends the job, with `errorcode` as its exit status, or 1 in place of 0. Never returns, whatever the program catches."""
        m = self.held()
        m.engine.monitor.abort(ProgramExited(f"rank {m.rank} called Abort({errorcode}): exit status {errorcode & 0xFF or 1}"))

    def _made(self, comm_state: CommState | None) -> Any:
        """Return the communicator of a state, as a class that its topology asks for; COMM_NULL on a rank that is left out."""
        if comm_state is None:
            return COMM_NULL
        return CLASSES.get(type(comm_state.topology), Intracomm).of(comm_state)

    @classmethod
    def Get_parent(cls) -> Intercomm:
        """The null communicator: a job has no parent."""
        return Intercomm()  # type: ignore[no-any-return]


class Intracomm(TopologyCalls, Comm):
    """A communicator of one group; the only kind there is."""

    __module__ = "perdure.MPI"

    def Create_group(self, group: Group, tag: int = 0) -> Any:
        """The ranks of a group. Only they call it."""
        m = self.held()
        ranks = group.held().ranks
        return Intracomm.of(self._child(m, ranks, ("group", tag, ranks)))

    @classmethod
    def Create_from_group(cls, group: Group, stringtag: str = "org.mpi4py", info: Info = INFO_NULL, errhandler: Any = None) -> Any:
        """The ranks of a group of the job. Only they call it."""
        m = COMM_WORLD.held()
        ranks = group.held().ranks
        return cls.of(CommState(m.engine, ranks, ranks.index(m.engine.rank), m.child_context(("from", stringtag, ranks))))

    def Create_intercomm(self, local_leader: int, peer_comm: Intracomm, remote_leader: int, tag: int = 0) -> NoReturn:
        """Not here."""
        raise left_out("Intracomm.Create_intercomm", "perdure has no intercommunicators")

    def Spawn(self, *arguments: Any, **options: Any) -> NoReturn:
        """Not here."""
        raise left_out("Intracomm.Spawn", "the number of ranks is fixed when the job starts")

    Spawn_multiple = Accept = Connect = Spawn

    def Psend_init(self, *arguments: Any, **options: Any) -> NoReturn:
        """Not here."""
        raise left_out("Comm.Psend_init", "perdure has no partitioned communication: send the parts as messages")

    def Precv_init(self, *arguments: Any, **options: Any) -> NoReturn:
        """Not here."""
        raise left_out("Comm.Precv_init", "perdure has no partitioned communication: receive the parts as messages")


class Intercomm(Comm):
    """Only the null one: communicators of two groups are not here."""

    __module__ = "perdure.MPI"

    def __new__(cls, comm: Any = None) -> Any:
        """The null communicator."""
        if comm is not None and comm.thing is not None:
            raise TypeError("this communicator is not an Intercomm")
        return super().__new__(cls, comm)

    def Get_remote_group(self) -> Group:
        """The other group."""
        return self.Get_group()

    def Get_remote_size(self) -> int:
        """How many ranks the other group has."""
        return self.Get_size()

    remote_group = property(Get_remote_group)
    remote_size = property(Get_remote_size)

    def Merge(self, high: bool = False) -> Intracomm:
        """Both groups as one."""
        return Intracomm.of(self.held())  # type: ignore[no-any-return]


Communicator = Intracomm
COMM_NULL: Final[Comm] = Comm()
COMM_NULL.constant = "COMM_NULL"
COMM_WORLD: Final[Intracomm] = Intracomm()
COMM_WORLD.constant, COMM_WORLD._current = "COMM_WORLD", "world"
COMM_SELF: Final[Intracomm] = Intracomm()
COMM_SELF.constant, COMM_SELF._current = "COMM_SELF", "self"


def world_of(engine: MessageEngine) -> Intracomm:
    """All ranks of a generation."""
    ranks = tuple(range(engine.size))
    return Intracomm.of(CommState(engine, ranks, engine.rank, WORLD_CONTEXT, name="MPI_COMM_WORLD"))  # type: ignore[no-any-return]


_constants: Final[Scoped[dict[str, CommState]]] = Scoped()
"""What COMM_WORLD and COMM_SELF are, where a job runs."""


_singleton: Final[dict[str, CommState]] = {}
"""What they are where no job runs, once they were used."""


def _comm_states() -> dict[str, CommState]:
    found = _constants.get()
    if found is not None:
        return found
    if not _singleton and (alone := singleton.messages()) is not None:
        _singleton.update(_both(world_of(alone)))
    return _singleton if singleton.is_allowed() else {}


def _both(comm: Comm) -> dict[str, CommState]:
    m = comm.held()
    alone = CommState(m.engine, (m.engine.rank,), 0, SELF_CONTEXT, name="MPI_COMM_SELF")
    return {"world": m, "self": alone}


def bound(comm: Comm, *, to_thread: bool = False) -> AbstractContextManager[None]:
    """While the block runs, COMM_WORLD is `comm`: in this process, or only in this thread (and then not in threads that it starts)."""
    return _constants.bound(_both(comm), to_thread=to_thread)
