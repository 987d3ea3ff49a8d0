"""The process of one rank. Its main thread runs `main`, once per generation; its control thread listens to the agent.

The control thread only notes what the agent says and wakes the main thread; a revoke goes to the communicator as well, so a blocked call
returns at once. A worker that loses its agent ends at once, whatever it does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from perdure.comm import Communicator, Mesh, world_of
from perdure.comm.transports import Kind
from perdure.core import messages as msg
from perdure.core.agent.tight import LIVE
from perdure.core.ids import END, Label
from perdure.core.interval import Choice, choose_interval, failure_interval
from perdure.core.layout import nodes_with_ranks
from perdure.core.progress import AT_THE_END
from perdure.core.settings import Settings
from perdure.core.snapshot_index import SnapshotIndex, replicated_start
from perdure.errors import GenerationRevoked, InternalError
from perdure.logs import bind
from perdure.mapping import Bytes
from perdure.runtime.calls import Calls
from perdure.runtime.channel import Channel
from perdure.runtime.gate import OutputGate
from perdure.runtime.injector import Injector
from perdure.runtime.lines import end_lines
from perdure.runtime.program_errors import as_raised, print_raised, reentry_hint, where
from perdure.runtime.program_threads import is_of_the_program, let_revoked_threads_end
from perdure.runtime.progress_page import ProgressPage
from perdure.runtime.session import Base, GenerationSession, Previous, RankParameters
from perdure.runtime.slots import Slots
from perdure.runtime.stacks import offer_stacks
from perdure.streams.pairs import adopt

logger = logging.getLogger(__name__)
RunMain = Callable[[GenerationSession], None]
"""Runs the program for one generation, up to and with the commit of its end."""


@dataclass(slots=True)
class Heard:
    """What the agent has said; guarded by `changed`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    enter: msg.Enter | None = None
    revoked: int = 0
    may_copy: dict[Label, tuple[int, Label | None]] = field(default_factory=dict)
    committed: Label | None = None
    hold_after: Label | None = None
    positions: set[int] = field(default_factory=set)
    protect_s: float = 0.0

    def wait_revoked(self, generation: int) -> None:
        """Block until this generation is revoked."""
        with self.changed:
            self.changed.wait_for(lambda: self.revoked >= generation)


@dataclass(slots=True, kw_only=True)
class WorkerContext:
    """Who this process is, and what it was given at its birth. `token` is the job's secret, `host` what ranks elsewhere call this machine.
    `fds`: the connection to the agent, the progress page, two slots, which `slots` may have mapped already."""

    token: bytes
    host: str
    rank: int
    incarnation: int
    fds: list[int]
    settings: Settings
    parameters: RankParameters
    injector: Injector
    transport: Kind
    slots: Slots


