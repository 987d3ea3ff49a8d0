"""The protocol of engines: the calls of an `Engine`, and the events that it posts.

    supervisor ── request(number) ──> engine        engine ── RequestPending*, then NodeGranted or RequestRefused ──> supervisor
               ── start(node)     ──>                      ── NodeStarted or StartRefused; later NodeEnded        ──>
               ── end(node)       ──>                      ── NodeEnded                                           ──>
               ── release(node)   ──>                      (nothing)

Theory of operation:

1. A node is a place for one agent and its workers. It has an id, which the engine chooses and never uses again: a machine that comes back
   is a new node. The numbers that events of the job show are the supervisor's (`core.supervisor`).
2. All calls come from one thread and return at once. Answers are events, posted from any thread, also from within a call.
3. Calls may be repeated: a request with the same number is the same request, and `start`, `end`, `release` and `cancel` of what is done
   already do nothing. After `EngineAvailable` the supervisor repeats what may have been lost.
4. Events are hints. What the loss of a node means is the orchestrator's matter (rule T1).
5. An engine hands over one stream to each node that it starts (`NodeStarted.control`). From then on it carries nothing. The end of that
   stream ends the node (rule T7), so nothing is left of a job whose supervisor is killed. An engine whose nodes are reached by something
   else than a connection joins one end of `perdure.streams.pairs.pair` to it.

No call and no event needs a process or a descriptor of this machine. An engine may have threads, selectors and child processes of its own.

An engine may have a record, which is a store outside its nodes (`EngineRecord`). The job's register lies there; without a record, it lies
in the supervisor's memory.

Not asked of engines, because nothing would use it: a place for the next supervisor (the job ends with its supervisor), and sizes or labels
that a requested node must have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from perdure.core.engine_events import (
    EngineAvailable,
    EngineUnavailable,
    NodeDraining,
    NodeEnded,
    NodeEvent,
    NodeGranted,
    RequestEvent,
    RequestPending,
    RequestRefused,
    StartRefused,
)
from perdure.core.ids import NodeId
from perdure.streams.protocol import Stream

if TYPE_CHECKING:
    from perdure.comm.transports import Kind  # for the annotation only: processes that need no communicator import this module

EntryPoint = tuple[str, ...]
"""The program that runs on a node: the words after `python -P -m`, to which an engine adds those of `engines.entry`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The capabilities of an engine, known before it is opened.

    Attributes:
        transports: the transports between ranks on its nodes, the fastest first.
        shares_memory: all nodes take their memory from this machine.
        nodes_max: how many nodes it has; None: as many as are asked for.
        labels: of the nodes that the first requests get, in the order of these requests, as far as the engine knows any.
    """

    transports: tuple[Kind, ...]
    shares_memory: bool
    nodes_max: int | None = None
    labels: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """A request for one node.

    Attributes:
        number: of the request, unique in the job.
        replaces: a node that has ended and that this one stands for: the same machine, where there is one and it is free.
    """

    number: int
    replaces: NodeId | None = None


# ---- what an engine reports, besides `core.engine_events` -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted:
    """The first process of a node runs, or is about to.

    Attributes:
        control: the stream to it, the receiver's to close.
        local_pid: a process of this machine that the node depends on, such as its first one, or the shell that leads to it; 0: there is
            none. It is looked at (has a signal stopped it?), and injected faults strike it.
    """

    node: NodeId
    control: Stream
    local_pid: int = 0


EngineEvent = RequestEvent | NodeStarted | NodeEvent | EngineUnavailable | EngineAvailable
Post = Callable[[EngineEvent], None]
"""Takes an event from any thread; never waits."""


class EngineRecord(Protocol):
    """A store outside the nodes. `create` is its compare-and-set: of several creates of one key, the first one wins, in whichever process.

    Each call may block, for example on a network. One thread calls it, which is not the thread of the engine's calls. All calls raise
    OSError or EngineFailed if the store cannot be reached; the caller repeats them, so a call that has raised may have had its effect.
    """

    def create(self, key: str, value: bytes) -> bytes | None:
        """Store the value of a key that has none, and return None; or return the value that the key has. The value survives the caller."""

    def read(self, key: str) -> bytes | None:
        """Return the value of a key, always whole; None: it has none."""

    def keys(self, prefix: str) -> Sequence[str]:
        """Return the keys that begin with `prefix`, ascending."""

    def forget(self, prefix: str) -> None:
        """Remove the keys that begin with `prefix`, and what writers that have ended left of them."""


# ---- what is asked of it --------------------------------------------------------------------------------------------------


class Engine(Protocol):
    """An engine: it provides nodes, starts and ends processes on them, and reports their changes.

    It is opened for one job at a time, and may be opened again after `close`.

    Attributes:
        name: as `perdure run --engine` has it.
        capabilities: what it can do.
    """

    name: str
    capabilities: Capabilities

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        """Begin to serve a job. `entry_point` runs on each node that is started. `post` takes all events until `close` returns."""

    def request(self, request: NodeRequest) -> None:
        """Ask for a node. `NodeGranted`, `RequestPending` or `RequestRefused` follows."""

    def cancel(self, number: int) -> None:
        """Withdraw a request. It may have been granted just now: then the node is to be released."""

    def start(self, node: NodeId, config: bytes) -> None:
        """Start the entry point on a node that was granted, and hand `config` over to it. `NodeStarted` or `StartRefused` follows."""

    def end(self, node: NodeId) -> None:
        """End all processes of a node, as far as the engine reaches them; `NodeEnded` follows."""

    def release(self, node: NodeId) -> None:
        """Give a node back that has ended, was not started, or is of no use; what still runs there is ended."""

    def record(self) -> EngineRecord | None:
        """Return the engine's record, which is usable from `open` to `close`; None: it has none. Returns at once."""

    def close(self) -> None:
        """End and release all nodes, and withdraw all requests. Blocks until nothing is left, as far as the engine reaches it."""


__all__ = [
    "Capabilities", "Engine", "EngineAvailable", "EngineEvent", "EngineRecord", "EngineUnavailable", "EntryPoint", "NodeDraining",
    "NodeEnded", "NodeGranted", "NodeId", "NodeRequest", "NodeStarted", "Post", "RequestPending", "RequestRefused", "StartRefused",
]  # fmt: skip
