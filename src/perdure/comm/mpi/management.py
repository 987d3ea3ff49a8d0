"""What a communicator knows of itself: ranks, name, group, attributes, info, error handler; and communicators made of it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, NoReturn

from perdure.comm.collectives.objects import all_gather_objects
from perdure.comm.datatypes.memory import memory_of
from perdure.comm.definitions import constants as c
from perdure.comm.definitions.attributes import Attributed
from perdure.comm.definitions.failures import ErrorClass, MPIException, left_out
from perdure.comm.messaging.comm_state import CommState
from perdure.comm.messaging.operations import NullOperation
from perdure.comm.messaging.requests import Request
from perdure.comm.mpi.groups import Group, Ranks
from perdure.comm.mpi.infos import ERRORS_RETURN, INFO_NULL, Errhandler, Info, InfoItems

SHARED_RESOURCES = ("mpi_shared_memory",)
"""Values of the key `mpi_hw_resource_type` that mean something here."""


class Management(Attributed):
    """A part of `Comm`."""

    if TYPE_CHECKING:
        thing: Any

        def held(self) -> CommState: ...
        @classmethod
        def of(cls, thing: CommState) -> Any: ...
        def _made(self, comm_state: CommState | None) -> Any: ...

    # ---- ranks ----------------------------------------------------------------------------------------------------------------

    def Get_rank(self) -> int:
        """This rank."""
        return self.held().rank

    def Get_size(self) -> int:
        """How many ranks there are."""
        return len(self.held().ranks)

    @property
    def rank(self) -> int:
        """This rank."""
        return self.held().rank

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return len(self.held().ranks)

    def Get_group(self) -> Group:
        """Its ranks."""
        m = self.held()
        return Group.of(Ranks(m.ranks, m.engine.rank))  # type: ignore[no-any-return]

    group = property(Get_group)

    def Compare(self, comm: Management) -> int:
        """IDENT, CONGRUENT (same ranks in the same order), SIMILAR (another order) or UNEQUAL."""
        one, other = self.held(), comm.held()
        if one is other:
            return c.IDENT
        if one.ranks == other.ranks:
            return c.CONGRUENT
        return c.SIMILAR if sorted(one.ranks) == sorted(other.ranks) else c.UNEQUAL

    def Is_inter(self) -> bool:
        """Never: there are no intercommunicators."""
        self.held()
        return False

    def Is_intra(self) -> bool:
        """Always."""
        self.held()
        return True

    is_inter = property(Is_inter)
    is_intra = property(Is_intra)

    def Get_topology(self) -> int:
        """CART, GRAPH, DIST_GRAPH, or UNDEFINED."""
        topology = self.held().topology
        return c.UNDEFINED if topology is None else topology.kind

    topology = property(Get_topology)

    @property
    def is_topo(self) -> bool:
        """Does it have a topology?"""
        return self.thing is not None and self.held().topology is not None

    # ---- communicators made of it ---------------------------------------------------------------------------------------------

    def Dup(self, info: Info | None = None) -> Any:
        """The same ranks, and messages of their own."""
        m = self.held()
        copy = self._child(m, m.ranks, ("dup",))
        copy.topology, copy.errhandler = m.topology, m.errhandler
        copy.info = dict(m.info) if info is None else dict(info.items())
        self.keyvals.copy(self, m.attributes, copy.attributes)
        return type(self).of(copy)

    def Dup_with_info(self, info: Info) -> Any:
        """`Dup` with hints of its own."""
        return self.Dup(info)

    def Clone(self) -> Any:
        """`Dup`."""
        return self.Dup()

    def Idup(self, info: Info | None = None) -> tuple[Any, Request]:
        """`Dup`, which is complete at once."""
        return self.Dup(info), _over(self.held(), "Idup")

    def Idup_with_info(self, info: Info) -> tuple[Any, Request]:
        """`Dup_with_info`, which is complete at once."""
        return self.Idup(info)

    def Create(self, group: Group) -> Any:
        """The ranks of a group; COMM_NULL on the others. All ranks call it."""
        m = self.held()
        ranks = group.held().ranks
        if not set(ranks) <= set(m.ranks):
            raise MPIException(ErrorClass.GROUP, "the group has ranks that are not in the communicator")
        return self._child_if(m.engine.rank in ranks, m, ranks, ("create", ranks))

    def Split(self, color: int = 0, key: int = 0) -> Any:
        """Ranks of the same color, ordered by key; COMM_NULL for the color UNDEFINED. All ranks call it."""
        m = self.held()
        if color < 0 and color != c.UNDEFINED:
            raise MPIException(ErrorClass.ARG, f"a color must not be negative, as {color} is")
        everyone = all_gather_objects(m, "comm.Split", (color, key))
        mine = sorted((its_key, rank) for rank, (its, its_key) in enumerate(everyone) if its == color)
        return self._child_if(color != c.UNDEFINED, m, tuple(m.ranks[rank] for _, rank in mine), ("split",))

    def Split_type(self, split_type: int, key: int = 0, info: Info = INFO_NULL) -> Any:
        """Ranks that share memory (COMM_TYPE_SHARED, or by the info's `mpi_hw_resource_type`). All ranks call it."""
        m = self.held()
        guided = split_type in (c.COMM_TYPE_HW_GUIDED, c.COMM_TYPE_RESOURCE_GUIDED)
        shares = split_type == c.COMM_TYPE_SHARED or (guided and info.get("mpi_hw_resource_type") in SHARED_RESOURCES)
        hosts = all_gather_objects(m, "comm.Split_type", platform.node())
        return self.Split(hosts.index(platform.node()) if shares else c.UNDEFINED, key)

    def _child(self, m: CommState, ranks: tuple[int, ...], made_by: tuple[Any, ...]) -> CommState:
        return CommState(m.engine, ranks, ranks.index(m.engine.rank), m.child_context(made_by))

    def _nothing(self, m: CommState, made_by: tuple[Any, ...]) -> None:
        """A rank that is left out counts all the same, so that contexts agree."""
        m.child_context(made_by)

    def _child_if(self, member: bool, m: CommState, ranks: tuple[int, ...], made_by: tuple[Any, ...]) -> Any:
        """The communicator of `ranks`; COMM_NULL on a rank that is not among them."""
        if not member:
            self._nothing(m, made_by)
            return self._made(None)
        return self._made(self._child(m, ranks, made_by))

    # ---- what is attached -------------------------------------------------------------------------------------------------------

    def Get_name(self) -> str:
        """Its name."""
        return "MPI_COMM_NULL" if self.thing is None else self.held().name

    def Set_name(self, name: str) -> None:
        """Gives it a name."""
        self.held().name = name

    name = property(Get_name, Set_name)

    def Get_info(self) -> Info:
        """Its hints."""
        return Info.of(InfoItems(self.held().info))  # type: ignore[no-any-return]

    def Set_info(self, info: Info) -> None:
        """Adds hints, which mean nothing here."""
        self.held().info.update(info.items())

    info = property(Get_info, Set_info)

    @classmethod
    def Create_errhandler(cls, errhandler_fn: Any) -> Errhandler:
        """A handler for `Call_errhandler`."""
        return Errhandler.create(errhandler_fn)

    def Get_errhandler(self) -> Errhandler:
        """Its handler."""
        return Errhandler.of(self.held().errhandler or ERRORS_RETURN.held())  # type: ignore[no-any-return]

    def Set_errhandler(self, errhandler: Errhandler) -> None:
        """Sets its handler."""
        self.held().errhandler = errhandler.held()

    def Call_errhandler(self, errorcode: int) -> None:
        """Calls the handler; without one of the program's own the error is raised."""
        handler = self.held().errhandler
        if handler is not None and handler.function is not None:
            handler.function(self, errorcode)
        elif errorcode and (handler is None or handler.constant is not ERRORS_RETURN):
            raise MPIException(errorcode)

    # ---- buffers for Bsend, which needs none ------------------------------------------------------------------------------------

    def Attach_buffer(self, buf: Any) -> None:
        """Remembers a buffer; sends in buffered mode do without."""
        if buf is not c.BUFFER_AUTOMATIC:
            memory_of(buf, writable=True)
        self.held().buffer = buf

    def Detach_buffer(self) -> Any:
        """Gives it back."""
        m = self.held()
        buffer, m.buffer = m.buffer, None
        return buffer

    def Flush_buffer(self) -> None:
        """Nothing waits in it."""
        self.held()

    def Iflush_buffer(self) -> Request:
        """Complete at once."""
        return _over(self.held(), "Iflush_buffer")

    # ---- left out ---------------------------------------------------------------------------------------------------------------

    def Revoke(self) -> None:
        """Not here: perdure revokes by itself."""
        raise left_out("Comm.Revoke", "perdure revokes a generation automatically")

    def Shrink(self) -> None:
        """Not here: perdure replaces ranks by itself."""
        raise left_out("Comm.Shrink", "perdure replaces lost ranks automatically")

    def Agree(self, flag: int) -> int:
        """Not here."""
        raise left_out("Comm.Agree", "use allreduce; the loss of a rank unwinds main on all ranks")

    def Is_revoked(self) -> bool:
        """Not here: a revoke unwinds `main`."""
        raise left_out("Comm.Is_revoked", "a revoked generation unwinds main, so running code is never in one")

    def Get_failed(self) -> NoReturn:
        """Not here: lost ranks are replaced."""
        raise left_out("Comm.Get_failed", "perdure replaces lost ranks automatically")

    def Ack_failed(self, num_to_ack: int | None = None) -> int:
        """Not here."""
        raise left_out("Comm.Ack_failed", "perdure replaces lost ranks automatically")

    def Iagree(self, flag: Any) -> Request:
        """Not here."""
        raise left_out("Comm.Iagree", "use Iallreduce; the loss of a rank unwinds main on all ranks")

    def Ishrink(self) -> NoReturn:
        """Not here."""
        raise left_out("Comm.Ishrink", "perdure replaces lost ranks automatically")

    @classmethod
    def Join(cls, fd: int) -> None:
        """Not here."""
        raise left_out("Comm.Join", "perdure has no dynamic processes")


def _over(m: CommState, what: str) -> Request:
    """The request of a call that is complete at once."""
    with m.inside(f"comm.{what}"):
        return Request.begun(m.engine, NullOperation(receives=False, what=what))
