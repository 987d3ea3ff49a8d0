"""What an engine reports of its nodes, but for the stream to a node that it has started (`engines.protocol.NodeStarted`).

Each is a hint: it may come late or twice, and what the loss of a node means is the orchestrator's matter (rules T1, L9).
"""

from __future__ import annotations

from perdure.core.ids import NodeId
from perdure.core.records import Record


class NodeGranted(Record, frozen=True, kw_only=True):
    """A request has got a node, which may be started now, and is the job's until it is released. `listen`: the address at which its agent
    listens (`perdure.streams.addresses`)."""

    request: int
    node: NodeId
    listen: str


class RequestPending(Record, frozen=True, kw_only=True):
    """A request will be answered later, and `reason` says why: "queued behind job 17". From then on nothing limits how long it takes."""

    request: int
    reason: str


class RequestRefused(Record, frozen=True, kw_only=True):
    """There is no node for a request, and there will be none."""

    request: int
    reason: str


class StartRefused(Record, frozen=True, kw_only=True):
    """The node cannot be started. It is to be released."""

    node: NodeId
    reason: str


class NodeDraining(Record, frozen=True, kw_only=True):
    """The node will end: the engine needs its machine. `deadline_s`: in how many seconds; None: unknown."""

    node: NodeId
    deadline_s: float | None
    reason: str


class NodeEnded(Record, frozen=True, kw_only=True):
    """The node has ended. Posted once for each node that was started, after all that the node has sent can be received.

    Attributes:
        how: in words, such as "killed by SIGKILL".
        is_certain: the kernel or the parent of its processes reports it. False: something between here and there has ended; the node may
            still run, and the supervisor has the engine end it.
    """

    node: NodeId
    how: str
    is_certain: bool


class EngineUnavailable(Record, frozen=True, kw_only=True):
    """The engine's control plane cannot be reached. Nodes go on; calls may be lost until `EngineAvailable`."""

    reason: str


class EngineAvailable(Record, frozen=True, kw_only=True):
    """The engine's control plane can be reached again. `nodes`: those that the job holds; what is not among them has ended."""

    nodes: tuple[NodeId, ...]


NodeEvent = StartRefused | NodeDraining | NodeEnded
"""Of one node."""
RequestEvent = NodeGranted | RequestPending | RequestRefused
"""The answers to a request."""