class WorkerProcess:
    """One worker. `run` never returns before the agent says so."""

    def __init__(self, context: WorkerContext, run_main: RunMain) -> None:
        self.context = context
        self._run_main = run_main
        self.heard = Heard()
        self.agent = Channel(adopt(context.fds[0]), blocking=True)
        self.page = ProgressPage(context.fds[1])
        offer_stacks(context.fds[1])
        self._gate = OutputGate(self.page, lambda: self.heard.revoked)
        self._slot_fds = context.fds[2:4]
        self.started = time.monotonic()
        self.calls = Calls(self.page, self.agent, self.report, self.heard.wait_revoked)
        self.mesh = Mesh(
            job=context.token[:16], rank=context.rank, incarnation=context.incarnation, monitor=self.calls, transport=context.transport,
            host=context.host,
        )  # fmt: skip

    def run(self) -> None:
        """Enters `main` as often as the agent asks for it."""
        let_revoked_threads_end()
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        self.agent.send(msg.Loaded(address=self.mesh.address, pid=os.getpid()))
        self.context.slots.prepare(self._slot_fds)  # while the agent does its part
        while True:
            with self.heard.changed:
                self.heard.changed.wait_for(lambda: self.heard.enter is not None)
                enter, self.heard.enter = self.heard.enter, None
            assert enter is not None
            self._generation(enter)

    def _generation(self, enter: msg.Enter) -> None:
        before = set(threading.enumerate())
        self._gate.open(enter.generation)
        bind(generation=enter.generation)
        logger.info("main is entered at superstep %d", enter.base.superstep if enter.base else 0)
        self.calls.generation, self.calls.own_threads = enter.generation, len(before)
        try:
            engine = self.mesh.enter(
                generation=enter.generation, size=enter.size, addresses=enter.addresses, incarnations=enter.incarnations
            )
            if enter.generation > 1:
                self.context.injector.at("entering", enter.base.superstep if enter.base else 0)
            self._run_main(WorkerSession(self, enter, world_of(engine)))
        except GenerationRevoked:
            logger.info("main is unwound: the generation is over")
            self.context.injector.at("unwinding", -1)
        except BaseException as error:
            self.report(enter.generation, error)
            return
        self._gate.end_lines()
        self.heard.wait_revoked(enter.generation)
        self.page.superstep = -1
        self.page.write()
        left = [thread for thread in threading.enumerate() if thread not in before and is_of_the_program(thread)]
        self.agent.send(msg.Unwound(generation=enter.generation, clean=not left))

    def report(self, generation: int, error: BaseException) -> None:
        """Print what `main` has raised, and send it to the agent."""
        place = where(self.context.rank, self.page.superstep)
        hint = reentry_hint(error, generation, self.page.superstep)
        with contextlib.suppress(GenerationRevoked):  # nobody reads standard error, and the generation is over
            print_raised(error, place, hint)
        self._gate.end_lines()
        self.page.enter("waiting")
        self.agent.send(as_raised(generation, error, place, hint))

    def slot(self, index: int, nbytes: int) -> Bytes:
        """Slot `index` as (>= nbytes,) uint8."""
        return self.context.slots.view(self._slot_fds[index], nbytes)

    # ---- the control thread -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            messages = self.agent.receive()
            if messages is None:
                os._exit(0)
            with self.heard.changed:
                for message in messages:
                    self._note(message)
                self.heard.changed.notify_all()
            for message in messages:
                if isinstance(message, msg.Revoke):
                    self.mesh.revoke(message.generation)

    def _note(self, message: msg.ToWorker) -> None:
        heard = self.heard
        match message:
            case msg.Enter():
                heard.enter = message
                heard.may_copy.clear()
                heard.hold_after = None
                heard.positions = set(message.positions)
                heard.committed = None
            case msg.MayCopy(label=label, slot=slot, since=since, hold_after=hold_after):
                heard.may_copy[label] = slot, since
                heard.hold_after = hold_after
            case msg.LabelCommitted(label=label, positions=positions, protect_s=protect_s, hold_after=hold_after):
                heard.committed, heard.protect_s = label, protect_s
                heard.hold_after = hold_after
                heard.positions |= set(positions)
            case msg.Revoke(generation=generation):
                heard.revoked = max(heard.revoked, generation)
            case msg.Pause(generation=generation, paused=paused):
                self.mesh.pause(generation, paused=paused)
            case msg.EndWorker():
                end_lines()
                os._exit(0)


