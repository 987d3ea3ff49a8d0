"""A job without processes: the two state machines of the core, and a fake of everything around them, in virtual time.

One orchestrator, agents, workers, vaults with their links, the supervisor with its register. What is said goes through queues, one for
each direction of each connection, first in first out; which queue, worker or piece of vault work goes on next is drawn from a seed. So
a run is a function of its arguments, and a failure names them all (`Cluster.story`).

A vault here holds no bytes but knows which chunks are truly there, so it can say when the core is mistaken. It behaves as
`perdure.runtime.agent` does: work waits for memory at the other end, ends with its links, and is quiet after `ShutLinks`.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from perdure.core import agent as agent_machine
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import invariants, trace
from perdure.core import messages as msg
from perdure.core import orchestrator as orchestrator_machine
from perdure.core.agent.state import AgentState, Stage, full_masks
from perdure.core.ids import END, Label
from perdure.core.offers import Form, Item, Kind, Offer
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.core.plan import Plan
from perdure.core.settings import Settings

TICK_S = 0.2
EVENT_S = 0.0002
"""Virtual time that one delivery takes."""
HANG_S = 100.0
"""Longer than every deadline of the settings together; a run without an end by then never has one."""
SETTINGS = Settings(unwind_timeout_s=5.0, start_timeout_s=5.0)
COSTS = msg.RankCosts(protect_s=0.0, application_bytes=0, live_bytes=0)
SHOWN = ("agent", "rank", "incarnation", "generation", "label", "ballot", "p", "position", "index", "how", "error", "text", "superstep")
FROZEN_S = {"pause": 1.0, "stun": 15.0, "silence": 1e9}
CHATTER = (msg.Heartbeat, msg.Progress)


def offer_of(rank: int, superstep: int, next_position: int = -1, ended_at: int = -1) -> Offer:
    """The offer of a rank whose state is a function of the superstep, as every deterministic program's is."""
    digest = (min(superstep, 1 << 20) << 8) + rank
    item = Item(
        name="x", kind=Kind.SHARDED, form=Form.ARRAY, dtype="<f8", shape=(1,), global_shape=(8,), axis=0, offset=0, nbytes=8,
        blocks=b"", digest=digest,
    )  # fmt: skip
    return Offer(rank=rank, items=(item,), coded_bytes=8, replicated_bytes=0, next_position=next_position, ended_at=ended_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`kind` happens `delay` deliveries after the `nth` time that `phase` (the name of a command, message or event) was seen.

    kinds: kill (an agent), crash (a worker), silence (an agent, for ever), stun (an agent, for longer than silence is forgiven), pause (an
    agent, one second), orchestrator.
    victim: which one, counted among those that there are. cut: a killed one did only the first commands of its last step.
    """

    kind: str
    phase: str
    nth: int = 1
    delay: int = 0
    victim: int = 0
    cut: bool = False


@dataclass(slots=True)
class Chunks:
    """The truth about one label in one vault."""

    index: int
    offer: Offer | None = None
    members: tuple[Offer, ...] = ()
    data: int = 0
    parity: int = 0
    replicated: bool = False


@dataclass(slots=True)
class Work:
    """One thread of a vault: goes on whenever the schedule says so, until it ends or its links do."""

    generation: int
    body: Iterator[bool]
    """Yields whether it could go on; False: it waits for something."""
    asked_at: int = -1
    """It waits since then, and is not asked again before anything has happened."""


class LinkDown(Exception):
    """The links of the generation were shut, here or there, or the other agent has ended."""


@dataclass(slots=True)
class Worker:
    """The fake of one worker process: `main` is a loop of `count` supersteps that commits where it is told to."""

    agent: int
    rank: int
    incarnation: int
    count: int
    inbox: deque[msg.ToWorker] = field(default_factory=deque)
    said: deque[ev.AgentEvent] = field(default_factory=deque)
    alive: bool = True
    main: Iterator[msg.FromWorker | bool] | None = None
    """Yields what it says, True after a superstep, False where it waits."""
    asked_at: int = -1
    enter: msg.Enter | None = None
    revoked: int = 0
    may_copy: set[Label] = field(default_factory=set)
    committed: Label | None = None
    positions: set[int] = field(default_factory=set)
    raises: bool = False

    def hear(self, message: msg.ToWorker) -> None:
        match message:
            case msg.Enter():
                self.enter = message
                self.positions, self.committed = set(message.positions), None
                self.may_copy.clear()
                self.main = self.run(message)
            case msg.MayCopy(label=label):
                self.may_copy.add(label)
            case msg.LabelCommitted(label=label, positions=positions):
                self.committed = label
                self.positions |= set(positions)
            case msg.Revoke(generation=generation):
                self.revoked = max(self.revoked, generation)
            case _:
                pass

    def go(self) -> msg.FromWorker | bool:
        """One step of `main`."""
        if self.main is None or self.enter is None:
            return False
        if self.revoked >= self.enter.generation:
            self.main = None
            return msg.Unwound(generation=self.enter.generation, clean=True)
        try:
            return next(self.main)
        except StopIteration:
            self.main = None
            return False

    def run(self, enter: msg.Enter) -> Iterator[msg.FromWorker | bool]:
        g, base = enter.generation, enter.base
        first = base.superstep if base else 0
        if base is None:
            yield from self.commit(Label(g, 0))
        for superstep in range(first, self.count):
            if superstep != first:
                while superstep > max(self.positions):
                    yield False
                if superstep in self.positions:
                    yield from self.commit(Label(g, superstep))
            yield True
            if self.raises:
                yield msg.MainRaised(generation=g, error="ProgramFailed", text="as asked")
                return
        yield from self.commit(Label(g, END))
        while True:
            yield False

    def commit(self, label: Label) -> Iterator[msg.FromWorker | bool]:
        yield msg.AtPosition(label=label)
        while label not in self.may_copy:
            yield False
        yield True
        later = sorted(position for position in self.positions if position > label.superstep)
        position = (later[0] if later else label.superstep) + 1 if self.rank == 0 and label.superstep != END else -1
        offer = offer_of(self.rank, label.superstep, position, self.count if label.superstep == END else -1)
        yield msg.Snapped(label=label, offer=offer, costs=COSTS)
        if label.superstep in (0, END):
            while self.committed is None or self.committed < label:
                yield False


@dataclass(slots=True)
class Agent:
    """One node: its machine, its vault, its workers."""

    state: AgentState
    alive: bool = True
    known_dead: bool = False
    frozen_until: float = 0.0
    held: dict[tuple[int, Label], Chunks] = field(default_factory=dict)
    opened: int = 0
    shut: int = 0
    works: list[Work] = field(default_factory=list)
    posted: deque[ev.AgentEvent] = field(default_factory=deque)
    workers: dict[int, Worker] = field(default_factory=dict)
    orchestrator: int = 0
    """The round that it is connected to; 0: none."""
    tick_at: float = 0.0
    lines: list[trace.Line] = field(default_factory=list)


class Cluster:
    """One job. `run` ends with `Finish`, or raises AssertionError with the story of the run."""

    def __init__(
        self, *, ranks: int, parity: int, seed: int, spares: int = 1, count: int = 4, faults: tuple[Fault, ...] = (),
        ranks_per_node: int = 1, group_size: int = 0,
    ) -> None:  # fmt: skip
        self.arguments = f"ranks={ranks}, parity={parity}, seed={seed}, spares={spares}, count={count}, faults={faults}"
        if ranks_per_node > 1 or group_size:
            self.arguments += f", ranks_per_node={ranks_per_node}, group_size={group_size}"
        self.dice = random.Random(f"{self.arguments}")
        self.count, self.faults = count, list(faults)
        self.shape = JobShape(ranks=ranks, ranks_per_node=ranks_per_node, group_size=group_size or ranks, parity=parity)
        self.now = 0.0
        self.past = invariants.Past()
        self.chosen: list[Plan] = []
        self.finished: do.Finish | None = None
        self.log: deque[tuple[float, str, Any, list[Any]]] = deque(maxlen=400)
        self.seen: Counter[str] = Counter()
        self.due: list[tuple[int, Fault]] = []
        self.deliveries = 0
        self.progress = 0
        """Counts what others may have waited for."""
        self.cut = False
        self.recorded = False
        self.agents: dict[int, Agent] = {}
        self.between: dict[tuple[int, int], deque[msg.ToPeer]] = {}
        self.to_agent: dict[tuple[int, int], deque[msg.ToAgent | None]] = {}
        """(round, agent) -> what that orchestrator said; None at the end of a dead one's words."""
        self.from_agent: dict[int, deque[msg.FromAgent]] = {}
        self.to_supervisor: deque[do.OrchestratorCommand] = deque()
        self.from_supervisor: deque[ev.OrchestratorEvent] = deque()
        self.orchestrator: OrchestratorState | None = None
        self.orchestrator_tick = 0.0
        self.rounds = 0
        self.speed: dict[Any, float] = {}
        for _ in range(-(-ranks // ranks_per_node) + spares):
            self.start_agent()
        self.start_orchestrator()

    # ---- processes --------------------------------------------------------------------------------------------------------

    def start_agent(self) -> int:
        number = len(self.agents) + 1
        state = AgentState(me=number, node=number - 1, settings=SETTINGS, orphan_since=self.now)
        self.agents[number] = Agent(state)
        if self.recorded:
            self.agents[number].lines.append(trace.born(state))
        if self.rounds:
            self.from_supervisor.append(self.up(number))
        return number

    def up(self, number: int) -> ev.AgentUp:
        return ev.AgentUp(agent=number, node=number - 1, address=f"agent-{number}", pid=1000 + number)

    def start_orchestrator(self) -> None:
        self.rounds += 1
        self.orchestrator = OrchestratorState(round=self.rounds, shape=self.shape, settings=SETTINGS)
        self.from_agent = {}
        self.from_supervisor = deque([ev.RegisterHolds(plan=self.chosen[-1] if self.chosen else None)])
        for number, agent in self.agents.items():
            self.from_supervisor.append(self.up(number))
            if not agent.alive:
                self.from_supervisor.append(ev.AgentEnded(agent=number, how="was killed"))
                agent.known_dead = True
        self.from_supervisor.append(ev.NoMoreNodes())

    def kill_orchestrator(self) -> None:
        """What it said may still arrive in part; what it was told is lost. The supervisor hears its last words, then starts the next."""
        self.log.append((self.now, f"*** orchestrator {self.rounds} killed", None, []))
        while self.to_supervisor and not self.finished:
            self.supervisor_hears(self.to_supervisor.popleft())
        if self.finished:
            return
        self.orchestrator = None
        for (number, _), queue in self.to_agent.items():
            if number == self.rounds:
                for _ in range(self.dice.randrange(len(queue) + 1) if self.dice.random() < 0.5 else 0):
                    queue.pop()
                queue.append(None)
        self.start_orchestrator()

    def kill_agent(self, number: int) -> None:
        agent = self.agents[number]
        if not agent.alive:
            return
        self.log.append((self.now, f"*** agent {number} killed", None, []))
        agent.alive = False
        agent.works.clear()
        agent.workers.clear()
        self.from_supervisor.append(ev.AgentEnded(agent=number, how="was killed"))

    def kill_worker(self, agent: Agent, rank: int, how: str) -> None:
        worker = agent.workers.get(rank)
        if worker is None or not worker.alive:
            return
        self.log.append((self.now, f"*** worker {rank} on agent {agent.state.me} {how}", None, []))
        worker.alive = False
        worker.said.append(ev.WorkerEnded(rank=rank, incarnation=worker.incarnation, how=how))

    # ---- faults -----------------------------------------------------------------------------------------------------------

    def notice(self, name: str) -> None:
        """Something happened that a fault may wait for."""
        self.seen[name] += 1
        for fault in [fault for fault in self.faults if fault.phase == name and fault.nth <= self.seen[name]]:
            self.faults.remove(fault)
            self.due.append((self.deliveries + fault.delay, fault))
            if fault.cut:
                self.cut = True

    def strike(self) -> None:
        for when, fault in [one for one in self.due if one[0] <= self.deliveries]:
            self.due.remove((when, fault))
            living = [number for number, agent in self.agents.items() if agent.alive]
            if fault.kind == "orchestrator":
                self.kill_orchestrator()
            elif living:
                victim = living[fault.victim % len(living)]
                if fault.kind == "kill":
                    self.kill_agent(victim)
                elif fault.kind == "crash":
                    workers = [(agent, rank) for agent in self.agents.values() if agent.alive for rank in agent.workers]
                    if workers:
                        self.kill_worker(*workers[fault.victim % len(workers)], "was killed")
                else:
                    self.log.append((self.now, f"*** agent {victim}: {fault.kind}", None, []))
                    self.agents[victim].frozen_until = self.now + FROZEN_S[fault.kind]

    # ---- the schedule -----------------------------------------------------------------------------------------------------

    def run(self) -> do.Finish:
        idle = False
        while self.finished is None:
            if self.now > HANG_S:
                raise AssertionError(self.story(f"hangs: nothing has ended the job in {HANG_S:g} s"))
            choices = self.choices()
            if choices:
                weights = [weight for weight, _ in choices]
                self.dice.choices([act for _, act in choices], weights)[0]()
                self.deliveries += 1
                self.now += EVENT_S
            idle = not choices
            self.strike()
            self.ticks(idle)
        return self.finished

    def choices(self) -> list[tuple[float, Callable[[], None]]]:
        """Everything that can go on, with its weight: connections have a speed that lasts."""
        found: list[tuple[float, Callable[[], None]]] = []

        def add(key: Any, act: Callable[[], None]) -> None:
            if key not in self.speed:
                self.speed[key] = self.dice.choice((1.0, 1.0, 0.2, 0.03))
            found.append((self.speed[key], act))

        for (source, target), queue in self.between.items():
            if queue and self.awake(target):
                add((source, target), lambda a=source, b=target, q=queue: self.step_agent(b, ev.PeerSaid(agent=a, message=q.popleft())))
        for (number, target), said in self.to_agent.items():
            if said and self.awake(target):
                add(("to", number, target), lambda n=number, t=target: self.agent_hears(n, t))
        if self.orchestrator is not None:
            for source, heard in self.from_agent.items():
                if heard:
                    add(
                        ("from", source),
                        lambda s=source, h=heard: self.step_orchestrator(ev.AgentSaid(agent=s, message=h.popleft())),
                    )
            if self.from_supervisor:
                add("supervisor", lambda: self.step_orchestrator(self.from_supervisor.popleft()))
        if self.to_supervisor:
            add("register", lambda: self.supervisor_hears(self.to_supervisor.popleft()))
        for number, agent in self.agents.items():
            if not self.awake(number):
                continue
            if agent.posted:
                add(("vault", number), lambda n=number, a=agent: self.step_agent(n, a.posted.popleft()))
            for work in [work for work in agent.works if work.asked_at != self.progress]:
                add(("work", number), lambda a=agent, w=work: self.do_work(a, w))
            for worker in list(agent.workers.values()):
                self.worker_choices(add, number, agent, worker)
        return found

    def worker_choices(self, add: Callable[[Any, Callable[[], None]], None], number: int, agent: Agent, worker: Worker) -> None:
        key = ("worker", number, worker.rank)
        if worker.said:
            add((*key, "said"), lambda: self.agent_hears_worker(number, agent, worker))
        if not worker.alive:
            return
        if worker.inbox:
            add((*key, "inbox"), lambda: self.worker_hears(worker))
        if worker.main is not None and worker.asked_at != self.progress:
            add(key, lambda: self.worker_goes(worker))

    def awake(self, number: int) -> bool:
        agent = self.agents[number]
        return agent.alive and agent.frozen_until <= self.now

    def ticks(self, idle: bool) -> None:
        times = [agent.tick_at for number, agent in self.agents.items() if self.awake(number)]
        times += [agent.frozen_until for agent in self.agents.values() if agent.alive and self.now < agent.frozen_until < 1e6]
        if self.orchestrator is not None:
            times.append(self.orchestrator_tick)
        if idle:
            self.now = max(self.now, min(times, default=self.now + 1.0))
        for number, agent in self.agents.items():
            if self.awake(number) and agent.tick_at <= self.now:
                late = self.now - agent.tick_at if agent.tick_at else 0.0
                agent.tick_at = self.now + TICK_S
                self.step_agent(number, ev.Tick(late_s=late))
        if self.orchestrator is not None and self.orchestrator_tick <= self.now:
            self.orchestrator_tick = self.now + TICK_S
            self.step_orchestrator(ev.Tick(late_s=0.0))

    # ---- machines take their steps ----------------------------------------------------------------------------------------

    def step_agent(self, number: int, event: ev.AgentEvent) -> None:
        agent = self.agents[number]
        self.progress += 1
        try:
            commands = agent_machine.step(agent.state, event, self.now)
        except Exception as error:
            raise AssertionError(self.story(f"agent {number} broke on {event}: {error!r}")) from error
        if self.recorded:
            agent.lines.append(trace.Step(now=self.now, event=event, commands=tuple(commands)))
        matters = self.note(f"agent {number}", event, commands)
        name = _name(event)
        done = self.partly(commands, name)
        for command in done:
            self.execute(number, agent, command)
        if matters:
            self.check()
        if len(done) < len(commands):
            self.kill_agent(number)
        self.notice(name)

    def step_orchestrator(self, event: ev.OrchestratorEvent) -> None:
        assert self.orchestrator is not None
        try:
            commands = orchestrator_machine.step(self.orchestrator, event, self.now)
        except Exception as error:
            raise AssertionError(self.story(f"the orchestrator broke on {event}: {error!r}")) from error
        if self.note("orchestrator", event, commands):
            self.check()
        done = self.partly(commands, "orchestrator")
        for command in done:
            match command:
                case do.TellAgent(agent=number, message=message):
                    if self.agents[number].alive:
                        self.to_agent.setdefault((self.rounds, number), deque()).append(message)
                    self.notice(_name(message))
                case do.KillAgent(agent=number):
                    self.kill_agent(number)
                case do.Propose() | do.Finish():
                    self.to_supervisor.append(command)
                    self.notice(type(command).__name__)
                case do.Publish():
                    pass
        if len(done) < len(commands):
            self.kill_orchestrator()

    def partly(self, commands: list[Any], who: str) -> list[Any]:
        """All commands; or only the first ones, of a process that is killed in the middle of a step."""
        if not self.cut or len(commands) < 2:
            return commands
        kinds = {fault.kind for _, fault in self.due if fault.cut}
        if ("orchestrator" if who == "orchestrator" else "kill") not in kinds:
            return commands
        self.cut = False
        self.due = [(when, fault) for when, fault in self.due if not fault.cut]
        return commands[: self.dice.randrange(1, len(commands))]

    def note(self, who: str, event: Any, commands: list[Any]) -> bool:
        """Into the log, unless it is chatter."""
        if (isinstance(event, ev.Tick) or isinstance(getattr(event, "message", None), CHATTER)) and all(
            isinstance(getattr(command, "message", None), CHATTER) for command in commands
        ):
            return False
        self.log.append((self.now, who, event, commands))
        return True

    def check(self) -> None:
        """The invariants, and that nobody believes in chunks that are not there."""
        living = {number: agent.state for number, agent in self.agents.items() if agent.alive}
        view = invariants.View(agents=living, orchestrator=self.orchestrator, chosen=self.chosen, past=self.past)
        wrong = invariants.violations(view)
        for agent, hosted, slot in view.slots():
            truth = self.agents[agent.me].held.get((hosted.rank, slot.label))
            if slot.stage is Stage.PREPARED and truth is not None and (slot.data & ~truth.data or slot.parity & ~truth.parity):
                wrong.append(f"agent {agent.me} says that rank {hosted.rank} has {slot.label} prepared, and chunks are missing")
        if wrong:
            raise AssertionError(self.story("; ".join(wrong)))
        invariants.remember(view)

    def story(self, what: str) -> str:
        steps = [
            f"{now:.4f} {who}" + (f": {_short(event)} -> {', '.join(map(_short, commands))}" if event else "")
            for now, who, event, commands in list(self.log)[-120:]
        ]
        return "\n".join([what, f"Cluster({self.arguments}).run()", *steps])

    # ---- what agents hear and say -----------------------------------------------------------------------------------------

    def agent_hears(self, number: int, target: int) -> None:
        """The newest orchestrator is the only one that is heard: its connection ends the older one's."""
        agent = self.agents[target]
        queue = self.to_agent[number, target]
        message = queue.popleft()
        if number < agent.orchestrator:
            queue.clear()
            return
        if message is None:
            if agent.orchestrator == number:
                agent.orchestrator = 0
                self.step_agent(target, ev.OrchestratorGone())
            return
        agent.orchestrator = number
        self.step_agent(target, ev.OrchestratorSaid(message=message))

    def agent_hears_worker(self, number: int, agent: Agent, worker: Worker) -> None:
        event = worker.said.popleft()
        if isinstance(event, ev.WorkerEnded):
            del agent.workers[worker.rank]
        self.step_agent(number, event)

    def worker_hears(self, worker: Worker) -> None:
        self.progress += 1
        worker.hear(worker.inbox.popleft())

    def worker_goes(self, worker: Worker) -> None:
        message = worker.go()
        if message is False:
            worker.asked_at = self.progress
            return
        self.progress += 1
        if message is not True:
            worker.said.append(ev.WorkerSaid(rank=worker.rank, incarnation=worker.incarnation, message=message))

    def supervisor_hears(self, command: do.OrchestratorCommand) -> None:
        match command:
            case do.Propose(plan=plan):
                if not self.chosen or plan.generation == self.chosen[-1].generation + 1:
                    self.chosen.append(plan)
                self.from_supervisor.append(ev.RegisterHolds(plan=self.chosen[-1]))
                self.notice("RegisterHolds")
            case do.Finish():
                self.finished = command
            case _:
                raise AssertionError(command)

    def execute(self, number: int, agent: Agent, command: do.AgentCommand) -> None:
        self.notice(_name(command))
        match command:
            case do.TellOrchestrator(message=message):
                if agent.orchestrator == self.rounds and self.orchestrator is not None:
                    self.from_agent.setdefault(number, deque()).append(message)
            case do.TellPeer(agent=other, message=message):
                if self.agents[other].alive:
                    self.between.setdefault((number, other), deque()).append(message)
            case do.TellWorker(rank=rank, message=message):
                if rank in agent.workers:
                    if isinstance(message, msg.Enter):
                        self.check_enter(rank, message)
                    agent.workers[rank].inbox.append(message)
            case do.StartWorker(rank=rank, incarnation=incarnation):
                if rank in agent.workers:
                    raise AssertionError(self.story(f"W2: a second worker for rank {rank} on agent {number}"))
                worker = agent.workers[rank] = Worker(number, rank, incarnation, self.count)
                worker.said.append(ev.WorkerBorn(rank=rank, incarnation=incarnation, pid=1))
                loaded = msg.Loaded(address=f"rank-{rank}.{incarnation}")
                worker.said.append(ev.WorkerSaid(rank=rank, incarnation=incarnation, message=loaded))
            case do.KillWorker(rank=rank):
                self.kill_worker(agent, rank, "was killed by its agent")
            case do.EndAgent():
                self.kill_agent(number)
            case do.SendResult(rank=rank, label=label):
                payload = f"{rank} {label.superstep == END} {agent.held[rank, label].data}".encode()
                self.execute(number, agent, do.TellOrchestrator(message=msg.Result(payload=payload)))
            case do.ReportTraffic(label=label):
                self.execute(number, agent, do.TellOrchestrator(message=msg.Traffic(label=label, parity=0, rebuild=0)))
            case do.ReserveMemory():
                pass
            case _:
                self.execute_on_vault(agent, command)

    def check_enter(self, rank: int, enter: msg.Enter) -> None:
        """I6: bytes equal to the offer of the base."""
        if enter.base is not None and (enter.offer is None or enter.offer.items != offer_of(rank, enter.base.superstep).items):
            raise AssertionError(self.story(f"I6: rank {rank} enters at {enter.base} with the offer {enter.offer}"))

    # ---- the vault and its links ------------------------------------------------------------------------------------------

    def execute_on_vault(self, agent: Agent, command: Any) -> None:
        match command:
            case do.OpenLinks(plan=plan):
                agent.opened = plan.generation
            case do.ShutLinks(generation=generation):
                agent.shut = max(agent.shut, generation)
                agent.works.append(Work(1 << 30, self.wait_quiet(agent, generation)))
            case do.BindSlot(rank=rank, label=label, index=index):
                same = [other for (r, other), chunks in agent.held.items() if r == rank and chunks.index == index and other != label]
                if same:
                    raise AssertionError(self.story(f"C7: slot {index} of rank {rank} is bound to {label} and still holds {same[0]}"))
                agent.held[rank, label] = Chunks(index)
            case do.ExposeSlot(rank=rank, label=label, offer=offer):
                chunks = agent.held[rank, label]
                chunks.offer, chunks.replicated = offer, True
                chunks.data = full_masks(self.plan_of(agent), rank)[0]
            case do.ForgetLabel(rank=rank, label=label):
                agent.held.pop((rank, label), None)
            case do.DropRank(rank=rank):
                for key in [key for key in agent.held if key[0] == rank]:
                    del agent.held[key]
            case do.Protect():
                agent.held[command.rank, command.label].members = command.member_offers
                if self.shape.parity:
                    self.begin(agent, self.protect(agent, self.plan_of(agent), command))
            case do.Restore():
                self.begin(agent, self.restore(agent, self.plan_of(agent), command))
            case do.Decode():
                self.begin(agent, self.decode(agent, self.plan_of(agent), command.tasks))
            case do.VerifySlot():
                self.begin(agent, self.verify(agent, command))
            case _:
                raise AssertionError(command)

    def plan_of(self, agent: Agent) -> Plan:
        assert agent.state.plan is not None
        return agent.state.plan

    def begin(self, agent: Agent, body: Iterator[bool]) -> None:
        agent.works.append(Work(agent.state.generation, body))

    def do_work(self, agent: Agent, work: Work) -> None:
        try:
            if work.generation <= agent.shut:
                raise LinkDown
            went = next(work.body)
        except (StopIteration, LinkDown):
            agent.works.remove(work)
            went = True
        if went:
            self.progress += 1
        else:
            work.asked_at = self.progress

    def wait_quiet(self, agent: Agent, generation: int) -> Iterator[bool]:
        while any(work.generation <= generation for work in agent.works):
            yield False
        agent.posted.append(ev.LinksQuiet(generation=generation))

    def other_end(self, plan: Plan, me: Agent, rank: int) -> Iterator[bool]:
        """Waits until the agent of `rank` has links of this generation; LinkDown when it never will."""
        number = plan.agent_of(rank)
        other = self.agents[number]
        while True:
            if not other.alive or other.shut >= plan.generation or other.opened > plan.generation:
                raise LinkDown
            if (other.opened == plan.generation and self.awake(number)) or other is me:
                return
            yield False

    def with_memory(self, plan: Plan, me: Agent, rank: int, label: Label) -> Iterator[bool]:
        """`Links.wait_for_memory` at the agent of `rank`."""
        yield from self.other_end(plan, me, rank)
        other = self.agents[plan.agent_of(rank)]
        while not ((rank, label) in other.held and other.held[rank, label].members):
            yield False
            yield from self.other_end(plan, me, rank)

    def chunks(self, plan: Plan, rank: int, label: Label) -> Chunks:
        found = self.agents[plan.agent_of(rank)].held.get((rank, label))
        if found is None:
            raise LinkDown
        return found

    def protect(self, agent: Agent, plan: Plan, command: do.Protect) -> Iterator[bool]:
        group, label = plan.group_of(command.rank), command.label
        geometry, stripe = plan.geometry(plan.group_index(command.rank)), plan.member_of(command.rank)
        for t in range(geometry.d):
            yield from self.with_memory(plan, agent, group[geometry.member(stripe, t)], label)
        for p in range(geometry.m):
            holder = group[geometry.member(stripe, geometry.d + p)]
            yield True
            yield from self.with_memory(plan, agent, holder, label)
            self.chunks(plan, holder, label).parity |= 1 << p
            self.store(plan, holder, label, geometry.d + p, geometry.d)

    def store(self, plan: Plan, rank: int, label: Label, position: int, d: int) -> None:
        """`AgentProcess._chunk_stored` at the holder."""
        holder = self.agents[plan.agent_of(rank)]
        if label == self.plan_of(holder).base:
            holder.posted.append(ev.ChunkStored(rank=rank, label=label, position=position))
        else:
            holder.posted.append(ev.ParityStored(rank=rank, label=label, p=position - d))

    def restore(self, agent: Agent, plan: Plan, command: do.Restore) -> Iterator[bool]:
        source, label, rank = command.source, command.label, command.rank
        yield from self.with_memory(plan, agent, source.offers_from, label)
        members = self.chunks(plan, source.offers_from, label).members
        yield True
        chunks = agent.held[rank, label]
        chunks.members, chunks.offer = members, members[plan.member_of(rank)]
        agent.posted.append(ev.SlotRestored(rank=rank, label=label, member_offers=members))
        yield True
        yield from self.with_memory(plan, agent, source.replicated_from_rank, label)
        if not self.chunks(plan, source.replicated_from_rank, label).replicated:
            raise AssertionError(self.story(f"rank {rank} copies replicated items of {label} from {source}, which has none"))
        chunks.replicated = True
        agent.posted.append(ev.ReplicatedStored(rank=rank, label=label))

    def decode(self, agent: Agent, plan: Plan, tasks: tuple[msg.DecodeTask, ...]) -> Iterator[bool]:
        for task in tasks:
            d = plan.geometry(task.group).d
            for position, rank in task.sources:
                yield from self.with_memory(plan, agent, rank, task.label)
                chunks = self.chunks(plan, rank, task.label)
                if not (chunks.data | chunks.parity << d) >> position & 1:
                    raise AssertionError(self.story(f"R1: {task} reads chunk {position} of rank {rank}, which is not there"))
            for position, rank in task.wanted:
                yield True
                yield from self.with_memory(plan, agent, rank, task.label)
                chunks = self.chunks(plan, rank, task.label)
                if position < d:
                    chunks.data |= 1 << position
                else:
                    chunks.parity |= 1 << (position - d)
                self.store(plan, rank, task.label, position, d)

    def verify(self, agent: Agent, command: do.VerifySlot) -> Iterator[bool]:
        """What is not there does not have its digest."""
        yield True
        chunks = agent.held[command.rank, command.label]
        wrong = full_masks(self.plan_of(agent), command.rank)[0] & ~chunks.data
        agent.posted.append(
            ev.SlotVerified(
                rank=command.rank, label=command.label, wrong_data=wrong, wrong_parity=0, wrong_replicated=not chunks.replicated
            )
        )

    # ---- the judge --------------------------------------------------------------------------------------------------------

    def excused(self) -> bool:
        """Was more lost than the parity gives back? Of some group, more than m ranks have no living home with a whole newest label."""
        if not self.chosen:
            return True
        plan = self.chosen[-1]
        label = max([*self.past.committed, *([plan.base] if plan.base else [])], default=None)
        for group in plan.groups:
            lost = 0
            for rank in group:
                home = self.agents[plan.agent_of(rank)]
                hosted = home.state.hosted.get(rank) if home.alive and home.frozen_until < self.now + FROZEN_S["silence"] / 2 else None
                slot = hosted.slots.get(label) if hosted and label else None
                lost += hosted is None or (label is not None and (slot is None or slot.stage is not Stage.PREPARED))
            if lost > plan.parity:
                return True
        return False


def _name(what: Any) -> str:
    message = getattr(what, "message", None)
    return type(what if message is None else message).__name__


def _short(what: Any) -> str:
    """For the log: a name and what matters of it."""
    message = getattr(what, "message", None)
    fields = []
    for part in (what, message):
        for name in (
            "agent",
            "rank",
            "incarnation",
            "generation",
            "label",
            "ballot",
            "p",
            "position",
            "index",
            "how",
            "error",
            "text",
            "superstep",
        ):
            if (value := getattr(part, name, None)) is not None:
                fields.append(f"{name}={value}")
        if (plan := getattr(part, "plan", None)) is not None:
            places = " ".join(f"{place.rank}@{place.agent}.{place.incarnation}" for place in plan.placements)
            fields.append(f"plan {plan.generation} from {plan.base}: {places}")
        if isinstance(part, msg.Sealed | msg.Status):
            for report in part.ranks:
                held = " ".join(f"{one.label}{'*' if one.prepared else ''} {one.data:b}/{one.parity:b}" for one in report.labels)
                fields.append(f"[{report.rank}.{report.incarnation} {'lives' if report.worker_lives else 'dead'} {held}]")
    return f"{_name(what)}({', '.join(fields)})"
