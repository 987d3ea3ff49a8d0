"""The calls of one rank's communicator: counted on the progress page, refused where they are forbidden, their failures reported."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final, NoReturn

from perdure.core import messages as msg
from perdure.errors import GenerationRevoked, ProgramExited, UsageError
from perdure.runtime.channel import Channel
from perdure.runtime.posix import end_process
from perdure.runtime.program_threads import any_may_send
from perdure.runtime.progress_page import FRAMES, ProgressPage

_THREADS: Final = threading._active  # type: ignore[attr-defined]


class Calls:
    """Counts job calls and bytes on the progress page; the communicator's `Monitor`."""

    def __init__(
        self, page: ProgressPage, agent: Channel, report: Callable[[int, BaseException], None], wait_revoked: Callable[[int], None]
    ) -> None:
        """`report` tells the agent of an error of `main` in a generation; `wait_revoked` blocks until a generation is revoked."""
        self._page, self._agent, self._report, self._wait_revoked = page, agent, report, wait_revoked
        self.forbidden = ""
        self.generation = self.own_threads = 0
        """How many threads this process has without the program's, but with the one that runs `main`."""
        self.application_bytes = 0
        self.progressed, self.leave = page.moved, page.leave

    def enter(self, call: str) -> None:
        """A call of the communicator begins."""
        if self.forbidden:
            raise UsageError(f"{call}: {self.forbidden}")
        self._page.enter(call)

    def moved(self, nbytes: int) -> None:
        """A message was sent or received."""
        self.application_bytes += nbytes
        page = self._page
        page.frames = page.words[FRAMES] = page.frames + 1

    def has_company(self) -> bool:
        """See `Monitor.has_company`. It looks at the table behind `threading.active_count`, which takes a lock."""
        return len(_THREADS) > self.own_threads

    def waits(self, threads: Collection[int]) -> None:
        """Another thread may still send what they wait for: that is no deadlock."""
        if any_may_send(threads):
            self.progressed()

    def abort(self, error: ProgramExited) -> NoReturn:
        """Tell the agent, as if `main` had raised the error, and wait for this process's end, which another thread brings about."""
        self._report(self.generation, error)
        self._wait_revoked(self.generation)
        raise GenerationRevoked(f"generation {self.generation} is over")

    def suspect(self, rank: int) -> None:
        """A connection ended: a hint for the agent."""
        self._agent.send(msg.PeerSuspected(rank=rank))

    def failed(self, error: BaseException) -> None:
        """Another worker in this one's place may have better luck, and a third end of the same rank ends the job (rule W5)."""
        end_process(error)
