"""One simulated job: everything together, from the first node to the last word of the orchestrator."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from perdure.core import agent, supervisor
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import orchestrator as machine
from perdure.core.layout import default_group_size, nodes_with_ranks
from perdure.core.orchestrator.state import JobShape
from perdure.core.settings import Settings
from perdure.core.supervisor import SupervisorState
from perdure.sim import faults, tokens
from perdure.sim.checkers import Broken, Checkers
from perdure.sim.clocks import draw_clock
from perdure.sim.decisions import Decisions
from perdure.sim.judgement import Judgement
from perdure.sim.nodes import TICK_S, SimNode, Surroundings
from perdure.sim.orchestrators import Orchestrator
from perdure.sim.scenario import SUPERVISOR_PHASES, Scenario
from perdure.sim.supervisor import SimSupervisor
from perdure.sim.transcript import name_of
from perdure.sim.world import World

HANG_S: Final = 150.0
"""Virtual time; longer than every deadline of the settings together: a run without an end by then never has one."""
EVENTS_MAX: Final = 200_000
"""And as many again for every eight ranks: a run that takes more goes round in circles. Arbitrary; a hundred times the usual."""
SETTINGS: Final = Settings(unwind_timeout_s=5.0, exit_timeout_s=5.0, start_timeout_s=5.0)
CHATTER: Final = (msg.Heartbeat, msg.Progress, msg.StillGathering)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a run without a broken promise has ended."""

    error: str
    text: str
    generations: int
    events: int
    """Steps of state machines, each followed by the checks of what it could have broken."""
    virtual_s: float


