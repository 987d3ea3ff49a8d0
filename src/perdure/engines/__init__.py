"""Where do the processes of a node come from? An engine starts and ends agents, and says when one has ended; nothing more.

Its word is a hint: what a loss means is decided by the orchestrator.
"""

from __future__ import annotations

from typing import Protocol


class Process(Protocol):
    """A process that an engine has started."""

    pid: int

    def fileno(self) -> int:
        """Readable when the process has ended, or when nothing can keep it from ending."""

    def how_it_ended(self) -> str:
        """In words; to be called once, after that. From then on the process does nothing any more."""

    def reap(self) -> None:
        """Blocks until nothing is left of a process that has ended: the kernel may take a while to free its memory."""


class Engine(Protocol):
    """Starts processes on nodes."""

    def start(self, node: int, what: str, config: bytes, fds: tuple[int, ...]) -> Process:
        """Starts `python -m perdure.launch.processes WHAT ...` on a node. It reads `config` first; `fds` stay open in it.

        Raises:
            EngineFailed: no process could be started.
        """

    def kill(self, process: Process) -> None:
        """Ends the process and all that it has started."""
