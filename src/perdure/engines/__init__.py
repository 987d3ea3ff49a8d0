"""Where do the processes of a node come from? An engine starts and ends agents, and says when one has ended; nothing more.

Its word is a hint: what a loss means is decided by the orchestrator.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from perdure.comm.transports import Kind
from perdure.runtime.control_stream import ControlStream

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""A rank is one core's worth of work, and sums must not depend on how many cores a node has (rule P3). What the environment says, counts;
hashes must be the same in all processes, so there a `random` does not."""


def job_environment() -> dict[str, str]:
    """What the environment of every process of a job has in common (rule P3)."""
    found = {name: os.environ.get(name, "1") for name in ONE_THREAD}
    seed = os.environ.get("PYTHONHASHSEED", "")
    return found | {"PYTHONHASHSEED": seed if seed.isdecimal() else "0"}


NODE_MARK: Final = "PERDURE_NODE"
"""A variable in the environment of all processes of a node, and of what they start: a child that leaves the session, and whose parent is
gone, is found by it. One that has emptied its environment as well is found only while its worker or agent lives."""


class Process(Protocol):
    """A process that an engine has started. `control`: the stream to it, whose end ends the process (rule T7)."""

    pid: int
    control: ControlStream

    def fileno(self) -> int:
        """Readable when the process has ended, or when nothing can keep it from ending."""

    def how_it_ended(self) -> str:
        """In words; to be called once, after that. From then on the process does nothing any more, as far as this machine can know."""

    def sweep(self) -> None:
        """End what the node has started and that has left it, as a session of its own. To be called after the node's end."""

    def reap(self) -> None:
        """Blocks until nothing is left of a process that has ended: the kernel may take a while to free its memory."""


class Engine(Protocol):
    """Starts processes on nodes.

    Attributes:
        name: as `perdure run --engine` has it.
        nodes_max: how many nodes it has; None: as many as are asked for.
        transports: what ranks on its nodes can talk through, the best first.
        shares_memory: all nodes take their memory from one machine.
        labels: of each node, in their order, as far as the engine knows any.
    """

    name: str
    nodes_max: int | None
    transports: tuple[Kind, ...]
    shares_memory: bool
    labels: Sequence[Mapping[str, str]]

    def address(self, node: int, name: str) -> str:
        """Where an agent of a node shall listen; see `perdure.streams.addresses`. `name` is unique in the world."""

    def start(self, node: int, what: str, config: bytes) -> Process:
        """Starts `perdure.launch.entrypoints` on a node, as "agent", or beside this process, as "orchestrator". It reads `config` first.

        Raises:
            EngineFailed: no process could be started.
        """

    def kill(self, process: Process) -> None:
        """Ends the process and all that it has started. May be said again."""
