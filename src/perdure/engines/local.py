"""The embedded engine: a node is a group of processes of this machine."""

from __future__ import annotations

from perdure.comm.transports import BETWEEN_PROCESSES
from perdure.engines.process_groups import ProcessGroup, ProcessGroups, start_group
from perdure.engines.protocol import (
    Capabilities,
    EntryPoint,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    Post,
    StartRefused,
)
from perdure.errors import EngineFailed
from perdure.streams.addresses import unix_address


class LocalEngine:
    """The engine whose nodes are process groups of this machine. It grants every request, and reports ends as certain: the kernel confirms
    them."""

    name = "local"
    capabilities = Capabilities(transports=BETWEEN_PROCESSES, shares_memory=True)

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        """See `Engine.open`."""
        self._job, self._entry_point, self._post = job, entry_point, post
        self._processes = ProcessGroups("nodes of this machine")
        self._granted: dict[int, NodeId] = {}
        self._nodes: dict[NodeId, ProcessGroup | None] = {}
        """The process group of each node; None: not started yet."""

    def listen_address(self, name: str) -> str:
        """Return where the agent of a node shall listen. `name` is unique in the world."""
        return unix_address(name)

    def request(self, request: NodeRequest) -> None:
        """See `Engine.request`."""
        if request.number in self._granted:
            return
        node = self._granted[request.number] = NodeId(f"local/{request.number}")
        self._nodes[node] = None
        self._post(
            NodeGranted(request=request.number, node=node, listen=self.listen_address(f"perdure-{self._job}-agent-{request.number}"))
        )

    def cancel(self, number: int) -> None:
        """See `Engine.cancel`: every request was granted."""

    def start(self, node: NodeId, config: bytes) -> None:
        """See `Engine.start`."""
        if node not in self._nodes or self._nodes[node] is not None:
            return
        try:
            group = self._nodes[node] = start_group(self._entry_point, config, is_node=True)
        except EngineFailed as error:
            self._post(StartRefused(node=node, reason=str(error)))
            return
        self._post(NodeStarted(node=node, control=group.control, local_pid=group.pid))
        self._processes.watch(group, lambda how: self._post(NodeEnded(node=node, how=how, is_certain=True)))

    def end(self, node: NodeId) -> None:
        """See `Engine.end`."""
        group = self._nodes.get(node)
        if group is not None:
            self._processes.kill(group)

    def release(self, node: NodeId) -> None:
        """See `Engine.release`."""
        self.end(node)
        self._nodes.pop(node, None)

    def record(self) -> None:
        """See `Engine.record`: it has none."""

    def close(self) -> None:
        """See `Engine.close`."""
        self._processes.close()
        self._nodes.clear()
