"""The simulated worker process: `main` is a loop of supersteps over the rank's bytes, which commits where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.channel_sums import NOTHING
from perdure.core.ids import END, Label
from perdure.core.snapshot_index import Range, SnapshotIndex
from perdure.sim import program, tokens
from perdure.sim.tokens import Token, TokenExchange

if TYPE_CHECKING:
    from perdure.sim.nodes import SimNode

COSTS: Final = msg.RankCosts(protect_s=0.0, application_bytes=0, live_bytes=0)
COPY_S: Final = 0.0005
LOAD_S: Final = 0.002
STEP_S: Final = 0.0001
SCRIBBLE: Final = b"whatever"
"""What a program writes to its arrays before the loop, and on its way out of a generation that is over: it may."""

Said = msg.FromWorker | float | None
"""What a step of `main` comes to: a message; the time that the next step takes; None: it waits to be told something."""


class SimWorker:
    """One process, of one incarnation. It says what a real one would, and nothing after its end."""

    def __init__(self, node: SimNode, number: int, rank: int, incarnation: int) -> None:
        self.node, self.number, self.rank, self.incarnation = node, number, rank, incarnation
        self.alive = True
        self._own = b""
        self.enter: msg.Enter | None = None
        self._main: Iterator[Said] | None = None
        self._going = False
        self._revoked = self._stuck_in = 0
        self._may_copy: dict[Label, tuple[int, Label | None]] = {}
        self._offers: dict[Label, SnapshotIndex] = {}
        self._committed: Label | None = None
        self._hold_after: Label | None = None
        self._positions: set[int] = set()
        self._exchange = TokenExchange(rank=rank, size=1, pattern=tokens.NONE)
        self._early: list[tuple[int, Token]] = []
        """(generation, token) of generations that this worker has yet to enter."""
        node.world.schedule.about(LOAD_S, self._loaded)

    @property
    def live(self) -> bytes:
        """What the program computes with: memory of its own, or in tight mode of the vault."""
        return self.node.vault.live_of(self.rank) if self._is_tight else self._own

    @live.setter
    def live(self, live: bytes) -> None:
        self._own = live
        if self._is_tight:
            self.node.vault.write_live(self.rank, live)

    @property
    def _is_tight(self) -> bool:
        return self.node.world.settings.is_tight

    def _loaded(self) -> None:
        if self.alive:
            self._say_message(msg.Loaded(address=f"rank-{self.rank}.{self.incarnation}", pid=self.number))

    def end(self, how: str) -> None:
        """SIGKILL. Its agent hears of it after all that it said before."""
        if self.alive:
            self.alive = False
            self._say(ev.WorkerEnded(rank=self.rank, incarnation=self.incarnation, how=how))

    def hang_up(self) -> None:
        """Its connection with another rank ends, and it waits for what does not come, until the generation is over."""
        if self._main is not None and self.enter is not None and self._stuck_in < self.enter.generation and self.enter.size > 1:
            self._stuck_in = self.enter.generation
            self._say_message(msg.PeerSuspected(rank=(self.rank + 1) % self.enter.size))

    def _say(self, event: ev.AgentEvent) -> None:
        self.node.world.network.send(self.number, self.node.number, self.node.hear_worker, self, event)

    def _say_message(self, message: msg.FromWorker) -> None:
        self._say(ev.WorkerSaid(rank=self.rank, incarnation=self.incarnation, message=message))

    def hear(self, message: msg.ToWorker) -> None:
        """A word of its agent."""
        if not self.alive:
            return
        match message:
            case msg.Enter():
                self.enter = message
                self._positions, self._committed = set(message.positions), None
                self._may_copy.clear()
                self._hold_after = None
                self._offers = {message.base: message.offer} if message.base and message.offer else {}
                self._exchange = TokenExchange(rank=self.rank, size=message.size, pattern=self.node.world.scenario.messages)
                early, self._early = self._early, []
                for generation, token in early:
                    self.receive(generation, token)
                self._main = self._run(message)
            case msg.MayCopy(label=label, slot=slot, since=since, hold_after=hold_after):
                self._may_copy[label] = slot, since
                self._hold_after = hold_after
            case msg.LabelCommitted(label=label, positions=positions, hold_after=hold_after):
                self._committed, self._hold_after = label, hold_after
                self._positions |= set(positions)
            case msg.Revoke(generation=generation):
                self._revoked = max(self._revoked, generation)
            case _:
                return
        self._go_on(STEP_S)

    def receive(self, generation: int, token: Token) -> None:
        """A token has arrived."""
        entered = self.enter.generation if self.enter else 0
        if generation > entered:
            self._early.append((generation, token))
        elif generation == entered:
            self._exchange.waiting.append(token)
            self._go_on(STEP_S)

    def _send_tokens(self, generation: int, superstep: int) -> None:
        """To rank 0, if it is still there: otherwise this generation is about to end."""
        for token in self._exchange.to_send(superstep):
            home = self.node.around.nodes[self.node.around.decisions.chosen[generation - 1].agent_of(0)]
            receiver = home.workers.get(0)
            if receiver is not None:
                self.node.world.network.send(self.number, receiver.number, home.when_awake, receiver.receive, generation, token)

    def _take_tokens(self, superstep: int) -> Iterator[Said]:
        """As many as there are senders, from any of them, and perhaps the additional one."""
        exchange = self._exchange
        for extra in [False] * exchange.wanted(superstep) + [True] * exchange.takes_extra(superstep):
            while (token := exchange.take(extra=extra)) is None:
                yield None
            if not isinstance(token, Token):
                assert self.enter is not None
                text = "a message of an earlier commit interval"
                yield msg.MainRaised(generation=self.enter.generation, error="UsageError", text=text)
                while True:
                    yield None
            self.node.around.checkers.token_taken(self.rank, token, exchange.interval)

    def _go_on(self, delay_s: float) -> None:
        if not self._going and self._main is not None:
            self._going = True
            self.node.world.schedule.about(delay_s * self.node.slowness, self.node.when_awake, self._step)

    def _step(self) -> None:
        self._going = False
        if not self.alive or self._main is None or self.enter is None:
            return
        if self._revoked >= self.enter.generation:
            self._main = None
            self.live = SCRIBBLE
            self._say_message(msg.Unwound(generation=self.enter.generation, clean=True))
            return
        if self._stuck_in == self.enter.generation:
            return
        said = next(self._main)
        if isinstance(said, float):
            self._go_on(said)
        elif said is not None:
            self._say_message(said)
            self._go_on(STEP_S)

    def _run(self, enter: msg.Enter) -> Iterator[Said]:
        count = self.node.world.scenario.count
        g, base = enter.generation, enter.base
        first = program.before(base.superstep, count) if base else 0
        self.live = SCRIBBLE
        if base is None:
            self.live = program.state_of(self.rank, 0)
            yield from self._commit(Label(g, 0), 0)
        else:
            self.live = self.node.vault.bytes_of(self.rank, base)
            if enter.offer is None or program.digests(self.live) != enter.offer.items[0].blocks:
                yield msg.BaseWrong(generation=g)
                while True:
                    yield None
            self._exchange.pass_commit()
        for superstep in range(first, count):
            if superstep != first:
                while superstep > max(self._positions):
                    yield None
                if superstep in self._positions:
                    yield from self._commit(Label(g, superstep), superstep)
            yield self.node.world.scenario.superstep_ms / 1000
            self._send_tokens(g, superstep)
            yield from self._take_tokens(superstep)
            self.live = program.advance(self.live)
        yield from self._commit(Label(g, END), count)
        while True:
            yield None

    def _commit(self, label: Label, superstep: int) -> Iterator[Said]:
        yield msg.AtPosition(label=label)
        while label not in self._may_copy:
            yield None
        yield COPY_S
        slot, since = self._may_copy[label]
        changed: tuple[Range, ...] = ()
        if (7 * self.rank + superstep) % 37 == 3:  # as if its items lay elsewhere than before
            since = None
        if since is not None:
            changed = program.changes(self.node.vault.in_slot(self.rank, slot), self._offers[since], self.live)
        if not self._is_tight:
            self.node.vault.copy_in(self.rank, slot, self.live)
        later = sorted(position for position in self._positions if position > label.superstep)
        position = (later[0] if later else label.superstep) + 1 if self.rank == 0 and label.superstep != END else -1
        ended_at = superstep if label.superstep == END else -1
        transit = NOTHING if label.superstep == END else self._exchange.transit()
        offer = program.offer_of(self.rank, self.live, program.common_of(superstep), position, ended_at, since, changed, transit)
        self._exchange.pass_commit()
        self._offers[label] = offer
        yield msg.Snapped(label=label, offer=offer, costs=COSTS)
        waits = self._is_tight or label.superstep in (0, END)
        while self._holds_at(label) or (waits and (self._committed is None or self._committed < label)):
            yield None

    def _holds_at(self, label: Label) -> bool:
        return self._hold_after is not None and label > self._hold_after and label.superstep != END