class Cluster:
    """One job, put together from its parts. `run` gives a verdict, or raises `Broken`; the last moments are in `world.log`."""

    def __init__(self, scenario: Scenario, settings: Settings = SETTINGS, log: int = 400) -> None:
        special: dict[str, Any] = {"direct_agents_max": 1, "fan_out": scenario.fan_out} if scenario.fan_out else {}
        special["memory"] = scenario.memory
        special["on_crossing"] = "warn" if scenario.messages == tokens.WARNED else "stop"
        if not scenario.scrub:
            special["scrub_bytes_per_s"] = 0
        self.world = World(scenario, dataclasses.replace(settings, **special), log)
        self.nodes: dict[int, SimNode] = {}
        self.checkers = Checkers(self)
        self.decisions = Decisions(self.checkers.plan_chosen, self.checkers.breaks)
        orchestrators: dict[int, Orchestrator] = {}
        self._around = Surroundings(self.nodes, orchestrators, self.checkers, self.decisions, self._step_agent, self.end_node)
        self.events = 0
        self.cut_now = ""
        """The machine whose next commands are done in part only: `agent` or `orchestrator`; then it is killed."""
        self._faults = list(scenario.faults)
        self._due: list[tuple[int, Any]] = []
        self._seen: Counter[str] = Counter()
        self._awaited = {fault.phase for fault in self._faults}
        self._start()

    def _start(self) -> None:
        scenario = self.world.scenario
        size = scenario.group_size or default_group_size(scenario.ranks, scenario.ranks_per_node, scenario.parity)
        shape = JobShape(
            ranks=scenario.ranks, ranks_per_node=scenario.ranks_per_node, group_size=size, parity=scenario.parity, domains=scenario.domains
        )  # fmt: skip
        wanted = nodes_with_ranks(scenario.ranks, scenario.ranks_per_node) + scenario.spares
        self.world.network.slow.update(self.world.schedule.dice.sample(range(1, wanted + 1), min(scenario.slow, wanted)))
        self.supervisor = SimSupervisor(self.world, shape, self._around, self.add_node, self._step_supervisor, self._step_orchestrator)
        self.supervisor.begin(wanted)

    # ---- processes ---------------------------------------------------------------------------------------------------------

    def add_node(self, number: int) -> None:
        """A fresh agent, which the engine starts."""
        schedule = self.world.schedule
        clock = draw_clock(schedule.dice, skew=self.world.scenario.skew)
        node = self.nodes[number] = SimNode(self.world, number, clock, self._around)
        schedule.after(schedule.dice.random() * TICK_S, node.tick)

    def end_node(self, node: SimNode) -> None:
        """All its processes are gone, whoever has ended them."""
        if not node.alive:
            return
        self.world.note(f"agent {node.number}", "ends", [])
        self.world.touched.add(node.number)
        node.end()
        self.world.network.end(node.number)
        self.supervisor.engine.node_ended(node)
        self.checkers.groups_of(node)

    def is_hindered(self, node: SimNode) -> bool:
        """Is it stopped, or does some cut keep it from being heard, or was a moment ago?"""
        others = [*self.nodes, *(-number for number in self.supervisor.orchestrators)]
        return node.alive and (
            not node.awake or node.frozen_until_s > 0 or any(self.world.network.was_cut(node.number, other) for other in others)
        )

    # ---- the run -----------------------------------------------------------------------------------------------------------

    def run(self) -> Verdict:
        """Until the job has ended. Raises `Broken` at the first promise that is not kept."""
        schedule, events_max, hang_s = self.world.schedule, EVENTS_MAX * (1 + self.world.scenario.ranks // 8), HANG_S
        if self.world.scenario.engine == "never" and any(fault.kind == "orchestrators" for fault in self.world.scenario.faults):
            hang_s *= 2  # each of some twenty orchestrators that end is waited for
        while self.world.finished is None:
            if self._due:
                self._strike()
            schedule.step()
            if schedule.now > hang_s:
                raise Broken("G4", f"nothing has ended the job in {hang_s:g} s")
            if self.events > events_max:
                raise Broken("G4", f"nothing has ended the job in {events_max} events")
        Judgement(self.checkers).judge(self.world.finished)
        return Verdict(
            error=self.world.finished.error,
            text=self.world.finished.text,
            generations=len(self.decisions.chosen),
            events=self.events,
            virtual_s=schedule.now,
        )

    def watch_for(self, seconds: float) -> None:
        """The first so many seconds of virtual time, of a job that is not to end in them."""
        while self.world.schedule.now < seconds and self.world.finished is None:
            self.world.schedule.step()

    def notice(self, name: str) -> None:
        """Something happened that a fault may wait for."""
        if name not in self._awaited:
            return
        self._seen[name] += 1
        for fault in [fault for fault in self._faults if fault.phase == name and fault.nth <= self._seen[name]]:
            self._faults.remove(fault)
            self._due.append((self.events + fault.delay, fault))
            if fault.cut:
                self.cut_now = "orchestrator" if fault.kind == "orchestrator" else "agent"

    def _strike(self) -> None:
        for when, fault in [one for one in self._due if one[0] <= self.events]:
            if fault.cut and self.cut_now:
                continue
            self._due.remove((when, fault))
            self.world.note("***", str(fault), [])
            faults.strike(self, fault)

    # ---- machines take their steps -----------------------------------------------------------------------------------------

    def _step_agent(self, node: SimNode, event: ev.AgentEvent) -> None:
        """One step of an agent, its commands, and the checks."""
        self.events += 1
        try:
            commands = agent.step(node.state, event, node.clock(self.world.schedule.now))
        except Exception as error:
            self.world.note(f"agent {node.number}", event, [])
            raise Broken("InternalError", f"agent {node.number} broke: {error!r}") from error
        if _is_chatter(event, commands):
            for command in commands:
                node.execute(command)
            return
        self.world.note(f"agent {node.number}", event, commands)
        done = self._in_part(commands, "agent")
        for command in done:
            self.notice(name_of(command))
            node.execute(command)
        self.checkers.after_agent(node, event, done)
        self.notice(name_of(event))
        if len(done) < len(commands):
            self.end_node(node)

    def _step_supervisor(self, state: SupervisorState, event: ev.SupervisorEvent, now: float) -> list[do.SupervisorCommand]:
        """One step of the supervisor. What it publishes is in the log already, as a command of an orchestrator."""
        self.events += 1
        try:
            commands = supervisor.step(state, event, now)
        except Exception as error:
            self.world.note("supervisor", event, [])
            raise Broken("InternalError", f"the supervisor broke: {error!r}") from error
        if any(not isinstance(command, do.Publish) for command in commands):
            self.world.note("supervisor", event, commands)
        for name in (name_of(one) for one in (event, *commands)):
            if name in SUPERVISOR_PHASES:
                self.notice(name)
        return commands

    def _step_orchestrator(self, orchestrator: Orchestrator, event: ev.OrchestratorEvent) -> None:
        """One step of an orchestrator, its commands, and the checks."""
        self.events += 1
        try:
            commands = machine.step(orchestrator.state, event, orchestrator.clock(self.world.schedule.now))
        except Exception as error:
            self.world.note("orchestrator", event, [])
            raise Broken("InternalError", f"the orchestrator broke: {error!r}") from error
        if _is_chatter(event, commands):
            return
        self.world.note("orchestrator", event, commands)
        done = self._in_part(commands, "orchestrator")
        for command in done:
            match command:
                case do.TellAgent(agent=number, message=message):
                    self._tell_agent(orchestrator, self.nodes[number], message)
                case do.Publish():
                    self.supervisor.tell(orchestrator, command)
                    continue
                case _:
                    self.supervisor.tell(orchestrator, command)
            self.notice(name_of(command))
        self.checkers.after_orchestrator(orchestrator, done)
        if len(done) < len(commands) and orchestrator is self.supervisor.current:
            self.supervisor.end_orchestrator(orchestrator)

    def _in_part(self, commands: list[Any], who: str) -> list[Any]:
        """All commands; or only the first ones, of a process that is killed in the middle of a step."""
        if self.cut_now != who or len(commands) < 2:
            return commands
        self.cut_now = ""
        self._due = [(when, fault) for when, fault in self._due if not fault.cut]
        return commands[: self.world.schedule.dice.randrange(1, len(commands))]

    def _tell_agent(self, orchestrator: Orchestrator, node: SimNode, message: msg.ToAgent) -> None:
        self.world.send(-orchestrator.number, node.number, message, node.hear_orchestrator, orchestrator.number)


def _is_chatter(event: Any, commands: list[Any]) -> bool:
    """A timer or a heartbeat that has led to nothing but heartbeats: nothing has changed that a promise is about."""
    if not isinstance(event, ev.Tick) and not isinstance(getattr(event, "message", None), CHATTER):
        return False
    return all(isinstance(getattr(command, "message", None), CHATTER) for command in commands)
