"""The supervising process of a job on the embedded engine: it holds the register, has the engine start and end processes, and restarts
the orchestrator. It decides nothing about the job.

Its end is the job's end: every process that an engine has started holds one end of a stream whose other end is here only (rule T7).
"""

from __future__ import annotations

import base64
import secrets
import selectors
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from perdure.core.job_events import (
    AgentStartedEvent,
    CommittedEvent,
    FinishedEvent,
    GenerationStartedEvent,
    JobEvent,
    NodeLostEvent,
    NodeReturnedEvent,
    OrchestratorLostEvent,
    OrchestratorStartedEvent,
    ShellOutputEvent,
    StartedEvent,
    TimedEvent,
    WorkerLostEvent,
)
from perdure.core.supervisor.state import HEARTBEAT_TIMEOUT_S, LAST_WORDS_S, MAX_RESTARTS, STOPPED_S
from perdure.engines import Engine, Process
from perdure.errors import InternalError
from perdure.launch.configs import AgentConfig, JobSpec, OrchestratorConfig
from perdure.launch.ending import Ending
from perdure.launch.fault_scheduler import FaultActions, FaultScheduler
from perdure.launch.process_table import AgentEntry, OrchestratorEntry, StoppedProcesses, Timer
from perdure.launch.register import TextRegister
from perdure.launch.standby import Standby
from perdure.runtime.posix import descendants, kill_and_wait
from perdure.wire import WireError
from perdure.wire.event_json import event_of

LATE_TURN_S: Final = 1.0
"""After a turn of the supervisor that took so long, the orchestrator has as long again to be heard. A usual turn takes 0.5 s at most."""
REAP_AFTER_S: Final = 5.0
"""A node that has ended leaves a zombie and a descriptor until then; to reap it at once would wait for its memory to be freed."""
OnEvent = Callable[[TimedEvent], None]


