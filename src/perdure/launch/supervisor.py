"""The supervising process of a job on the embedded engine: it holds the register, has the engine start and end processes, and restarts
the orchestrator. It decides nothing about the job.

Its end is the job's end: every agent holds the reading end of a pipe (the lifeline) whose writing end is here only.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from perdure.core.plan import Plan
from perdure.engines import Engine, Process
from perdure.errors import BY_NAME, EngineFailed, InternalError
from perdure.launch.configs import AgentConfig, OrchestratorConfig, Order
from perdure.launch.striking import Hands, Striker
from perdure.runtime.orchestrator import plan_from_json

HEARTBEAT_TIMEOUT_S: Final = 3.0
"""An orchestrator that says nothing for so long is replaced; it says something every 0.1 s."""
MAX_RESTARTS: Final = 20
"""Of the orchestrator without a superstep in between; arbitrary."""
OnEvent = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class _Agent:
    number: int
    node: int
    process: Process
    ready: int
    up: bool = False
    late: bool = False
    ended: str = ""


@dataclass(slots=True)
class _Clock:
    """A moment at which something is due."""

    due: float
    action: Callable[[], None]


@dataclass(slots=True)
class _Orchestrator:
    process: Process
    sock: socket.socket
    round: int
    heard_at: float
    lines: bytes = b""


@dataclass(slots=True)
class Ending:
    """How the job ended: `error` is empty, or a name of `perdure.errors`."""

    error: str = ""
    text: str = ""
    payload: bytes = b""
    over: bool = field(default=False)


class Supervisor:
    """Runs one job. `run` may be called once."""

    def __init__(self, order: Order, engine: Engine, on_event: OnEvent) -> None:
        self._order, self._engine, self._on_event = order, engine, on_event
        self._job = os.urandom(16).hex()
        self._began = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._agents: dict[int, _Agent] = {}
        self._orchestrator: _Orchestrator | None = None
        self._rounds = self._restarts = 0
        self._register: Plan | None = None
        self._register_json: Any = None
        self._announced: set[tuple[int, int]] = set()
        self._clocks: list[_Clock] = []
        self._loadable = False
        self._ending = Ending()
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._verdicts, self._judges = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        hands = Hands(
            tell=self._emit, after=self._after, end_node=self._end_node, end_orchestrator=self._end_orchestrator,
            can_be_lost=self._can_be_lost,
        )  # fmt: skip
        self._striker = Striker(order.faults, hands)

    # ---- the life of the job ----------------------------------------------------------------------------------------------

    def run(self) -> Ending:
        """Until the job is over. Whatever ends it, no process of it is left."""
        try:
            self._emit("started", job=self._job)
            self._watch(self._striker.notices, self._striker.noticed)
            self._watch(self._verdicts, self._program_judged)
            for node in range(self._order.nodes):
                self._start_agent(node)
            self._judges.close()
            self._start_orchestrator()
            self._striker.start()
            while not self._ending.over:
                self._turn()
            return self._ending
        finally:
            self._end_everything()

    def _turn(self) -> None:
        now = time.monotonic()
        soonest = min([clock.due for clock in self._clocks], default=now + 0.5)
        for key, _ in self._selector.select(min(max(0.0, soonest - now), 0.5)):
            if self._selector.get_map().get(key.fd) is key:  # and not closed, or another's by now, because of an earlier one of these
                key.data()
        now = time.monotonic()
        for clock in [clock for clock in self._clocks if clock.due <= now]:
            self._clocks.remove(clock)
            clock.action()
        orchestrator = self._orchestrator
        if orchestrator is not None and now - orchestrator.heard_at > HEARTBEAT_TIMEOUT_S:
            self._engine.kill(orchestrator.process)
            orchestrator.heard_at = now

    def _watch(self, what: Any, react: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._clocks.append(_Clock(time.monotonic() + seconds, action))

    def _emit(self, event: str, *, t: float | None = None, **fields: Any) -> None:
        """`t` (s, monotonic): when it happened, if that is not now."""
        since = (time.monotonic() if t is None else t) - self._began
        self._on_event({"t": round(since, 6), "event": event, **fields})

    def _finish(self, error: str, text: str, payload: bytes = b"") -> None:
        self._ending = Ending(error, text, payload, over=True)
        self._emit("finished", status=error or "ok")

    def _end_everything(self) -> None:
        processes = [agent.process for agent in self._agents.values() if not agent.ended]
        if self._orchestrator is not None:
            processes.append(self._orchestrator.process)
        for process in processes:
            self._engine.kill(process)
        for process in processes:
            process.how_it_ended()
        for process in (*processes, *(agent.process for agent in self._agents.values() if agent.ended)):
            process.reap()
        self._selector.close()
        for agent in self._agents.values():
            if not agent.up and not agent.ended:
                os.close(agent.ready)
        if self._orchestrator is not None:
            self._orchestrator.sock.close()
        self._verdicts.close()
        self._judges.close()
        self._striker.close()
        for fd in (self._lifeline_read, self._lifeline_write):
            os.close(fd)

    # ---- agents -----------------------------------------------------------------------------------------------------------

    def _start_agent(self, node: int) -> None:
        number = len(self._agents) + 1
        ready_read, ready_write = os.pipe()
        order = self._order
        config = AgentConfig(
            job=self._job, parent=os.getpid(), agent=number, node=node, program=order.program, settings=order.settings, means=order.means,
            faults=list(order.faults), transport=order.transport, lifeline_fd=self._lifeline_read, ready_fd=ready_write,
            ledger_fd=self._striker.ledger, notify_fd=self._striker.notify, verdict_fd=self._judges.fileno(),
        )  # fmt: skip
        judges = [self._judges.fileno()] if self._judges.fileno() >= 0 else []  # closed when the first nodes were started
        fds = (self._lifeline_read, ready_write, self._striker.ledger, self._striker.notify, *judges)
        process = self._engine.start(node, "agent", msgspec.json.encode(config), fds)
        os.close(ready_write)
        agent = self._agents[number] = _Agent(number, node, process, ready_read)
        self._watch(ready_read, lambda: self._agent_ready(agent))
        self._watch(process, lambda: self._agent_ended(agent))
        self._after(order.settings.start_timeout_s, lambda: self._expect_up(agent))

    def _expect_up(self, agent: _Agent) -> None:
        if not agent.up and not agent.ended:
            agent.late = True
            self._engine.kill(agent.process)

    def _agent_ready(self, agent: _Agent) -> None:
        """It listens; or it has ended, which its process tells."""
        self._selector.unregister(agent.ready)
        if os.read(agent.ready, 1):
            os.close(agent.ready)
            agent.up = True
            self._introduce(agent)
            self._perhaps_no_more_nodes()

    def _introduce(self, agent: _Agent) -> None:
        self._tell(what="agent_up", agent=agent.number, node=agent.node, address=f"agent-{agent.number}", pid=agent.process.pid)

    def _perhaps_no_more_nodes(self) -> None:
        if self._loadable and all(other.up or other.ended for other in self._agents.values()):
            self._tell(what="no_more_nodes")

    def _agent_ended(self, agent: _Agent) -> None:
        self._selector.unregister(agent.process)
        agent.ended = agent.process.how_it_ended()
        self._engine.kill(agent.process)
        if agent.up:
            self._tell(what="agent_ended", agent=agent.number, how=agent.ended)
        else:
            if agent.ready in self._selector.get_map():
                self._selector.unregister(agent.ready)
            os.close(agent.ready)
            late = f"not up after {self._order.settings.start_timeout_s:g} s"
            self._emit("node_lost", node=agent.node, reason=late if agent.late else f"{agent.ended} before it was up")
        self._perhaps_no_more_nodes()
        if all(other.ended for other in self._agents.values()) and self._order.return_after_s is None:
            self._after(2.0, self._nobody_left)
        if self._order.return_after_s is not None:
            self._after(self._order.return_after_s, lambda: self._return_node(agent.node))

    def _nobody_left(self) -> None:
        """The orchestrator has had its time to say what that means."""
        if not self._ending.over:
            self._finish("EngineFailed", f"all nodes have ended: {', '.join({agent.ended for agent in self._agents.values()})}")

    def _return_node(self, node: int) -> None:
        self._start_agent(node)
        self._emit("node_returned", node=node)

    def _program_judged(self) -> None:
        """A node has tried to import the program: a bad one ends the job before it began. All try, for any of them may be lost."""
        self._selector.unregister(self._verdicts)
        text = self._verdicts.recv(1 << 17)
        if not text and any(agent.late for agent in self._agents.values()):
            return self._finish(
                "EngineFailed", f"no node was up after {self._order.settings.start_timeout_s:g} s: is the machine overloaded?"
            )
        if not text:
            return self._finish("ProgramFailed", "the program ended its process while it was imported; see its output above")
        verdict = json.loads(text)
        if verdict:
            return self._finish(verdict["error"], verdict["text"])
        self._loadable = True
        return self._perhaps_no_more_nodes()

    # ---- the orchestrator -------------------------------------------------------------------------------------------------

    def _start_orchestrator(self) -> None:
        self._rounds += 1
        ours, theirs = socket.socketpair()
        config = OrchestratorConfig(
            job=self._job, parent=os.getpid(), round=self._rounds, shape=self._order.shape, settings=self._order.settings,
            supervisor_fd=theirs.fileno(), faults=list(self._order.faults), ledger_fd=self._striker.ledger, notify_fd=self._striker.notify,
        )  # fmt: skip
        fds = (theirs.fileno(), self._striker.ledger, self._striker.notify)
        process = self._engine.start(-1, "orchestrator", msgspec.json.encode(config), fds)
        theirs.close()
        self._orchestrator = _Orchestrator(process, ours, self._rounds, time.monotonic() + HEARTBEAT_TIMEOUT_S)
        self._watch(ours, self._orchestrator_said)
        self._watch(process, self._orchestrator_ended)
        self._emit("orchestrator_started", pid=process.pid)
        self._tell(what="register", plan=self._register_json)
        for agent in list(self._agents.values()):
            if agent.up:
                self._introduce(agent)
            if agent.up and agent.ended:
                self._tell(what="agent_ended", agent=agent.number, how=agent.ended)
        self._perhaps_no_more_nodes()

    def _orchestrator_ended(self) -> None:
        assert self._orchestrator is not None
        while not self._ending.over and self._orchestrator.sock in self._selector.get_map():
            self._orchestrator_said()
        self._selector.unregister(self._orchestrator.process)
        how = self._orchestrator.process.how_it_ended()
        self._orchestrator.process.reap()
        self._orchestrator.sock.close()
        self._orchestrator = None
        if self._ending.over:
            return
        self._emit("orchestrator_lost", reason=how)
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            return self._finish("EngineFailed", f"the orchestrator ended {self._restarts} times, the last time it {how}")
        return self._start_orchestrator()

    def _tell(self, **fields: Any) -> None:
        if self._orchestrator is not None:
            try:
                self._orchestrator.sock.sendall(json.dumps(fields).encode() + b"\n")
            except OSError:
                return  # it has ended, which its process tells; the next one is told everything again

    def _orchestrator_said(self) -> None:
        orchestrator = self._orchestrator
        assert orchestrator is not None
        try:
            data = orchestrator.sock.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(orchestrator.sock)
            return
        orchestrator.heard_at = max(orchestrator.heard_at, time.monotonic())
        *lines, orchestrator.lines = (orchestrator.lines + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, fields: dict[str, Any]) -> None:
        match fields["what"]:
            case "heartbeat":
                pass
            case "propose":
                self._propose(fields["plan"])
            case "kill":
                self._engine.kill(self._agents[fields["agent"]].process)
            case "event":
                self._publish(fields["event"], fields["fields"])
            case "finish":
                self._finish(fields["error"], fields["text"], base64.b64decode(fields["payload"]))
            case other:
                raise InternalError(f"the orchestrator said {other!r}")

    def _propose(self, plan: Any) -> None:
        """The register: the first plan of a generation is its plan (rule D0)."""
        proposed = plan_from_json(plan)
        assert proposed is not None
        if self._register is None or proposed.generation == self._register.generation + 1:
            self._register, self._register_json = proposed, plan
        self._tell(what="register", plan=self._register_json)

    def _publish(self, event: str, fields: dict[str, Any]) -> None:
        """Events go out once, although a new orchestrator learns of everything again."""
        if event == "agent_started":
            seen = (fields["node"], fields["pid"])
            if seen in self._announced:
                return
            self._announced.add(seen)
        if event == "committed":
            self._restarts = 0
        if event in ("committed", "node_lost", "worker_lost"):
            self._striker.undisturbed = event == "committed"
        self._emit(event, **fields)

    # ---- faults -----------------------------------------------------------------------------------------------------------

    def _end_node(self, node: int) -> None:
        for agent in self._agents.values():
            if agent.node == node and not agent.ended:
                self._engine.kill(agent.process)

    def _end_orchestrator(self) -> None:
        if self._orchestrator is not None:
            self._engine.kill(self._orchestrator.process)

    def _can_be_lost(self) -> list[int]:
        """Nodes with ranks that the parity covers, one at a time."""
        plan = self._register
        if plan is None or len(plan.agents()) < 2:
            return []
        return [
            agent.node
            for agent in self._agents.values()
            if agent.number in plan.agents()
            and not agent.ended
            and all(sum(plan.agent_of(rank) == agent.number for rank in group) <= plan.parity for group in plan.groups)
        ]


def error_of(ending: Ending) -> Exception | None:
    """The exception that `perdure.run` raises, if any."""
    if not ending.error:
        return None
    return BY_NAME.get(ending.error, EngineFailed)(ending.text)
