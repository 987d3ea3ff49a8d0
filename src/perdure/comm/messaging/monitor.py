"""What messages report to the process around them: calls that begin and end, bytes that move, peers that are gone."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn, Protocol

from perdure.errors import ProgramExited


class Monitor(Protocol):
    """What the runtime wants to know of the communicator. Called by the threads that are inside calls, one at a time."""

    def enter(self, call: str) -> None:
        """A public call begins; may raise `UsageError` or `GenerationRevoked`."""

    def leave(self) -> None:
        """It ends."""

    def moved(self, nbytes: int) -> None:
        """So many bytes of the application were sent or received."""

    def progressed(self) -> None:
        """Bytes of a message that is still in transit have moved."""

    def has_company(self) -> bool:
        """Does the rank have more threads than the one that calls? Then `waits` is called now and then."""

    def waits(self, threads: Collection[int]) -> None:
        """The rank has waited in calls of these threads, by identifier, and nothing has happened. Called now and then."""

    def abort(self, error: ProgramExited) -> NoReturn:
        """The program ends the job. Called by any thread, which goes no further."""

    def suspect(self, rank: int) -> None:
        """The connection of a rank ended although the generation is not revoked: a hint."""

    def failed(self, error: BaseException) -> None:
        """Nobody can connect to this rank any more. Called by the thread that accepts connections, which ends."""
