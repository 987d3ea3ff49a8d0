"""Is every promise kept, at every step? One question each, about everything that there is.

A checker that finds something raises `Broken` with the name of what is broken: a guarantee (G1 to G5), an invariant of the protocol
(section 8), or one of the properties "lost incarnation", "two slots", "wire bytes", "false alarm".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import invariants
from perdure.core import messages as msg
from perdure.core.agent.state import MembershipPhase, Stage
from perdure.core.domains import fullest, risk
from perdure.core.ids import END, Label
from perdure.core.job_events import CommittedEvent, JobEvent, NodeLostEvent
from perdure.core.orchestrator.state import NodeState
from perdure.core.plan import Plan
from perdure.sim import program
from perdure.sim.byte_checks import ByteChecks
from perdure.sim.fencing import Fencing
from perdure.sim.tokens import WARNED, Token
from perdure.sim.vaults import SimVaultEntry
from perdure.sim.workers import SimWorker

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster
    from perdure.sim.nodes import SimNode
    from perdure.sim.orchestrators import Orchestrator

LOCAL: Final = (
    invariants.one_plan_a_generation,
    invariants.two_labels_at_most,
    invariants.prepared_is_whole,
    invariants.main_runs_after_resume,
    invariants.generations_do_not_mix,
    invariants.custodians_only_keep,
)
"""Those that one step of one agent can break by itself: they are asked of that agent alone, and of everybody now and then."""
EVERYBODY_EVERY: Final = 64
"""Steps between two looks at everything at once. Arbitrary: it costs as much as the steps between."""
DEGRADED_S: Final = 1.0
"""Ten times what the slowest simulated node needs to rebuild parity."""
KNOWN_S: Final = 8.0
"""After which an orchestrator knows of a node that has come up. Arbitrary; an engine reports it within two seconds."""
PROMPTLY_KNOWN_S: Final = 1.0
"""The same where the engine reports at once, and no orchestrator takes over, which may have to carry out an older plan."""
HANDS_OVER: Final = ("orchestrator", "rival", "orchestrator_stop", "orchestrators")
GENERATIONS_MAX: Final = 60
"""Three faults make no more than a few each. Arbitrary."""
CHANGES_HOLDINGS: Final = (do.OpenLinks, do.ForgetLabel, do.DropRank, do.BindSlot, do.MoveLabel, do.EndAgent)


class Broken(AssertionError):
    """A promise was not kept. `what`: whose; the text says how."""

    def __init__(self, what: str, text: str) -> None:
        super().__init__(f"{what}: {text}")
        self.what, self.text = what, text


class Checkers:
    """All of them, and what must be remembered between steps."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bytes = ByteChecks(cluster.world, self.require)
        self.past = invariants.Past()
        self.newest: Label | None = None
        """The newest label that was ever known to be committed, or that a generation was chosen to start from."""
        self.entered: dict[tuple[int, int], int] = {}
        """(generation, rank) -> the incarnation whose `main` was entered."""
        self.bases: dict[int, Label | None] = {}
        self.entered_at_s: dict[int, float] = {}
        self.fencing = Fencing(cluster)
        self.end_is_told = False
        """Has an event said that the end is committed?"""
        self._count = 0

    def require(self, holds: bool, what: str, text: str) -> None:
        """Raise `Broken` unless it holds."""
        if not holds:
            raise Broken(what, text)

    def breaks(self, what: str, text: str) -> None:
        """Somebody else has found it."""
        raise Broken(what, text)

    # ---- after every step --------------------------------------------------------------------------------------------------

    def after_agent(self, node: SimNode, event: Any, commands: list[do.AgentCommand]) -> None:
        """I1, I4 to I7 at this agent; that it believes in no chunk that is not there; G1 where something has changed."""
        state = node.state
        asked = event.message if isinstance(event, ev.OrchestratorSaid | ev.PeerSaid) else None
        if isinstance(asked, msg.Accept) and state.current.accepted is not None and state.current.accepted.ballot == asked.ballot:
            self.cluster.decisions.accepted(node.number, asked.generation, state.current.accepted)
        view = invariants.View(agents={node.number: state}, orchestrator=None, chosen=self.cluster.decisions.chosen, past=self.past)
        for check in LOCAL:
            for text in check(view):
                raise Broken(check.__name__, text)
        for hosted in (*state.hosted.values(), *state.kept.values()):
            for slot in hosted.slots.values():
                if slot.stage is not Stage.PREPARED:
                    continue
                held = node.vault.held.get((hosted.rank, slot.label))
                believed = held is not None and not (slot.data & ~held.right_data or slot.parity & ~held.right_parity)
                if not believed and not self.cluster.world.flipped:
                    raise Broken("G1", f"agent {state.me} says that rank {hosted.rank} has {slot.label} prepared, and chunks are missing")
        if isinstance(event, ev.SlotVerified | ev.Scrubbed | ev.Repaired) and commands:
            self.wrong_is_erased(node, event.rank, event.label, event.wrong)
        invariants.remember(view)
        committed = state.current.committed
        if committed is not None and (self.newest is None or committed > self.newest):
            self._committed(committed)
        elif any(isinstance(command, CHANGES_HOLDINGS) for command in commands):
            self.groups_of(node)
        self._now_and_then()

    def after_orchestrator(self, orchestrator: Orchestrator, commands: list[do.OrchestratorCommand]) -> None:
        """I1 and I2 of its plan; and nothing is said to the lost."""
        state = orchestrator.state
        has_finished = False
        for command in commands:
            has_finished = has_finished or isinstance(command, do.Finish)
            if isinstance(command, do.TellAgent):
                ends = isinstance(command.message, msg.EndJob) and state.alive(command.agent)
                self.require(has_finished or not ends, "C10", "agents are asked to end, and the supervisor has no result yet")
                node = state.nodes.get(command.agent)
                lost = node is not None and (
                    (node.state is NodeState.LOST and not isinstance(command.message, msg.EndJob))
                    or (node.state is NodeState.EXCLUDED and not isinstance(command.message, msg.Seal | msg.Install | msg.EndJob))
                )
                self.require(not lost, "lost incarnation", f"{type(command.message).__name__} to agent {command.agent}, which is lost")
        if state.committed is not None:
            self.fencing.committed(state.committed)
            self.past.committed.add(state.committed)
            if self.newest is None or state.committed > self.newest:
                self._committed(state.committed)
        self._now_and_then()

    def published(self, event: JobEvent) -> None:
        """Note the end, and the nodes that are called lost: something was done to each of them."""
        match event:
            case CommittedEvent(end=True):
                self.end_is_told = True
            case NodeLostEvent(node=node, reason=reason):
                self.fencing.called_lost(node + 1)
                self.require(node + 1 in self.cluster.world.touched, "false alarm", f"node {node} is called lost: {reason}")

    def _now_and_then(self) -> None:
        self._count += 1
        if self._count % EVERYBODY_EVERY == 0:
            self.everything()
            self.protected_again()
            self.fencing.check()

    def everything(self) -> None:
        """All invariants of the core, of everybody."""
        cluster = self.cluster
        living = {node.number: node.state for node in cluster.nodes.values() if node.alive}
        newest = cluster.supervisor.newest
        view = invariants.View(
            agents=living, orchestrator=newest.state if newest is not None else None, chosen=cluster.decisions.chosen, past=self.past
        )
        for text in invariants.violations(view):
            if not cluster.world.flipped:
                raise Broken("invariant", text)

    def protected_again(self) -> None:
        """G4: some time after `main` was entered, with an orchestrator and nobody stopped or cut off, no slot is without its parity.

        Where a member has ended and nobody knows it yet, its chunks are waited for until it counts as lost.
        """
        cluster, now = self.cluster, self.cluster.world.schedule.now
        generation = len(cluster.decisions.chosen)
        if cluster.supervisor.has_served_s() < DEGRADED_S:
            return
        members = cluster.decisions.chosen[-1].agents() if cluster.decisions.chosen else ()
        if not all(cluster.nodes[agent].alive for agent in members):
            return
        if now - self.entered_at_s.get(generation, now) < DEGRADED_S or any(cluster.is_hindered(node) for node in cluster.nodes.values()):
            return
        for node in cluster.nodes.values():
            if node.alive and node.state.phase is MembershipPhase.MEMBER and node.state.generation == generation:
                for hosted in node.state.hosted.values():
                    bare = [slot.label for slot in hosted.slots.values() if slot.stage is Stage.REBUILDING]
                    self.require(not bare, "G4", f"rank {hosted.rank} has no parity for {bare}, {DEGRADED_S:g} s after it went on")

    # ---- G1: a committed superstep is never lost ---------------------------------------------------------------------------

    def _committed(self, label: Label) -> None:
        self.newest = label
        plan = self.cluster.decisions.chosen[-1]
        self._no_commit_is_lost()
        for index in range(len(plan.groups)):
            self.group(plan, index)

    def plan_chosen(self, plan: Plan) -> None:
        """I2: it starts from the newest label that was committed, or from a newer one."""
        self._no_commit_is_lost()
        self.require(plan.generation < GENERATIONS_MAX, "G4", f"generation {plan.generation}, and no end")
        if plan.generation == 1:
            self.spread(plan)
        if plan.base is not None and (self.newest is None or plan.base > self.newest):
            self.newest = plan.base
        for index in range(len(plan.groups)):
            self.group(plan, index)
        self.spares_used(plan)

    def spares_used(self, plan: Plan) -> None:
        """D3, E10: no node holds more than `ranks_per_node` ranks while a spare, known for long, has none."""
        cluster, now = self.cluster, self.cluster.world.schedule.now
        scenario = cluster.world.scenario
        is_prompt = scenario.engine == "prompt" and not any(fault.kind in HANDS_OVER for fault in scenario.faults)
        known_s = PROMPTLY_KNOWN_S if is_prompt else KNOWN_S
        if not cluster.world.arrived_at_s or len(cluster.decisions.chosen) < 2 or cluster.supervisor.has_served_s() < known_s:
            return
        if plan.base is not None and plan.base.superstep == END:
            return
        full = [agent for agent in plan.agents() if len(plan.ranks_of(agent)) > cluster.world.scenario.ranks_per_node]
        idle = [
            number for number, since_s in cluster.world.arrived_at_s.items()
            if now - since_s > known_s and cluster.nodes[number].alive and number not in plan.agents()
            and number not in self.fencing.lost_at_s and cluster.nodes[number].state.plan is None and number not in cluster.world.touched
        ]  # fmt: skip
        self.require(not (full and idle), "D3", f"agent {full} has too many ranks while agent {idle} is a spare")

    def spread(self, plan: Plan) -> None:
        """G1: where there are nodes enough, the loss of any m nodes is no more than m losses to every group; nor is that of a rack, where
        its ranks are few enough."""
        widest = max(len(group) for group in plan.groups)
        wanted = -(-plan.size // self.cluster.world.scenario.ranks_per_node)
        if len(plan.agents()) == wanted >= widest:
            tolerance = plan.tolerance()
            self.require(tolerance >= plan.parity, "G1", f"the loss of {tolerance + 1} nodes is too much for a parity of {plan.parity}")
        homes, domains = [place.node for place in plan.placements], self.cluster.world.scenario.domains
        if max(fullest(homes, domains)[:-1], default=0) <= plan.parity * len(plan.groups):
            self.require(not (found := risk(plan.groups, homes.__getitem__, plan.parity, domains)), "G1", found)

    def _no_commit_is_lost(self) -> None:
        view = invariants.View(agents={}, orchestrator=None, chosen=self.cluster.decisions.chosen, past=self.past)
        for text in invariants.no_commit_is_lost(view):
            raise Broken("I2", text)

    def groups_of(self, node: SimNode) -> None:
        """G1 for the groups that have members at this node."""
        if self.cluster.decisions.chosen:
            plan = self.cluster.decisions.chosen[-1]
            for index in {plan.group_index(rank) for rank in plan.ranks_of(node.number)}:
                self.group(plan, index)

    def group(self, plan: Plan, index: int) -> None:
        """Where no more than m ranks are lost or not yet rebuilt, of no stripe more than m chunks are missing: looked up in the bytes."""
        label, group = self.newest, plan.groups[index]
        if label is None or self.cluster.world.flipped:
            return
        lost = [rank for rank in group if self.is_lost(plan, rank, label)]
        if len(lost) > plan.parity:
            return
        geometry = plan.geometry(index)
        full_data, full_parity = (1 << geometry.d) - 1, (1 << geometry.m) - 1
        missing: dict[int, int] = {}
        for member, rank in enumerate(group):
            held = self._held(plan, rank, label)
            data, parity = (held.right_data, held.right_parity) if held else (0, 0)
            if data == full_data and parity == full_parity:
                continue
            for stripe in range(geometry.n):
                position = geometry.position(stripe, member)
                there = data >> position & 1 if position < geometry.d else parity >> (position - geometry.d) & 1
                missing[stripe] = missing.get(stripe, 0) + (not there)
        for stripe, count in missing.items():
            if count > plan.parity:
                raise Broken("G1", f"stripe {stripe} of group {index} at {label} lacks {count} chunks, and only ranks {lost} are lost")

    def _held(self, plan: Plan, rank: int, label: Label) -> SimVaultEntry | None:
        home = self.cluster.nodes[plan.agent_of(rank)]
        return home.vault.held.get((rank, label)) if home.alive else None

    def is_lost(self, plan: Plan, rank: int, label: Label) -> bool:
        """Has the rank no living home, or one where this label is still being rebuilt?"""
        home = self.cluster.nodes[plan.agent_of(rank)]
        if not home.alive:
            return True
        hosted = home.state.hosted.get(rank)
        slot = hosted.slots.get(label) if hosted else None
        if slot is None:
            return home.state.generation < plan.generation
        return slot.stage is Stage.REBUILDING

    def wrong_is_erased(self, node: SimNode, rank: int, label: Label, wrong: msg.Chunks) -> None:
        """R5, S2, S4: an agent that has been told of wrong chunks does not count them."""
        hosted = node.state.hosted.get(rank)
        slot = hosted.slots.get(label) if hosted else None
        believed = slot is not None and (slot.data & wrong.data or slot.parity & wrong.parity or (slot.replicated and wrong.replicated))
        self.require(not believed, "R5", f"agent {node.number} counts chunks of rank {rank} at {label} that do not have their digests")

    # ---- commands ----------------------------------------------------------------------------------------------------------

    def vault_told(self, node: SimNode, command: Any) -> None:
        """Memory slots never exceed two, and none is bound, or copied to, while it holds a label (C7, M2)."""
        if isinstance(command, do.CopySlot):
            kept = [label for rank, label in node.vault.held if rank == command.rank]
            self.require(kept == [command.label], "two slots", f"rank {command.rank} holds {kept}, and {command.label} is copied")
        if isinstance(command, do.BindSlot):
            self.require(command.index in (0, 1), "two slots", f"rank {command.rank} is given slot {command.index}")
            for (rank, label), held in node.vault.held.items():
                taken = rank == command.rank and held.index == command.index and label != command.label
                self.require(not taken, "two slots", f"slot {command.index} of rank {rank} is bound to {command.label}, and holds {label}")

    def worker_starts(self, node: SimNode, rank: int, incarnation: int) -> None:
        """G3, W2: a rank has one process at a node, and of an incarnation that its plan names."""
        self.require(rank not in node.workers, "G3", f"W2: a second worker for rank {rank} on agent {node.number}")
        place = node.plan.placements[rank]
        right = place.agent == node.number and place.incarnation == incarnation
        self.require(right, "lost incarnation", f"agent {node.number} starts rank {rank}.{incarnation}, and the plan has {place}")

    def worker_told(self, node: SimNode, worker: SimWorker, message: msg.ToWorker) -> None:
        """G2, G3, I6: `main` is entered by the plan's incarnation only, once a generation, with the bytes of the committed base."""
        hosted = node.state.hosted.get(worker.rank)
        right = hosted is not None and hosted.incarnation == worker.incarnation
        self.require(right, "lost incarnation", f"{type(message).__name__} to rank {worker.rank}.{worker.incarnation}")
        if not isinstance(message, msg.Enter):
            return
        plan, rank, base = node.plan, worker.rank, message.base
        place = plan.placements[rank]
        self.require(place.incarnation == worker.incarnation, "G3", f"rank {rank}.{worker.incarnation} is entered; the plan has {place}")
        self.entered_at_s.setdefault(message.generation, self.cluster.world.schedule.now)
        first = self.entered.setdefault((message.generation, rank), worker.incarnation)
        self.require(first == worker.incarnation, "G3", f"two incarnations of rank {rank} are entered in generation {message.generation}")
        same = self.bases.setdefault(message.generation, base) == base == plan.base
        self.require(same, "G2", f"rank {rank} enters generation {message.generation} from {base}, others from {plan.base}")
        if base is not None:
            wanted = program.state_of(rank, program.before(base.superstep, self.cluster.world.scenario.count))
            held = node.vault.held.get((rank, base))
            right = held is not None and (node.vault.bytes_of(rank, base) == wanted or held.flipped)
            self.require(right, "G2", f"rank {rank} enters from {base} with bytes that were never committed")
            offered = message.offer is not None and message.offer.items[0].digest == program.offer_of(rank, wanted, b"").items[0].digest
            self.require(offered, "I6", f"rank {rank} enters from {base} with another offer")

    # ---- messages of ranks -------------------------------------------------------------------------------------------------

    def token_taken(self, rank: int, token: Token, interval: int) -> None:
        """C11: what is received before a commit was sent before it, and what is received after it was sent after it."""
        allowed = token.extra and self.cluster.world.scenario.messages == WARNED
        fits = token.interval == interval or allowed
        self.require(fits, "C11", f"rank {rank} receives in its commit interval {interval} what was sent in interval {token.interval}")
