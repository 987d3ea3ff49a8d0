"""A rank that prints while nobody reads: it waits, is not hung, and leaves the wait when its generation is over."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from perdure.core.progress import OUTPUT
from perdure.errors import GenerationRevoked
from perdure.runtime.lines import end_lines, pass_gate
from perdure.runtime.progress_page import ProgressPage


class OutputGate:
    """See `lines.Gate`."""

    def __init__(self, page: ProgressPage, revoked: Callable[[], int]) -> None:
        self._page, self._revoked = page, revoked
        self._generation = 0
        """The one in which `main` runs; 0: it does not run."""
        pass_gate(self)

    def open(self, generation: int) -> None:
        """`main` is entered: from now on a revoke of this generation ends the wait."""
        self._generation = generation

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """See `lines.Gate.waiting`. A thread of the program waits without a mark: the rank goes on."""
        if threading.current_thread() is not threading.main_thread() or self._page.is_inside:
            yield
            return
        self._page.enter(OUTPUT)
        try:
            yield
        finally:
            self._page.leave()

    def check(self) -> None:
        """See `lines.Gate.check`."""
        if self._generation and self._revoked() >= self._generation:
            raise GenerationRevoked(f"generation {self._generation} is over")

    @staticmethod
    def end_lines() -> None:
        """Write what the rank printed without an end of line, unless a revoke finds it waiting: then it is written later."""
        with contextlib.suppress(GenerationRevoked):
            end_lines()
