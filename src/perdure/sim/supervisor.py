"""The simulated supervisor: the register, the engine with its nodes, and the orchestrators that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import orchestrator as machine
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.sim.clocks import Clock, draw_clock
from perdure.sim.nodes import TICK_S, SimNode

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster

RESTART_S: Final = 0.05
LATE_S: Final = 2.0
"""How late an engine may be that is late."""
KILLS_LATE_S: Final = 0.9
"""The same when it is to end a node: within `checkers.FENCED_S`."""


class Orchestrator:
    """One process. Its number is its round; on the network it is the negative of that."""

    def __init__(self, cluster: Cluster, number: int, shape: JobShape, settings: Settings, clock: Clock) -> None:
        self.cluster, self.number, self.clock = cluster, number, clock
        self.state = OrchestratorState(round=number, shape=shape, settings=settings)
        self.alive = True
        self.began_s = cluster.schedule.now
        self._tick_due_s = 0.0

    def hear(self, event: ev.OrchestratorEvent) -> None:
        """A word of the supervisor or of an agent."""
        if self.alive:
            self.cluster.step_orchestrator(self, event, machine.step)

    def tick(self) -> None:
        """The timer of its loop."""
        if self.alive:
            now = self.cluster.schedule.now
            late_s = now - self._tick_due_s if self._tick_due_s else 0.0
            self._tick_due_s = now + TICK_S
            self.cluster.schedule.after(TICK_S, self.tick)
            self.hear(ev.Tick(late_s=late_s))


class SimSupervisor:
    """Decides nothing. It holds what was chosen, knows which nodes there are, and starts an orchestrator when the last one has ended."""

    def __init__(self, cluster: Cluster, shape: JobShape, settings: Settings, wanted: int) -> None:
        self._cluster, self._shape, self._settings = cluster, shape, settings
        self.held: Plan | None = None
        """The newest plan that the register holds or was told of."""
        self.orchestrators: dict[int, Orchestrator] = {}
        self.known_up: list[int] = []
        self.known_ended: list[int] = []
        self.all_up = False
        self._awaited = wanted
        self.start_orchestrator()

    @property
    def current(self) -> Orchestrator:
        """The newest one."""
        return self.orchestrators[max(self.orchestrators)]

    def _engine_delay_s(self) -> float:
        late = self._cluster.scenario.engine == "late"
        return self._cluster.schedule.dice.random() * (LATE_S if late else 0.01)

    # ---- the engine --------------------------------------------------------------------------------------------------------

    def node_started(self, node: SimNode) -> None:
        """A process runs; the engine will say so."""
        self._cluster.schedule.after(self._engine_delay_s(), self._hear_up, node.number)

    def start_failed(self) -> None:
        """A node that never comes up is waited for until its time is over."""
        self._cluster.schedule.after(self._settings.start_timeout_s, self._one_less)

    def _hear_up(self, number: int) -> None:
        self.known_up.append(number)
        self._tell(self._up(number))
        self._one_less()

    def _one_less(self) -> None:
        self._awaited -= 1
        if self._awaited <= 0 and not self.all_up:
            self.all_up = True
            self._tell(ev.NoMoreNodes())

    def _up(self, number: int) -> ev.AgentUp:
        return ev.AgentUp(agent=number, node=number - 1, address=f"agent-{number}", pid=1000 + number)

    def node_ended(self, node: SimNode) -> None:
        """A process is gone; the engine will say so, or not."""
        if self._cluster.scenario.engine != "never":
            self._cluster.schedule.after(self._engine_delay_s(), self._hear_end, node.number)

    def _hear_end(self, number: int) -> None:
        if number not in self.known_up:  # it ended before it was told that it is up
            self._cluster.schedule.after(LATE_S, self._hear_end, number)
            return
        self.known_ended.append(number)
        self._tell(self._ended(number))

    def _ended(self, number: int) -> ev.AgentEnded:
        return ev.AgentEnded(agent=number, how="was killed")

    def _tell(self, event: ev.OrchestratorEvent) -> None:
        orchestrator = self.current
        self._cluster.network.send(0, -orchestrator.number, orchestrator.hear, event)

    # ---- orchestrators -----------------------------------------------------------------------------------------------------

    def start_orchestrator(self) -> None:
        """It is told what is known, in the order in which a running one would have been."""
        number = len(self.orchestrators) + 1
        clock = draw_clock(self._cluster.schedule.dice, skew=self._cluster.scenario.skew)
        self.orchestrators[number] = Orchestrator(self._cluster, number, self._shape, self._settings, clock)
        self._tell(ev.RegisterHolds(plan=self.held))
        for agent in self.known_up:
            self._tell(self._up(agent))
            if agent in self.known_ended:
                self._tell(self._ended(agent))
        if self.all_up:
            self._tell(ev.NoMoreNodes())
        self._cluster.schedule.after(0.01, self.orchestrators[number].tick)

    def kill_orchestrator(self) -> None:
        """What it has said to the supervisor is read to the end; of what it said to agents, a part. Then the next one is started."""
        gone, network, schedule = self.current, self._cluster.network, self._cluster.schedule
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
        schedule.at(max(schedule.now + schedule.dice.random() * RESTART_S, last_words_s + 1e-6), self.start_orchestrator)

    # ---- the register ------------------------------------------------------------------------------------------------------

    def _note(self, plan: Plan) -> None:
        """D5: it comes late, twice, or after a newer one."""
        if self.held is None or plan.generation > self.held.generation:
            self.held = plan

    def hear(self, orchestrator: Orchestrator, command: do.OrchestratorCommand) -> None:
        """create_if_absent for everybody; an end only from the newest orchestrator, for the others were left by their supervisor."""
        match command:
            case do.Propose(plan=plan):
                if self.held is None or plan.generation > self.held.generation:
                    self.held = plan
                    self._cluster.decisions.created(plan)
                if orchestrator.alive:
                    self._cluster.network.send(0, -orchestrator.number, orchestrator.hear, ev.RegisterHolds(plan=self.held))
                self._cluster.notice("RegisterHolds")
            case do.Note(plan=plan) if self._cluster.scenario.notes != "never":
                late_s = self._cluster.schedule.dice.random() * LATE_S if self._cluster.scenario.notes == "late" else 0.0
                self._cluster.schedule.after(late_s, self._note, plan)
            case do.KillAgent(agent=number) if orchestrator is self.current:
                late_s = self._cluster.schedule.dice.random() * KILLS_LATE_S if self._cluster.scenario.engine == "late" else 0.0
                self._cluster.schedule.after(late_s, self._cluster.end_node, self._cluster.nodes[number])
            case do.Finish() if orchestrator is self.current:
                self._cluster.finished = command
            case _:
                pass
