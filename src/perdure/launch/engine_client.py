"""The supervisor's side of an engine: commands of its machine become calls of the engine, and what the engine posts becomes events.

The machine's commands are about agents, by their numbers, which are those of the requests for their nodes; the engine has an id for each
node, which `NodeGranted` names.
"""

from __future__ import annotations

from collections.abc import Callable

from perdure.core import events as ev
from perdure.engines.protocol import (
    Engine,
    EngineAvailable,
    EngineEvent,
    EngineRecord,
    EngineUnavailable,
    EntryPoint,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    RequestPending,
    RequestRefused,
)
from perdure.errors import EngineFailed
from perdure.launch.process_table import Lines, ProcessTable


class EngineClient:
    """One job's use of an engine. All methods are for the supervisor's thread."""

    def __init__(self, engine: Engine, processes: ProcessTable, take: Callable[[ev.SupervisorEvent], None]) -> None:
        """`take` receives events of the machine, on the thread that turns the table's reactor."""
        self._engine, self._processes, self._take = engine, processes, take
        self._requested: set[int] = set()
        self._nodes: dict[int, NodeGranted] = {}
        self._agents: dict[NodeId, int] = {}
        self._lines: dict[int, Lines] = {}
        self._is_open = False

    def open(self, job: str, entry_point: EntryPoint) -> None:
        """See `Engine.open`."""
        self._engine.open(job, entry_point, lambda event: self._processes.reactor.post(lambda: self._posted(event)))
        self._is_open = True

    def record(self) -> EngineRecord | None:
        """See `Engine.record`."""
        return self._engine.record()

    def close(self) -> None:
        """See `Engine.close`. Does nothing when it was not opened."""
        if self._is_open:
            self._is_open = False
            self._engine.close()

    # ---- commands ---------------------------------------------------------------------------------------------------------

    def request(self, agent: int, replaces: int | None) -> None:
        """Request a node for an agent, in the place of another one that has ended."""
        self._requested.add(agent)
        before = self._nodes.get(replaces) if replaces is not None else None
        self._engine.request(NodeRequest(number=agent, replaces=None if before is None else before.node))

    def cancel(self, agent: int) -> None:
        """Withdraw the request for an agent."""
        self._engine.cancel(agent)

    def address(self, agent: int) -> str:
        """Return where an agent whose node is granted shall listen."""
        return self._nodes[agent].listen

    def start(self, agent: int, config: bytes, lines: Lines) -> None:
        """Start an agent on its node. `lines` receives what it sends."""
        self._lines[agent] = lines
        self._engine.start(self._nodes[agent].node, config)

    def end(self, agent: int) -> None:
        """End an agent's node."""
        if agent in self._nodes:
            self._engine.end(self._nodes[agent].node)

    def release(self, agent: int) -> None:
        """Give an agent's node back."""
        if agent in self._nodes:
            self._engine.release(self._nodes[agent].node)

    # ---- what the engine posts --------------------------------------------------------------------------------------------

    def _posted(self, event: EngineEvent) -> None:
        """EngineFailed: the event is about something that was never asked for."""
        self._check(event)
        match event:
            case NodeStarted(node=node, control=control, local_pid=pid):
                agent = self._agents[node]
                self._processes.enter(("agent", agent), control, pid, self._lines[agent])
                return
            case NodeGranted(request=agent, node=node):
                self._nodes[agent], self._agents[node] = event, agent
            case NodeEnded(node=node) if node in self._agents:
                self._processes.leave(("agent", self._agents[node]))  # its last messages count
            case _:
                pass
        self._take(event)

    def _check(self, event: EngineEvent) -> None:
        match event:
            case NodeGranted(request=number) | RequestPending(request=number) | RequestRefused(request=number):
                is_known = number in self._requested
            case EngineAvailable() | EngineUnavailable():
                is_known = True
            case _:
                is_known = event.node in self._agents
        if not is_known:
            raise EngineFailed(
                f"the engine {self._engine.name} has reported {event}, which was never asked for: does it pass perdure.testing.EngineTests?"
            )
