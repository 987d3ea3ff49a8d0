"""The process of one node: drives `core.agent`, owns the vault, starts workers. Decides nothing.

One thread selects on everything that can happen (connections of the orchestrator, of other agents, of workers; the nursery; results of
the data plane's threads, through a queue and an eventfd) and feeds the core; it executes the core's commands. `data_plane.DataPlane`
carries out those on the vault.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from perdure.core import agent as machine
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState
from perdure.core.ids import Label
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.errors import InternalError
from perdure.logs import flush, log_change
from perdure.runtime.admission import DATA, ORCHESTRATOR, PEER, Admission
from perdure.runtime.channel import Channel
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.data_plane import DataPlane
from perdure.runtime.injector import Injector
from perdure.runtime.loop import Loop
from perdure.runtime.nursery import NurseryClient
from perdure.runtime.posix import end_descendants, is_stopped
from perdure.runtime.progress_page import ProgressPage
from perdure.runtime.reception import Reception
from perdure.runtime.stacks import StackRequest, in_brief
from perdure.runtime.vault import is_right
from perdure.streams import Listener, Stream, dial
from perdure.streams.pairs import pair
from perdure.wire import control_lines

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """The agent's end of one worker process."""

    rank: int
    incarnation: int
    channel: Channel
    page: ProgressPage
    page_fd: int
    pid: int = 0
    stacks: StackRequest | None = None
    """It is hung, and asked where it is; then it is killed."""
    unsent: list[msg.ToWorker] = field(default_factory=list)
    """What the commands of this step send to it: the worker wakes once for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """Which agent of which job this process is."""

    agent: int
    node: int
    admission: Admission
    injector: Injector


class AgentProcess:
    """One agent. `run` returns when the job is over for this node."""

    def __init__(
        self, context: AgentContext, settings: Settings, listener: Listener, control: ControlStream, nursery: NurseryClient
    ) -> None:
        self._context = context
        self._state = AgentState(me=context.agent, node=context.node, settings=settings, orphan_since=time.monotonic())
        self._nursery, self._control = nursery, control
        self._injector = context.injector
        self._events: queue.SimpleQueue[ev.AgentEvent] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._data = DataPlane(self._state, context.admission, context.injector, self._post)
        self._loop = Loop()
        self._orchestrator: Channel | None = None
        self._round = 0
        self._peers: dict[int, Channel] = {}
        """Also those that have ended: see `_tell_peer`."""
        self._workers: dict[int, Worker] = {}
        self._over = False
        self._nursery_went_on = time.monotonic()
        """When the nursery was last seen not to be stopped by a signal."""
        self._reception = Reception(self._loop, listener, context.admission, self._welcome)
        self._loop.watch(self._wake, lambda: os.eventfd_read(self._wake))
        self._loop.watch(nursery, self._nursery_said)
        self._loop.watch(control, self._supervisor_said)

    # ---- the loop ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the core says that this agent ends. Wakes at least every twentieth of a second: timers and progress pages."""
        due = time.monotonic()
        sampled = 0.0
        while not self._over:
            self._loop.turn(due - time.monotonic())
            while not self._events.empty():
                self._step(self._events.get())
            now = time.monotonic()
            if now >= due:
                self._step(ev.Tick(late_s=now - due))
                self._kill_the_hung(now)
                self._reception.expire(now)
                due = now + 0.05
                if now - sampled > self._state.settings.heartbeat_s:
                    self._check_nursery(now, now - sampled)
                    sampled = now
                    self._sample()
        for worker in self._workers.values():
            self._loop.send(worker.channel, msg.EndWorker())

    def _step(self, event: ev.AgentEvent) -> None:
        state = self._state
        before = state.phase, state.generation
        for command in machine.step(state, event, time.monotonic()):
            self._execute(command)
        for worker in self._workers.values():
            if worker.unsent:
                self._loop.send_together(worker.channel, worker.unsent)
                worker.unsent.clear()
        log_change(logger, "the agent", before, (state.phase, state.generation))

    def _post(self, event: ev.AgentEvent) -> None:
        """From any thread: an event for the loop."""
        self._events.put(event)
        os.eventfd_write(self._wake, 1)

    def _supervisor_said(self) -> None:
        """Faults that have happened elsewhere; or T7: the supervising process is gone."""
        lines = self._control.receive()
        if lines is None:
            self._end_node()
        for line in lines:
            self._injector.spend(control_lines.to_node(line).index)

    @staticmethod
    def _end_node() -> NoReturn:
        """All processes of the node, those too that a worker has started in a session of their own, and then this one."""
        end_descendants()
        flush()
        os.killpg(0, signal.SIGKILL)
        raise InternalError("unreachable")

    def _check_nursery(self, now: float, since_s: float) -> None:
        """A nursery that is stopped can neither start nor end a worker: after a while the node counts as lost (W4)."""
        silence_s = self._state.settings.silence_s
        if not is_stopped(self._nursery.pid) or since_s > silence_s / 2:  # or this process was stopped itself
            self._nursery_went_on = now
        elif now - self._nursery_went_on > silence_s:
            logger.warning("the nursery was stopped for %g s: the node ends", silence_s)
            self._end_node()

    def _sample(self) -> None:
        samples = []
        for worker in self._workers.values():
            if worker.pid:
                calls, frames, superstep, count, inside = worker.page.read()
                samples.append(
                    ev.Sample(
                        rank=worker.rank, incarnation=worker.incarnation, calls=calls, frames=frames, superstep=superstep,
                        count=count, inside=inside, stopped=is_stopped(worker.pid),
                    )
                )  # fmt: skip
        self._step(ev.Sampled(samples=tuple(samples)))

    # ---- what comes in ----------------------------------------------------------------------------------------------------

    def _welcome(self, role: bytes, number: int, stream: Stream) -> None:
        if role == DATA:
            self._data.links.run(number, lambda: self._data.links.serve(stream, number), "serve")
        elif role == PEER:
            self._loop.read(Channel(stream), lambda message: self._step(ev.PeerSaid(agent=number, message=message)))
        elif role == ORCHESTRATOR and number > self._round:
            self._new_orchestrator(Channel(stream), number)
        else:
            stream.close()

    def _new_orchestrator(self, channel: Channel, number: int) -> None:
        """The newest round is the only one that is heard."""
        if self._orchestrator is not None:
            self._loop.hang_up(self._orchestrator)
        self._orchestrator, self._round = channel, number
        self._loop.read(channel, lambda message: self._step(ev.OrchestratorSaid(message=message)), self._orchestrator_gone)

    def _orchestrator_gone(self) -> None:
        self._orchestrator = None
        self._step(ev.OrchestratorGone())

    def _nursery_said(self) -> None:
        answer = self._nursery.receive()
        if answer is None:
            self._end_node()
        rank, incarnation = int(str(answer["rank"])), int(str(answer["incarnation"]))
        worker = self._workers.get(rank)
        if worker is None or worker.incarnation != incarnation:
            return
        if "born" in answer:
            worker.pid = int(str(answer["born"]))
            return
        del self._workers[rank]
        self._read_last_words(worker)
        self._step(ev.WorkerEnded(rank=rank, incarnation=incarnation, how=str(answer["how"]), stack=self._stack_of(worker)))

    def _read_last_words(self, worker: Worker) -> None:
        """What a worker said before its end counts: an error of `main`, above all."""
        while self._loop.drain(worker.channel, self._hearer(worker)):
            pass
        self._loop.hang_up(worker.channel)

    def _hearer(self, worker: Worker) -> Callable[[Any], None]:
        return lambda message: self._step(ev.WorkerSaid(rank=worker.rank, incarnation=worker.incarnation, message=message))

    # ---- what goes out ----------------------------------------------------------------------------------------------------

    def _execute(self, command: do.AgentCommand) -> None:
        match command:
            case do.TellOrchestrator(message=message):
                if self._orchestrator is not None:
                    self._loop.send(self._orchestrator, message)
                match message:
                    case msg.Prepared(label=label):
                        self._injector.at("prepared", label.superstep)
                    case msg.AgentStatus() if self._round > 1:
                        self._injector.at("greeted", -1)
            case do.TellPeer(agent=agent, message=message):
                self._tell_peer(agent, message)
            case do.TellWorker(rank=rank, message=message):
                if rank in self._workers:
                    self._workers[rank].unsent.append(message)
                if isinstance(message, msg.LabelCommitted):
                    self._data.flip(rank, message.label)
            case do.StartWorker(rank=rank, incarnation=incarnation):
                self._start_worker(rank, incarnation)
            case do.KillWorker(rank=rank, incarnation=incarnation):
                self._kill_worker(rank, incarnation)
            case do.OpenLinks(plan=plan):
                self._data.open(plan)
                if plan.generation > 1:
                    self._injector.at("installing", -1)
            case do.ShutLinks(generation=generation):
                self._injector.at("sealed", -1)
                self._data.shut(generation)
            case do.ReportTraffic(label=label):
                sent = self._data.links.sent
                self._execute(do.TellOrchestrator(message=msg.Traffic(label=label, parity=sent.parity, rebuild=sent.rebuild)))
            case do.SendResult(rank=rank, label=label):
                self._send_result(rank, label)
            case do.EndAgent():
                self._over = True
            case do.ReserveMemory():
                self._data.reserve(command, self._nursery.prepare)
            case _:
                self._data.execute(command)

    def _tell_peer(self, agent: int, message: msg.ToPeer) -> None:
        """A peer that cannot be reached is not waited for: silence is what detection is about.

        Nor is it dialled again: a second connection would hide that messages of the first were lost. An agent that ends comes back under
        another number; two that live and cannot talk any more are for rule T6.
        """
        if agent not in self._peers:
            self._peers[agent] = self._connected(agent)
        self._loop.send(self._peers[agent], message)

    def _connected(self, agent: int) -> Channel:
        try:
            channel = Channel(dial(self._plan().address_of(agent)))
        except OSError:
            return Channel.ended()
        channel.send_raw(self._context.admission.hello(PEER, self._state.me))
        self._loop.read(channel, lambda message: None)
        return channel

    def _start_worker(self, rank: int, incarnation: int) -> None:
        ours, theirs = pair()
        page_fd = os.memfd_create(f"perdure-page-{rank}")
        page = ProgressPage(page_fd)
        page.clear()
        worker = self._workers[rank] = Worker(rank, incarnation, Channel(ours), page, page_fd)
        self._loop.read(worker.channel, self._hearer(worker))
        self._nursery.start(rank, incarnation, [theirs.fileno(), page_fd, *self._data.vault.slot_fds(rank)])
        theirs.close()

    def _kill_worker(self, rank: int, incarnation: int) -> None:
        """One that is killed because it is hung says first where it is."""
        worker, hosted = self._workers.get(rank), self._state.hosted.get(rank)
        is_hung = worker is not None and worker.incarnation == incarnation and hosted is not None and hosted.killed_because
        if worker is not None and is_hung and worker.pid and not worker.stacks and not is_stopped(worker.pid):
            worker.stacks = StackRequest(worker.pid, os.dup(worker.page_fd), time.monotonic())
        else:
            self._nursery.kill(rank, incarnation)

    def _kill_the_hung(self, now: float) -> None:
        for worker in self._workers.values():
            if worker.stacks is not None and worker.stacks.is_answered(now):
                self._nursery.kill(worker.rank, worker.incarnation)

    @staticmethod
    def _stack_of(worker: Worker) -> str:
        """In one line; all threads are printed. Empty for a worker that was not hung."""
        os.close(worker.page_fd)
        text = "" if worker.stacks is None else worker.stacks.take()
        if text:
            logger.warning("threads at the end of the process, the main one last:\n%s", text, extra={"rank": worker.rank})
        return in_brief(text)

    def _send_result(self, rank: int, label: Label) -> None:
        offer = self._data.vault.held(rank, label).offer
        assert offer is not None
        item = next((item for item in offer.items if item.name == "__result__"), None)
        payload = b"" if item is None else self._data.vault.slot(rank, label)[item.offset : item.offset + item.nbytes].tobytes()
        if item is not None and not is_right(item, np.frombuffer(payload, np.uint8)):
            self._step(ev.ResultWrong(rank=rank, label=label))
            return
        self._execute(do.TellOrchestrator(message=msg.Result(payload=payload)))

    def _plan(self) -> Plan:
        assert self._state.plan is not None
        return self._state.plan
