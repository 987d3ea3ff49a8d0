"""The simulated supervisor drives `core.supervisor`, as `launch.supervisor` does with real processes; and the register that it has, which
may answer late, wrongly or never. Its engine is in `sim.engine`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import supervisor as machine
from perdure.core.orchestrator.state import JobShape
from perdure.core.plan import Plan
from perdure.core.register import MemoryRegister
from perdure.core.supervisor import SupervisorState
from perdure.core.supervisor.state import HEARTBEAT_TIMEOUT_S
from perdure.sim.clocks import draw_clock
from perdure.sim.engine import LATE_S, REFUSED, SimEngine
from perdure.sim.nodes import TICK_S, Surroundings
from perdure.sim.orchestrators import Orchestrator, Step
from perdure.sim.supervision import SupervisionChecks
from perdure.sim.world import World

SupervisorStep = Callable[[SupervisorState, ev.SupervisorEvent, float], list[do.SupervisorCommand]]
"""Takes one step of the supervisor's machine, and returns its commands."""

RESTART_S: Final = 0.05
REGISTER_S: Final = 0.002
REGISTER_LATE_S: Final = 0.5
"""The same when it is asked for the register, on the way there and on the way back."""


class SimSupervisor:
    """Turns what happens into events, and carries the machine's commands out."""

    def __init__(
        self, world: World, shape: JobShape, around: Surroundings, add_node: Callable[[int], None], step: SupervisorStep,
        step_orchestrator: Step,
    ) -> None:  # fmt: skip
        self._world, self._shape, self._around = world, shape, around
        self._add_node, self._step, self._step_orchestrator = add_node, step, step_orchestrator
        self._clock = draw_clock(world.schedule.dice, skew=world.scenario.skew)
        self.state = SupervisorState(settings=world.settings)
        self.checks = SupervisionChecks(around.checkers.require, around.orchestrators)
        self.engine = SimEngine(world, around, self.take, self._take_now, self._start_node)
        self.orchestrators = around.orchestrators
        """Those that the engine has started."""
        self.first_nodes = 0
        """How many nodes the job begins with; agents with higher numbers come later."""
        self.starting_nodes: list[int] = []
        """Agents of which the engine has not reported that they listen."""
        self.starting_orchestrators: list[int] = []
        self.ends_orchestrators = False
        """Each orchestrator that begins ends at once."""
        self.has_refused = False
        """The engine could not start some orchestrator."""
        self._register = MemoryRegister()
        self._events: deque[ev.SupervisorEvent] = deque()

    @property
    def newest(self) -> Orchestrator | None:
        """Of those that have begun; None: none has."""
        begun = [one for one in self.orchestrators.values() if one.began_s <= self._world.schedule.now]
        return max(begun, key=lambda one: one.number, default=None)

    @property
    def current(self) -> Orchestrator | None:
        """The process that serves the job, or begins to; None: it does not run yet."""
        return self.orchestrators.get(self.state.current.number) if self.state.current is not None else None

    def has_served_s(self) -> float:
        """For how long has an orchestrator served without an interruption (s)?"""
        one = self.current
        return max(0.0, self._world.schedule.now - one.began_s) if one is not None and one.awake else 0.0

    def begin(self, nodes: int) -> None:
        """The job begins."""
        self.first_nodes = nodes
        self.take(ev.JobBegun(job="simulated", nodes=tuple(range(nodes))))
        if self._world.scenario.engine == "never":
            self.lose_start("agent", nodes)
        self._tick()

    def take(self, event: ev.SupervisorEvent) -> None:
        """One step of the machine, its commands, and the steps that these lead to."""
        self._events.append(event)
        while self._events and self._world.finished is None:
            self._take_now(self._events.popleft())

    def _take_now(self, event: ev.SupervisorEvent) -> None:
        commands = self._step(self.state, event, self._clock(self._world.schedule.now))
        self.checks.after(event, commands)
        for command in commands:
            self._execute(command)

    def _tick(self) -> None:
        self._look_for_stopped()
        self.take(ev.Tick(late_s=0.0))
        self._world.schedule.after(TICK_S, self._tick)

    def _look_for_stopped(self) -> None:
        agents, orchestrators = machine.observed(self.state)
        stopped = ev.StoppedFound(
            agents=tuple(
                number for number in agents if (node := self._around.nodes.get(number)) is not None and node.alive and not node.awake
            ),
            orchestrators=tuple(
                number for number in orchestrators if (one := self.orchestrators.get(number)) is not None and one.alive and not one.awake
            ),
        )
        self.take(stopped)

    # ---- commands ---------------------------------------------------------------------------------------------------------

    def _execute(self, command: do.SupervisorCommand) -> None:
        world, around = self._world, self._around
        match command:
            case do.Publish(event=event):
                around.checkers.published(event)
            case do.Finish():
                world.finished = command
            case do.RequestNode(agent=agent):
                self.engine.request(agent)
            case do.StartNode(agent=agent):
                self.engine.start(agent)
            case do.EndNode(agent=agent):
                self.engine.end(agent)
            case do.ReleaseNode(agent=agent):
                self.engine.release(agent)
            case do.StartOrchestrator(orchestrator=number):
                self.starting_orchestrators.append(number)
                late = world.scenario.engine == "late"
                world.schedule.after(world.schedule.dice.random() * (LATE_S if late else RESTART_S), self._orchestrator_started, number)
            case do.EndOrchestrator(orchestrator=number):
                if number in self.orchestrators:
                    world.schedule.after(self.engine.kill_delay_s(), self.end_orchestrator, self.orchestrators[number])
            case do.SendToOrchestrator(orchestrator=number, message=message):
                self._send(self.orchestrators[number], message)
            case do.ReadRegister(orchestrator=number):
                world.schedule.after(self._register_delay_s(), self._read, number)
            case do.CreatePlan(orchestrator=number, plan=plan):
                world.schedule.after(self._register_delay_s(), self._create, number, plan)
            case do.NotePlan(plan=plan):
                self._note(plan)
            case do.CancelRequest() | do.SendToNode() | do.TakeFault():
                pass  # a request may be granted all the same; injected faults are those of the scenario here
            case _:
                assert_never(command)

    def _send(self, one: Orchestrator, message: msg.ToOrchestrator) -> None:
        self._world.network.send(0, -one.number, one.receive, message)
        if isinstance(message, msg.BeginRound) and self.ends_orchestrators:
            self._world.schedule.about(0.01, self.end_orchestrator, one)

    # ---- the register, which may lie elsewhere ----------------------------------------------------------------------------

    def _read(self, number: int) -> None:
        self._answer(number, self._register.read())

    def _create(self, number: int, plan: Plan) -> None:
        held = self._register.create(plan)
        if held is plan:
            self._around.decisions.created(plan)
        self._answer(number, held)

    def _answer(self, number: int, plan: Plan | None) -> None:
        answer = ev.RegisterAnswered(orchestrator=number, plan=plan)
        self._world.schedule.after(self._register_delay_s(), self.take, answer)

    def _note(self, plan: Plan) -> None:
        """D5: it comes late, twice, or after a newer one; or never."""
        notes, schedule = self._world.scenario.notes, self._world.schedule
        if notes != "never":
            schedule.after(schedule.dice.random() * LATE_S if notes == "late" else 0.0, self._register.note, plan)

    # ---- the engine -------------------------------------------------------------------------------------------------------

    def _register_delay_s(self) -> float:
        late = self._world.scenario.engine == "late"
        return self._world.schedule.dice.random() * (REGISTER_LATE_S if late else REGISTER_S)

    def _start_node(self, agent: int) -> None:
        self._add_node(agent)
        self.starting_nodes.append(agent)
        schedule = self._world.schedule
        listens_s = self.engine.report_delay_s()
        schedule.after(listens_s * schedule.dice.random(), self._node_reports, agent, msg.NodeBegun(pid=1000 + agent))
        schedule.after(listens_s, self._node_reports, agent, msg.NodeListens(address=f"agent-{agent}"))
        schedule.after(self.engine.report_delay_s(), self._node_judges, agent)

    def _node_reports(self, agent: int, message: msg.FromNode) -> None:
        """What it sends while it is stopped, it sends later; what it sent before its end comes all the same."""
        node = self._around.nodes[agent]
        if node.alive and not node.awake:
            node.when_awake(self._node_reports, agent, message)
        elif not node.is_mute:
            if isinstance(message, msg.NodeListens):
                self.starting_nodes.remove(agent)
            self.take(ev.NodeReported(agent=agent, message=message))

    def _node_judges(self, agent: int) -> None:
        bad = self._around.nodes[agent].cannot_import
        verdict = msg.ProgramJudged(error="UsageError" if bad else "", text="no main" if bad else "")
        self._node_reports(agent, verdict)

    def _orchestrator_started(self, number: int) -> None:
        if number not in self.starting_orchestrators:
            return
        self.starting_orchestrators.remove(number)
        clock = draw_clock(self._world.schedule.dice, skew=self._world.scenario.skew)
        self.orchestrators[number] = Orchestrator(self._world, number, self._shape, clock, self._step_orchestrator, self.tell)
        self.take(ev.OrchestratorStarted(orchestrator=number, pid=2000 + number))

    def end_orchestrator(self, gone: Orchestrator) -> None:
        """What it has sent to the supervisor is read to the end; of what it sent to agents, a part. Then its end is reported, or not."""
        network, schedule = self._world.network, self._world.schedule
        if not gone.alive:
            return
        gone.alive = False
        last_words_s = network.channel(-gone.number, 0).newest_s
        network.end(-gone.number)
        network.channel(-gone.number, 0).ends_s = last_words_s
        for node in self._around.nodes.values():
            schedule.at(
                max(schedule.now, network.channel(-gone.number, node.number).newest_s) + 0.001, node.hear_orchestrator, gone.number, None
            )
        if self._world.scenario.engine != "never":
            schedule.at(
                max(schedule.now + self.engine.report_delay_s(), last_words_s + 1e-6), self._orchestrator_ended, gone.number, "was killed"
            )

    def _orchestrator_ended(self, number: int, how: str) -> None:
        self._look_for_stopped()
        self.take(ev.OrchestratorEnded(orchestrator=number, how=how))

    def tell(self, orchestrator: Orchestrator, message: msg.FromOrchestrator) -> None:
        """A message of an orchestrator to the supervisor."""
        reported = ev.OrchestratorReported(orchestrator=orchestrator.number, message=message)
        self._world.network.send(-orchestrator.number, 0, self.take, reported)

    # ---- what goes wrong --------------------------------------------------------------------------------------------------

    def node_came(self) -> int:
        """One more node is to be requested. Return the number of its agent."""
        self.take(ev.NodeCame(node=len(self.state.agents)))
        return len(self.state.agents)

    def lose_start(self, role: str, number: int) -> None:
        """A process is never started, and nothing is reported of it."""
        if role == "orchestrator":
            self.starting_orchestrators.remove(number)
        else:
            self._around.nodes[number].is_mute = True
            self._around.end(self._around.nodes[number])

    def delay_start(self, role: str, number: int) -> None:
        """A process is started when its time is over."""
        self.lose_start(role, number)
        late_s = self._world.settings.start_timeout_s + self._world.schedule.dice.random() * LATE_S
        if role == "orchestrator":
            self.starting_orchestrators.append(number)
            self._world.schedule.after(late_s + HEARTBEAT_TIMEOUT_S, self._orchestrator_started, number)
        else:
            self._world.schedule.after(late_s, self._report_late_start, number)

    def _report_late_start(self, number: int) -> None:
        self._around.nodes[number].is_mute = False
        for message in (msg.NodeBegun(pid=1000 + number), msg.NodeListens(address=f"agent-{number}")):
            self.take(ev.NodeReported(agent=number, message=message))

    def fail_start(self, role: str, number: int) -> None:
        """A process ends as soon as it runs."""
        if role == "orchestrator":
            self._orchestrator_started(number)
            self.end_orchestrator(self.orchestrators[number])
        else:
            self._around.end(self._around.nodes[number])
            self._around.nodes[number].is_mute = True

    def refuse_start(self, role: str, number: int) -> None:
        """The engine cannot start a process."""
        self.lose_start(role, number)
        if role == "orchestrator":
            self.has_refused = True
            self.take(ev.OrchestratorNotStarted(orchestrator=number, text=REFUSED))
        else:
            self.engine.refuse_start(number)

    def report_false_end(self) -> None:
        """The engine reports the end of the orchestrator, which goes on."""
        one = self.current
        if one is not None and one.alive:
            self._orchestrator_ended(one.number, "left its shell")
