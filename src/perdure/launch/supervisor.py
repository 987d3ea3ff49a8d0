"""The supervising process of a job: it drives `core.supervisor`, as `sim.supervisor` does in virtual time.

1. What happens becomes an event: what the engine posts, messages and ends of processes, answers of the register, processes that a signal
   has stopped, time.
2. The machine's commands are carried out, in order: the engine has and starts nodes, orchestrators run beside this process, streams carry
   messages, events go to readers.

The process decides nothing. Its end is the job's end: every process that an engine has started holds one end of a stream whose other end
is here only (rule T7).
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import supervisor as machine
from perdure.core.job_events import JobEvent, TimedEvent
from perdure.core.records import replace
from perdure.core.supervisor import SupervisorState
from perdure.engines import Engine
from perdure.engines.process_groups import ProcessGroup, ProcessGroups, start_group
from perdure.errors import EngineFailed, InternalError
from perdure.launch.configs import AgentConfig, JobSpec
from perdure.launch.ending import Ending
from perdure.launch.engine_client import EngineClient
from perdure.launch.fault_scheduler import FaultActions, FaultScheduler, can_spare
from perdure.launch.orchestrator_entry import OrchestratorConfig
from perdure.launch.process_table import ProcessTable
from perdure.launch.record_register import ImmediateRegister, JobRegister, ThreadedRegister
from perdure.wire import WireError, control_lines

TURN_S: Final = 0.5
"""Between two ticks of the machine, and between two looks for processes that a signal has stopped. Arbitrary."""
ENTRY_POINT: Final = "perdure.launch.entrypoints"
"""The module of all processes of a job."""
OnEvent = Callable[[TimedEvent], None]


class Supervisor:
    """Runs one job. `run` may be called once."""

    def __init__(self, spec: JobSpec, engine: Engine, on_event: OnEvent) -> None:
        self._spec, self._shares_memory, self._on_event = spec, engine.capabilities.shares_memory, on_event
        self._job, self._token = secrets.token_hex(16), secrets.token_hex(32)
        self._began = time.monotonic()
        self._state = SupervisorState(settings=spec.settings, return_after_s=spec.return_after_s)
        self._processes = ProcessTable()
        self._nodes = EngineClient(engine, self._processes, self._take)
        self._orchestrators = ProcessGroups("orchestrators")
        self._groups: dict[int, ProcessGroup] = {}
        """The processes of orchestrators."""
        self._events: deque[ev.SupervisorEvent] = deque()
        """Events that the commands of the previous event have caused."""
        self._register: JobRegister = ImmediateRegister(self._events.append)
        self._ending: Ending | None = None
        self._looked_at = 0.0
        """The time of the last search for stopped processes."""
        actions = FaultActions(
            publish=self._emit, after=self._processes.reactor.after, end_node=self._end_node, end_orchestrator=self._end_orchestrator,
            can_be_lost=self._can_be_lost, processes=self._pids,
        )  # fmt: skip
        self._fault_scheduler = FaultScheduler(spec.faults, actions)

    def run(self) -> Ending:
        """Until the job is over. Whatever ends it, no process of it is left."""
        try:
            self._nodes.open(self._job, (ENTRY_POINT, "agent"))
            if (record := self._nodes.record()) is not None:
                self._register = ThreadedRegister(record, self._job, self._processes.reactor, self._take)
            self._take(ev.JobBegun(job=self._job, nodes=tuple(range(self._spec.nodes))))
            self._fault_scheduler.start()
            while self._ending is None:
                self._turn()
            return self._ending
        finally:
            self._processes.close([self._orchestrators.close, self._register.close, self._nodes.close])

    def _turn(self) -> None:
        now = time.monotonic()
        due = max(now, min(machine.deadline(self._state), now + TURN_S))
        self._processes.reactor.turn(due)
        if time.monotonic() - self._looked_at >= TURN_S:
            self._look_for_stopped()
        if (late_s := time.monotonic() - due) >= 0.0:
            self._take(ev.Tick(late_s=late_s))

    def _look_for_stopped(self) -> None:
        self._looked_at = time.monotonic()
        agents, orchestrators = machine.observed(self._state)
        stopped = self._processes.stopped
        self._take(ev.StoppedFound(agents=stopped("agent", agents), orchestrators=stopped("orchestrator", orchestrators)))

    def _take(self, event: ev.SupervisorEvent) -> None:
        """One step of the machine, its commands, and the steps that these lead to."""
        self._events.append(event)
        while self._events:
            for command in machine.step(self._state, self._events.popleft(), time.monotonic()):
                self._execute(command)

    # ---- commands ---------------------------------------------------------------------------------------------------------

    def _execute(self, command: do.SupervisorCommand) -> None:
        match command:
            case do.Publish(event=event):
                self._fault_scheduler.published(event)
                self._emit(event)
            case do.Finish(error=error, text=text, payload=payload):
                self._ending = Ending(error, text, payload)
            case do.RequestNode(agent=agent, replaces=replaces):
                self._nodes.request(agent, replaces)
            case do.CancelRequest(agent=agent):
                self._nodes.cancel(agent)
            case do.StartNode():
                self._start_node(command)
            case do.EndNode(agent=agent):
                self._nodes.end(agent)
            case do.ReleaseNode(agent=agent):
                self._nodes.release(agent)
            case do.SendToNode(agent=agent, message=message):
                self._processes.send(("agent", agent), message)
            case do.StartOrchestrator(orchestrator=number):
                self._start_orchestrator(number)
            case do.EndOrchestrator(orchestrator=number):
                self._kill_orchestrator(number)
            case do.SendToOrchestrator(orchestrator=number, message=to_orchestrator):
                self._processes.send(("orchestrator", number), to_orchestrator)
            case do.ReadRegister(orchestrator=number):
                self._register.read(number)
            case do.CreatePlan(orchestrator=number, plan=plan):
                self._register.create(number, plan)
            case do.NotePlan(plan=plan):
                self._register.note(plan)
            case do.TakeFault(index=index, at=at):
                self._fault_scheduler.take(index, at)
            case _:
                assert_never(command)

    def _emit(self, event: JobEvent, t: float | None = None) -> None:
        """`t` (s, monotonic): when it happened, if that is not now."""
        since = (time.monotonic() if t is None else t) - self._began
        self._on_event(TimedEvent(t=round(since, 6), event=event))

    def _start_node(self, command: do.StartNode) -> None:
        spec, number, node = self._spec, command.agent, command.node
        config = AgentConfig(
            job=self._job, token=self._token, address=self._nodes.address(number), agent=number, node=node, program=spec.program,
            ranks=spec.shape.ranks, settings=spec.settings, parameters=spec.parameters, measures_memory=not self._shares_memory,
            faults=list(spec.faults), spent=list(command.spent), transport=spec.transport,
        )  # fmt: skip
        self._nodes.start(number, msgspec.json.encode(config), lambda lines, _: self._node_sent(number, node, lines))

    def _start_orchestrator(self, number: int) -> None:
        spec = self._spec
        config = OrchestratorConfig(job=self._job, token=self._token, shape=spec.shape, settings=spec.settings, faults=list(spec.faults))
        try:
            group = start_group((ENTRY_POINT, "orchestrator"), msgspec.json.encode(config), is_node=False)
        except EngineFailed as error:
            self._events.append(ev.OrchestratorNotStarted(orchestrator=number, text=str(error)))
            return
        self._groups[number] = group
        self._processes.enter(
            ("orchestrator", number), group.control, group.pid,
            lambda lines, is_within_message: self._orchestrator_sent(number, lines, is_within_message),
        )  # fmt: skip
        self._orchestrators.watch(group, lambda how: self._processes.reactor.post(lambda: self._orchestrator_ended(number, how)))
        self._events.append(ev.OrchestratorStarted(orchestrator=number, pid=group.pid))

    def _kill_orchestrator(self, number: int) -> None:
        if number in self._groups:
            self._orchestrators.kill(self._groups[number])

    # ---- what comes from processes ----------------------------------------------------------------------------------------

    def _node_sent(self, agent: int, node: int, lines: list[bytes]) -> None:
        for line in lines:
            try:
                message = control_lines.from_node(line)
            except WireError as error:
                raise InternalError(f"node {node} sent {error}: install the same version of perdure there") from error
            if isinstance(message, msg.FaultStruck) and not self._shares_memory:
                message = replace(message, at=time.monotonic())  # the clock of another machine has another zero
            self._take(ev.NodeReported(agent=agent, message=message))

    def _orchestrator_sent(self, number: int, lines: list[bytes], is_within_message: bool) -> None:
        for line in lines:
            try:
                message = control_lines.from_orchestrator(line)
            except WireError as error:
                raise InternalError(f"the orchestrator sent {error}: please report this") from error
            self._take(ev.OrchestratorReported(orchestrator=number, message=message))
        if is_within_message:
            self._take(ev.OrchestratorPartReceived(orchestrator=number))

    def _orchestrator_ended(self, number: int, how: str) -> None:
        """Report the end of an orchestrator after its last messages. The next one may be stopped while it waits, so look for stopped
        processes first."""
        self._processes.leave(("orchestrator", number))
        self._groups.pop(number, None)
        self._look_for_stopped()
        self._take(ev.OrchestratorEnded(orchestrator=number, how=how))

    # ---- injected faults --------------------------------------------------------------------------------------------------

    def _end_node(self, node: int) -> None:
        for agent in self._state.agents.values():
            if agent.node == node:
                self._nodes.end(agent.agent)

    def _end_orchestrator(self) -> None:
        if self._state.current is not None:
            self._kill_orchestrator(self._state.current.number)

    def _pids(self) -> list[int]:
        """Return the pids of all processes that work for the job, without the waiting orchestrator."""
        agents = self._processes.pids("agent", self._state.agents)
        current = [] if self._state.current is None else [self._state.current.number]
        return [*agents.values(), *self._processes.pids("orchestrator", current).values()]

    def _can_be_lost(self) -> list[int]:
        plan = self._register.newest
        return [agent.node for agent in self._state.living() if can_spare(plan, agent.agent)]