class Supervisor:
    """Runs one job. `run` may be called once."""

    def __init__(self, spec: JobSpec, engine: Engine, on_event: OnEvent) -> None:
        self._job_spec, self._engine, self._on_event = spec, engine, on_event
        self._job, self._token = secrets.token_hex(16), secrets.token_hex(32)
        self._began = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._agents: dict[int, AgentEntry] = {}
        self._orchestrator: OrchestratorEntry | None = None
        self._rounds = self._restarts = 0
        self._register = TextRegister()
        self._announced: set[tuple[int, int]] = set()
        self._newest = (0, False, -1)
        """Generation, whether it is the end, and superstep of the newest commit that is announced."""
        self._clocks: list[Timer] = []
        self._judged = self._loadable = False
        self._ending = Ending()
        self._stopped = StoppedProcesses()
        self._payload = bytearray()
        """Of the result, as far as the orchestrator has sent it."""
        actions = FaultActions(
            publish=self._emit, after=self._after, spend=self._spend, end_node=self._end_node, end_orchestrator=self._end_orchestrator,
            can_be_lost=self._can_be_lost, processes=self._processes,
        )  # fmt: skip
        self._fault_scheduler = FaultScheduler(spec.faults, actions)
        config = OrchestratorConfig(job=self._job, token=self._token, shape=spec.shape, settings=spec.settings, faults=list(spec.faults))
        self._standby = Standby(engine, msgspec.json.encode(config), self._selector)

    # ---- the life of the job ----------------------------------------------------------------------------------------------

    def run(self) -> Ending:
        """Until the job is over. Whatever ends it, no process of it is left."""
        try:
            self._emit(StartedEvent(job=self._job))
            for node in range(self._job_spec.nodes):
                self._start_agent(node)
            self._start_orchestrator()
            self._fault_scheduler.start()
            while not self._ending.over:
                self._turn()
            return self._ending
        finally:
            self._end_everything()

    def _turn(self) -> None:
        now = began = time.monotonic()
        soonest = min([clock.due for clock in self._clocks], default=now + 0.5)
        for key, _ in self._selector.select(min(max(0.0, soonest - now), 0.5)):
            if self._selector.get_map().get(key.fd) is key:  # and not closed, or another's by now, because of an earlier one of these
                key.data()
        now = time.monotonic()
        for clock in [clock for clock in self._clocks if clock.due <= now]:
            self._clocks.remove(clock)
            clock.action()
        orchestrator = self._orchestrator
        now = time.monotonic()
        if orchestrator is not None and now - began > LATE_TURN_S:  # whoever held this process up, or stopped it: it was not the other
            orchestrator.heard_at = max(orchestrator.heard_at, now - HEARTBEAT_TIMEOUT_S + LATE_TURN_S)
        if orchestrator is not None and now - orchestrator.heard_at > HEARTBEAT_TIMEOUT_S:
            self._engine.kill(orchestrator.process)
            orchestrator.heard_at = now
        for process in self._stopped.found(self._without_a_word(), now):
            self._engine.kill(process)
            for agent in self._agents.values():
                agent.was_stopped = agent.was_stopped or agent.process is process

    def _without_a_word(self) -> list[Process]:
        """Those of whom nothing is heard yet, so that no silence tells that one is stopped."""
        known = [agent.process for agent in self._agents.values() if not agent.up and not agent.ended]
        others = (self._standby.waiting, None if self._orchestrator is None else self._orchestrator.process)
        return known + [process for process in others if process is not None]

    def _watch(self, what: Any, react: Callable[[], object]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._clocks.append(Timer(time.monotonic() + seconds, action))

    def _emit(self, event: JobEvent, t: float | None = None) -> None:
        """`t` (s, monotonic): when it happened, if that is not now."""
        since = (time.monotonic() if t is None else t) - self._began
        self._on_event(TimedEvent(t=round(since, 6), event=event))

    def _finish(self, error: str, text: str, payload: bytes = b"") -> None:
        self._ending = Ending(error, text, payload, over=True)
        self._emit(FinishedEvent(status=error or "ok"))

    def _end_everything(self) -> None:
        processes = [agent.process for agent in self._agents.values() if not agent.ended]
        if self._orchestrator is not None:
            processes.append(self._orchestrator.process)
        if (standby := self._standby.leave()) is not None:
            processes.append(standby)
        below = descendants(*(process.pid for process in processes))  # also what has left its session
        for process in processes:
            self._engine.kill(process)
        for process in processes:
            process.how_it_ended()
        kill_and_wait(below)
        self._selector.close()
        for process in (*processes, *(agent.process for agent in self._agents.values() if agent.ended)):
            process.reap()
            process.sweep()
            process.control.close()

    # ---- agents -----------------------------------------------------------------------------------------------------------

    def _start_agent(self, node: int) -> None:
        number = len(self._agents) + 1
        spec = self._job_spec
        config = AgentConfig(
            job=self._job, token=self._token, address=self._engine.address(node, f"perdure-{self._job}-agent-{number}"), agent=number,
            node=node, program=spec.program, ranks=spec.shape.ranks, settings=spec.settings, parameters=spec.parameters,
            faults=list(spec.faults), spent=sorted(self._fault_scheduler.spent), transport=spec.transport,
        )  # fmt: skip
        process = self._engine.start(node, "agent", msgspec.json.encode(config))
        agent = self._agents[number] = AgentEntry(number, node, process)
        self._watch(process.control, lambda: self._agent_said(agent))
        self._watch(process, lambda: self._agent_ended(agent))
        self._after(spec.settings.start_timeout_s, lambda: self._expect_up(agent))

    def _expect_up(self, agent: AgentEntry) -> None:
        if not agent.up and not agent.ended:
            agent.late = True
            self._engine.kill(agent.process)

    def _agent_said(self, agent: AgentEntry) -> bool:
        """False when there was nothing."""
        messages = agent.process.control.receive()
        if messages is None:
            self._selector.unregister(agent.process.control)
        for message in messages or ():
            match message:
                case {"begun": int(pid)}:
                    agent.begun = pid
                case {"up": str(address)}:
                    self._agent_up(agent, address)
                case {"verdict": verdict}:
                    self._program_judged(verdict)
                case {"fault": int(index), "at": float(struck_at)}:
                    # another machine's clock says nothing here
                    self._fault_scheduler.noticed(index, struck_at if self._engine.shares_memory else time.monotonic())
                case {"ended": str(how)}:
                    self._agent_ended(agent, how)
                case other:  # of a login shell, most likely
                    self._emit(ShellOutputEvent(node=agent.node, text=str(other)))
        return agent.process.control.received

    def _agent_up(self, agent: AgentEntry, address: str) -> None:
        agent.address = address
        for index in self._fault_scheduler.spent:  # also what has happened since its configuration was written
            agent.process.control.send(spent=index)
        self._introduce(agent)
        self._perhaps_no_more_nodes()

    def _introduce(self, agent: AgentEntry) -> None:
        self._tell(what="agent_up", agent=agent.number, node=agent.node, address=agent.address, pid=agent.begun)

    def _perhaps_no_more_nodes(self) -> None:
        if self._loadable and all(other.up or other.ended for other in self._agents.values()):
            self._tell(what="no_more_nodes")

    def _agent_ended(self, agent: AgentEntry, how: str = "") -> None:
        """`how`: as it says where a shell is between, which ends later."""
        if agent.ended:
            return
        self._selector.unregister(agent.process)
        agent.ended = how or agent.process.how_it_ended()
        while agent.process.control in self._selector.get_map() and self._agent_said(agent):
            pass  # its last words count
        if agent.process.control in self._selector.get_map():
            self._selector.unregister(agent.process.control)
        self._engine.kill(agent.process)
        agent.process.control.close()
        self._after(0.0, agent.process.sweep)  # when the others know
        self._after(REAP_AFTER_S, agent.process.reap)
        if agent.up:
            self._tell(what="agent_ended", agent=agent.number, how=agent.ended)
        else:
            why = f"stopped for {STOPPED_S:g} s" if agent.was_stopped else agent.ended
            late = f"not up after {self._job_spec.settings.start_timeout_s:g} s"
            self._emit(NodeLostEvent(node=agent.node, reason=late if agent.late else f"{why} before it was up"))
        self._perhaps_no_more_nodes()
        if not self._judged and all(other.ended for other in self._agents.values()):
            self._never_judged()
        if all(other.ended for other in self._agents.values()) and self._job_spec.return_after_s is None:
            self._after(LAST_WORDS_S, self._nobody_left)
        if self._job_spec.return_after_s is not None:
            self._after(self._job_spec.return_after_s, lambda: self._return_node(agent.node))

    def _nobody_left(self, received: int = -1) -> None:
        """The orchestrator has had its time to report what that means. While a result is being received, it gets more."""
        is_received = self._orchestrator is not None and self._orchestrator.process.control.within_a_line
        if is_received or len(self._payload) > max(received, 0):
            so_far = len(self._payload)
            self._after(LAST_WORDS_S, lambda: self._nobody_left(so_far))
        elif not self._ending.over:
            self._finish("EngineFailed", f"all nodes have ended: {', '.join({agent.ended for agent in self._agents.values()})}")

    def _return_node(self, node: int) -> None:
        self._start_agent(node)
        self._emit(NodeReturnedEvent(node=node))

    def _program_judged(self, verdict: dict[str, str]) -> None:
        """A node has tried to import the program: a bad one ends the job before it began. All try, for any of them may be lost."""
        if self._judged:
            return None
        self._judged = True
        if verdict:
            return self._finish(verdict["error"], verdict["text"])
        self._loadable = True
        return self._perhaps_no_more_nodes()

    def _never_judged(self) -> None:
        """All nodes have ended before any could say whether the program can be loaded."""
        if any(agent.late for agent in self._agents.values()):
            text = f"no node was up after {self._job_spec.settings.start_timeout_s:g} s: is the machine overloaded?"
            self._finish("EngineFailed", text)
        elif any(agent.begun for agent in self._agents.values()):
            self._finish("ProgramFailed", "the program ended its process while it was imported; see its output above")
        else:
            how = ", ".join(sorted({agent.ended for agent in self._agents.values()}))
            self._finish("EngineFailed", f"no node could be started ({how}); see the output above")

    # ---- the orchestrator -------------------------------------------------------------------------------------------------

    def _start_orchestrator(self) -> None:
        self._rounds += 1
        self._payload.clear()
        patience_s = HEARTBEAT_TIMEOUT_S if self._standby.is_waiting else self._job_spec.settings.start_timeout_s
        process = self._standby.take()
        process.control.send(what="begin", round=self._rounds, spent=sorted(self._fault_scheduler.spent))
        self._orchestrator = OrchestratorEntry(process, time.monotonic() + patience_s)  # a new one imports everything before its first word
        self._watch(process.control, self._orchestrator_said)
        self._watch(process, self._orchestrator_ended)
        self._emit(OrchestratorStartedEvent(pid=process.pid))
        self._tell(what="register", plan=self._register.text)
        for agent in list(self._agents.values()):
            if agent.up:
                self._introduce(agent)
            if agent.up and agent.ended:
                self._tell(what="agent_ended", agent=agent.number, how=agent.ended)
        self._perhaps_no_more_nodes()

    def _orchestrator_ended(self) -> None:
        assert self._orchestrator is not None
        while not self._ending.over and self._orchestrator.process.control in self._selector.get_map() and self._orchestrator_said():
            pass  # its last words count
        if self._orchestrator.process.control in self._selector.get_map():
            self._selector.unregister(self._orchestrator.process.control)
        self._selector.unregister(self._orchestrator.process)
        how = self._orchestrator.process.how_it_ended()
        self._orchestrator.process.reap()
        self._orchestrator.process.control.close()
        self._orchestrator = None
        if self._ending.over:
            return
        self._emit(OrchestratorLostEvent(reason=how))
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            return self._finish("EngineFailed", f"the orchestrator ended {self._restarts} times, the last time it {how}")
        return self._start_orchestrator()

    def _tell(self, **fields: Any) -> None:
        """One that has ended is told nothing; the next one is told everything again."""
        if self._orchestrator is not None:
            self._orchestrator.process.control.send(**fields)

    def _orchestrator_said(self) -> bool:
        """False when there was nothing."""
        orchestrator = self._orchestrator
        assert orchestrator is not None
        lines = orchestrator.process.control.receive()
        if lines is None:
            self._selector.unregister(orchestrator.process.control)
            return False
        orchestrator.heard_at = time.monotonic()
        try:
            for line in lines:
                self._obey(line)
        except WireError as error:
            raise InternalError(f"the orchestrator has published {error}: please report this") from error
        return orchestrator.process.control.received

    def _obey(self, fields: dict[str, Any]) -> None:
        match fields:
            case {"what": "heartbeat"}:
                pass
            case {"what": "propose", "plan": plan}:
                self._tell(what="register", plan=self._register.propose(plan))
            case {"what": "note", "plan": plan}:
                self._register.note(plan)
            case {"what": "kill", "agent": agent}:
                self._engine.kill(self._agents[agent].process)
            case {"what": "event", "event": name, "fields": published}:
                self._publish(event_of(name, published))
            case {"what": "payload", "piece": piece}:
                self._payload += base64.b64decode(piece)
            case {"what": "finish", "error": error, "text": text}:
                self._finish(error, text, bytes(self._payload))
            case {"fault": int(index), "at": float(struck_at)}:
                self._fault_scheduler.noticed(index, struck_at)
            case other:
                raise InternalError(f"the orchestrator said {other!r}")

    def _publish(self, event: JobEvent) -> None:
        """Events go out once, although a new orchestrator learns of everything again."""
        is_new = True
        match event:
            case AgentStartedEvent(node=node, pid=pid):
                is_new = (node, pid) not in self._announced
                self._announced.add((node, pid))
            case CommittedEvent():
                self._restarts = 0
                self._standby.prepare()
                self._fault_scheduler.undisturbed = True
                label = (event.generation, event.end, event.superstep)
                is_new, self._newest = label > self._newest, max(label, self._newest)
            case NodeLostEvent() | WorkerLostEvent() | GenerationStartedEvent():
                self._fault_scheduler.undisturbed = False
        if is_new:
            self._emit(event)

    # ---- faults -----------------------------------------------------------------------------------------------------------

    def _spend(self, index: int) -> None:
        """All nodes that are up shall know; the others are told when they are."""
        for agent in self._agents.values():
            if agent.up and not agent.ended:
                agent.process.control.send(spent=index)

    def _end_node(self, node: int) -> None:
        for agent in self._agents.values():
            if agent.node == node and not agent.ended:
                self._engine.kill(agent.process)

    def _end_orchestrator(self) -> None:
        if self._orchestrator is not None:
            self._engine.kill(self._orchestrator.process)

    def _can_be_lost(self) -> list[int]:
        return [agent.node for agent in self._agents.values() if not agent.ended and self._register.can_spare(agent.number)]

    def _processes(self) -> list[int]:
        found = [agent.process.pid for agent in self._agents.values() if not agent.ended]
        return found if self._orchestrator is None else [*found, self._orchestrator.process.pid]