class WorkerSession:
    """`GenerationSession` for one generation."""

    alone = True

    def __init__(self, worker: WorkerProcess, enter: msg.Enter, comm: Communicator) -> None:
        self._worker, self._heard = worker, worker.heard
        self.rank, self.size, self.generation = worker.context.rank, enter.size, enter.generation
        self.parameters, self.comm, self.protection = worker.context.parameters, comm, enter.protection
        self.tight = worker.context.settings.is_tight
        self.tracks_writes = worker.context.settings.track_writes and not self.tight
        self.base: Base | None = None
        if enter.base is not None and enter.offer is not None:
            nbytes = replicated_start(enter.offer.coded_bytes) + enter.offer.replicated_bytes
            self.base = Base(superstep=enter.base.superstep, offer=enter.offer, slot=worker.slot(enter.slot, nbytes))
        self._slot = 0
        self.previous: Previous | None = None
        self._offers: dict[Label, SnapshotIndex] = {enter.base: enter.offer} if enter.base and enter.offer else {}
        """Of the labels in the two slots."""
        self._held_up_since = 0.0
        self._commit_s, self._commits = 0.0, 0
        self._waited_s = 0.0
        """For the last label to be committed, where that is not told yet."""
        self._loop_since = time.monotonic()
        self._supersteps = 0
        self._interval: Choice | None = None
        self._application_bytes = 0

    def check(self) -> None:
        if self._heard.revoked >= self.generation:
            raise GenerationRevoked(f"generation {self.generation} is over")
        self._worker.page.calls += 1
        self._worker.page.write()

    @contextlib.contextmanager
    def inside(self, call: str) -> Iterator[None]:
        self.check()
        self._worker.page.enter(call)
        try:
            yield
        finally:
            self._worker.page.leave()

    @contextlib.contextmanager
    def forbid_comm(self, why: str) -> Iterator[None]:
        self._worker.calls.forbidden = why
        try:
            yield
        finally:
            self._worker.calls.forbidden = ""

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Woken by the agent's word or by a revoke."""
        heard = self._heard
        with heard.changed:
            heard.changed.wait_for(lambda: condition() or heard.revoked >= self.generation)
        self.check()

    def is_position(self, superstep: int) -> bool:
        if self.base is not None and superstep == self.base.superstep:
            return False
        if superstep > max(self._heard.positions):
            with self.inside("supersteps"):
                self._wait(lambda: superstep <= max(self._heard.positions))
        return superstep in self._heard.positions

    def next_position(self, superstep: int) -> int:
        later = sorted(position for position in self._heard.positions if position > superstep)
        if not later:
            return superstep + 1
        settings = self._worker.context.settings
        now = time.monotonic()
        nodes = nodes_with_ranks(self.size, self._worker.context.parameters.ranks_per_node)
        failures = failure_interval(nodes=nodes, elapsed_s=now - self._worker.started, failures=self.generation - 1, settings=settings)
        self._interval = choose_interval(
            superstep_s=(now - self._loop_since - self._commit_s) / self._supersteps if self._supersteps else None,
            commit_s=self._commit_s / max(self._commits, 1) + (0.0 if self.tight else self._heard.protect_s),
            failures=failures,
            previous=max(later[0] - superstep, 1),
            settings=settings,
        )
        return later[0] + self._interval.supersteps

    def begin_snapshot(self, superstep: int) -> None:
        label = Label(self.generation, superstep)
        self._held_up_since = time.monotonic()
        with self.inside("supersteps"):
            self._worker.agent.send(msg.AtPosition(label=label))
            self._wait(lambda: label in self._heard.may_copy)
        self._slot, since = self._heard.may_copy[label]
        offer = self._offers.pop(since, None) if since else None
        self.previous = Previous(label=since, offer=offer) if since and offer else None
        self._worker.context.injector.at("copying", superstep)

    def slot(self, nbytes: int) -> Bytes:
        return self._worker.slot(self._slot, nbytes)

    def live(self, start: int, nbytes: int) -> Bytes:
        return self._worker.slot(LIVE, start + nbytes)[start : start + nbytes]

    def finish_snapshot(self, superstep: int, offer: SnapshotIndex, live_bytes: int, resident_bytes: int) -> None:
        label = Label(self.generation, superstep)
        held_up_s = time.monotonic() - self._held_up_since
        sent = self._worker.calls.application_bytes
        costs = msg.RankCosts(
            protect_s=held_up_s + self._waited_s, application_bytes=sent - self._application_bytes, live_bytes=live_bytes,
            resident_bytes=resident_bytes, interval=self._interval,
        )  # fmt: skip
        self._application_bytes, self._waited_s = sent, 0.0
        self._offers = {kept: known for kept, known in (*self._offers.items(), (label, offer))[-2:]}
        self._worker.agent.send(msg.Snapped(label=label, offer=offer, costs=costs))
        is_first, is_last = self.base is None and superstep == 0, superstep == END
        if is_first and not self.tight:
            self._touch_other_slot()
        if self.tight or is_first or is_last or self._holds_at(label):
            self._wait_for_commit(label)
        if is_first or is_last:
            self._loop_since = time.monotonic()
            return
        if self.tight:
            self._waited_s = time.monotonic() - self._held_up_since - held_up_s
        if self._supersteps:
            self._commit_s += held_up_s + self._waited_s
            self._commits += 1

    def _touch_other_slot(self) -> None:
        """While the first commit is under way, for which all ranks wait: later ones hold nobody up for fresh memory."""
        with self.inside("supersteps"):
            self._worker.slot(1 - self._slot, len(self._worker.slot(self._slot, 0)))

    def _wait_for_commit(self, label: Label) -> None:
        self._worker.context.injector.at("waiting", label.superstep)
        with self.inside(AT_THE_END if label.superstep == END else "supersteps"):
            self._wait(lambda: self._is_over(label))

    def _is_over(self, label: Label) -> bool:
        """Is the label committed, and may the rank go on (rule E3)?"""
        is_committed = self._heard.committed is not None and self._heard.committed >= label
        return is_committed and not self._holds_at(label)

    def _holds_at(self, label: Label) -> bool:
        """Does the rank wait at this label until it is revoked (rule E3)? Not at the end, which nothing follows."""
        return self._heard.hold_after is not None and label > self._heard.hold_after and label.superstep != END

    def base_is_wrong(self) -> NoReturn:
        with self.inside("supersteps"):
            self._worker.agent.send(msg.BaseWrong(generation=self.generation))
            self._wait(lambda: False)
        raise InternalError("unreachable: only a revoke ends the wait")

    def superstep_reached(self, superstep: int, count: int | None) -> None:
        self.check()
        page = self._worker.page
        page.superstep, page.count = superstep, -1 if count is None else int(count)
        page.write()
        self._supersteps += 1
        self._worker.context.injector.at("", superstep)
