"""The simulated supervisor drives `core.supervisor`, as `launch.supervisor` does with real processes; and the engine and the register that
it has, which may answer late, wrongly or never."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import supervisor as machine
from perdure.core.orchestrator.state import JobShape
from perdure.core.plan import Plan
from perdure.core.register import MemoryRegister
from perdure.core.settings import Settings
from perdure.core.supervisor import SupervisorState
from perdure.core.supervisor.state import HEARTBEAT_TIMEOUT_S
from perdure.sim.clocks import draw_clock
from perdure.sim.nodes import TICK_S, SimNode
from perdure.sim.orchestrators import Orchestrator
from perdure.sim.supervision import SupervisionChecks

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster

RESTART_S: Final = 0.05
REGISTER_S: Final = 0.002
LATE_S: Final = 2.0
"""How late an engine may be that is late."""
KILLS_LATE_S: Final = 0.9
"""The same when it is to end a node: within `fencing.FENCED_S`."""
REGISTER_LATE_S: Final = 0.5
"""The same when it is asked for the register, on the way there and on the way back."""
REFUSED: Final = "the engine has no room"


class SimSupervisor:
    """Turns what happens into events, and carries the machine's commands out."""

    def __init__(self, cluster: Cluster, shape: JobShape, settings: Settings) -> None:
        self._cluster, self._shape, self._settings = cluster, shape, settings
        self._clock = draw_clock(cluster.schedule.dice, skew=cluster.scenario.skew)
        self.state = SupervisorState(settings=settings)
        self.checks = SupervisionChecks(cluster)
        self.orchestrators: dict[int, Orchestrator] = {}
        """Those that the engine has started."""
        self.starting_nodes: list[int] = []
        """Agents of which the engine has not reported that they listen."""
        self.starting_orchestrators: list[int] = []
        self.ends_orchestrators = False
        """Each orchestrator that begins ends at once."""
        self.has_refused = False
        """The engine could not start some process."""
        self._register = MemoryRegister()
        self._events: deque[ev.SupervisorEvent] = deque()

    @property
    def newest(self) -> Orchestrator | None:
        """Of those that have begun; None: none has."""
        begun = [one for one in self.orchestrators.values() if one.began_s <= self._cluster.schedule.now]
        return max(begun, key=lambda one: one.number, default=None)

    @property
    def current(self) -> Orchestrator | None:
        """The process that serves the job, or begins to; None: it does not run yet."""
        return self.orchestrators.get(self.state.current.number) if self.state.current is not None else None

    def has_served_s(self) -> float:
        """For how long has an orchestrator served without an interruption (s)?"""
        one = self.current
        return max(0.0, self._cluster.schedule.now - one.began_s) if one is not None and one.awake else 0.0

    def begin(self, nodes: int) -> None:
        """The job begins."""
        self.take(ev.JobBegun(job="simulated", nodes=tuple(range(nodes))))
        if self._cluster.scenario.engine == "never":
            self.lose_start("agent", nodes)
        self._tick()

    def take(self, event: ev.SupervisorEvent) -> None:
        """One step of the machine, its commands, and the steps that these lead to."""
        self._events.append(event)
        while self._events and self._cluster.finished is None:
            event = self._events.popleft()
            commands = self._cluster.step_supervisor(self.state, event, self._clock(self._cluster.schedule.now), machine.step)
            self.checks.after(event, commands)
            for command in commands:
                self._execute(command)

    def _tick(self) -> None:
        self._look_for_stopped()
        self.take(ev.Tick(late_s=0.0))
        self._cluster.schedule.after(TICK_S, self._tick)

    def _look_for_stopped(self) -> None:
        agents, orchestrators = machine.observed(self.state)
        stopped = ev.StoppedFound(
            agents=tuple(number for number in agents if (node := self._cluster.nodes[number]).alive and not node.awake),
            orchestrators=tuple(
                number for number in orchestrators if (one := self.orchestrators.get(number)) is not None and one.alive and not one.awake
            ),
        )
        self.take(stopped)

    # ---- commands ---------------------------------------------------------------------------------------------------------

    def _execute(self, command: do.SupervisorCommand) -> None:
        cluster = self._cluster
        match command:
            case do.Publish(event=event):
                cluster.checkers.published(event)
            case do.Finish():
                cluster.finished = command
            case do.StartNode(agent=agent):
                cluster.add_node(agent)
                self._start_node(agent)
            case do.EndNode(agent=agent):
                cluster.schedule.after(self._kill_delay_s(), cluster.end_node, cluster.nodes[agent])
            case do.StartOrchestrator(orchestrator=number):
                self.starting_orchestrators.append(number)
                late = cluster.scenario.engine == "late"
                cluster.schedule.after(cluster.schedule.dice.random() * (LATE_S if late else RESTART_S), self._orchestrator_started, number)
            case do.EndOrchestrator(orchestrator=number):
                if number in self.orchestrators:
                    cluster.schedule.after(self._kill_delay_s(), self.end_orchestrator, self.orchestrators[number])
            case do.SendToOrchestrator(orchestrator=number, message=message):
                self._send(self.orchestrators[number], message)
            case do.ReadRegister(orchestrator=number):
                cluster.schedule.after(self._register_delay_s(), self._read, number)
            case do.CreatePlan(orchestrator=number, plan=plan):
                cluster.schedule.after(self._register_delay_s(), self._create, number, plan)
            case do.NotePlan(plan=plan):
                self._note(plan)
            case do.SendToNode() | do.TakeFault():
                pass  # injected faults are those of the scenario here
            case _:
                assert_never(command)

    def _send(self, one: Orchestrator, message: msg.ToOrchestrator) -> None:
        self._cluster.network.send(0, -one.number, one.receive, message)
        if isinstance(message, msg.BeginRound) and self.ends_orchestrators:
            self._cluster.schedule.about(0.01, self.end_orchestrator, one)

    # ---- the register, which may lie elsewhere ----------------------------------------------------------------------------

    def _read(self, number: int) -> None:
        self._answer(number, self._register.read())

    def _create(self, number: int, plan: Plan) -> None:
        held = self._register.create(plan)
        if held is plan:
            self._cluster.decisions.created(plan)
        self._answer(number, held)

    def _answer(self, number: int, plan: Plan | None) -> None:
        answer = ev.RegisterAnswered(orchestrator=number, plan=plan)
        self._cluster.schedule.after(self._register_delay_s(), self.take, answer)

    def _note(self, plan: Plan) -> None:
        """D5: it comes late, twice, or after a newer one; or never."""
        notes, schedule = self._cluster.scenario.notes, self._cluster.schedule
        if notes != "never":
            schedule.after(schedule.dice.random() * LATE_S if notes == "late" else 0.0, self._register.note, plan)

    # ---- the engine -------------------------------------------------------------------------------------------------------

    def _report_delay_s(self) -> float:
        late = self._cluster.scenario.engine == "late"
        return self._cluster.schedule.dice.random() * (LATE_S if late else 0.01)

    def _kill_delay_s(self) -> float:
        return self._cluster.schedule.dice.random() * KILLS_LATE_S if self._cluster.scenario.engine == "late" else 0.0

    def _register_delay_s(self) -> float:
        late = self._cluster.scenario.engine == "late"
        return self._cluster.schedule.dice.random() * (REGISTER_LATE_S if late else REGISTER_S)

    def _start_node(self, agent: int, more_s: float = 0.0) -> None:
        self.starting_nodes.append(agent)
        schedule = self._cluster.schedule
        listens_s = more_s + self._report_delay_s()
        schedule.after(listens_s * schedule.dice.random(), self._node_reports, agent, msg.NodeBegun(pid=1000 + agent))
        schedule.after(listens_s, self._node_reports, agent, msg.NodeListens(address=f"agent-{agent}"))
        schedule.after(more_s + self._report_delay_s(), self._node_judges, agent)

    def _node_reports(self, agent: int, message: msg.FromNode) -> None:
        """What it sends while it is stopped, it sends later; what it sent before its end comes all the same."""
        node = self._cluster.nodes[agent]
        if node.alive and not node.awake:
            node.when_awake(self._node_reports, agent, message)
        elif not node.is_mute:
            if isinstance(message, msg.NodeListens):
                self.starting_nodes.remove(agent)
            self.take(ev.NodeReported(agent=agent, message=message))

    def _node_judges(self, agent: int) -> None:
        bad = self._cluster.nodes[agent].cannot_import
        verdict = msg.ProgramJudged(error="UsageError" if bad else "", text="no main" if bad else "")
        self._node_reports(agent, verdict)

    def node_ended(self, node: SimNode) -> None:
        """A process is gone; the engine will report that, or not."""
        if self._cluster.scenario.engine != "never" and not node.is_mute:
            self._cluster.schedule.after(self._report_delay_s(), self.take, ev.NodeEnded(agent=node.number, how="was killed"))

    def _orchestrator_started(self, number: int) -> None:
        if number not in self.starting_orchestrators:
            return
        self.starting_orchestrators.remove(number)
        clock = draw_clock(self._cluster.schedule.dice, skew=self._cluster.scenario.skew)
        self.orchestrators[number] = Orchestrator(self._cluster, number, self._shape, self._settings, clock)
        self.take(ev.OrchestratorStarted(orchestrator=number, pid=2000 + number))

    def end_orchestrator(self, gone: Orchestrator) -> None:
        """What it has sent to the supervisor is read to the end; of what it sent to agents, a part. Then its end is reported, or not."""
        network, schedule = self._cluster.network, self._cluster.schedule
        if not gone.alive:
            return
        gone.alive = False
        last_words_s = network.channel(-gone.number, 0).newest_s
        network.end(-gone.number)
        network.channel(-gone.number, 0).ends_s = last_words_s
        for node in self._cluster.nodes.values():
            schedule.at(
                max(schedule.now, network.channel(-gone.number, node.number).newest_s) + 0.001, node.hear_orchestrator, gone.number, None
            )
        if self._cluster.scenario.engine != "never":
            schedule.at(
                max(schedule.now + self._report_delay_s(), last_words_s + 1e-6), self._orchestrator_ended, gone.number, "was killed"
            )

    def _orchestrator_ended(self, number: int, how: str) -> None:
        self._look_for_stopped()
        self.take(ev.OrchestratorEnded(orchestrator=number, how=how))

    def tell(self, orchestrator: Orchestrator, message: msg.FromOrchestrator) -> None:
        """A message of an orchestrator to the supervisor."""
        reported = ev.OrchestratorReported(orchestrator=orchestrator.number, message=message)
        self._cluster.network.send(-orchestrator.number, 0, self.take, reported)

    # ---- what goes wrong --------------------------------------------------------------------------------------------------

    def node_came(self) -> int:
        """The engine has one more node. Return the number of its agent."""
        self.take(ev.NodeCame(node=len(self.state.agents)))
        return len(self.state.agents)

    def lose_start(self, role: str, number: int) -> None:
        """A process is never started, and nothing is reported of it."""
        if role == "orchestrator":
            self.starting_orchestrators.remove(number)
        else:
            self._cluster.nodes[number].is_mute = True
            self._cluster.end_node(self._cluster.nodes[number])

    def delay_start(self, role: str, number: int) -> None:
        """A process is started when its time is over."""
        self.lose_start(role, number)
        late_s = self._settings.start_timeout_s + self._cluster.schedule.dice.random() * LATE_S
        if role == "orchestrator":
            self.starting_orchestrators.append(number)
            self._cluster.schedule.after(late_s + HEARTBEAT_TIMEOUT_S, self._orchestrator_started, number)
        else:
            self._cluster.schedule.after(late_s, self._report_late_start, number)

    def _report_late_start(self, number: int) -> None:
        self._cluster.nodes[number].is_mute = False
        for message in (msg.NodeBegun(pid=1000 + number), msg.NodeListens(address=f"agent-{number}")):
            self.take(ev.NodeReported(agent=number, message=message))

    def fail_start(self, role: str, number: int) -> None:
        """A process ends as soon as it runs."""
        if role == "orchestrator":
            self._orchestrator_started(number)
            self.end_orchestrator(self.orchestrators[number])
        else:
            self._cluster.end_node(self._cluster.nodes[number])
            self._cluster.nodes[number].is_mute = True

    def refuse_start(self, role: str, number: int) -> None:
        """The engine cannot start a process."""
        self.has_refused = True
        self.lose_start(role, number)
        if role == "orchestrator":
            self.take(ev.OrchestratorNotStarted(orchestrator=number, text=REFUSED))
        else:
            self.take(ev.NodeNotStarted(agent=number, text=REFUSED))

    def report_false_end(self) -> None:
        """The engine reports the end of the orchestrator, which goes on."""
        one = self.current
        if one is not None and one.alive:
            self._orchestrator_ended(one.number, "left its shell")
