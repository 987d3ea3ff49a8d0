"""The orchestrator's process: drives `core.orchestrator` over connections to the agents and one to the supervising process.

Its stream with the supervising process carries what happens to it, engine events and the register's answers, and what it wants done:
proposals, notes of what votes have chosen, requests to end a node, public events and the end of the job. It is on no data path, holds
nothing that cannot be asked for again, and may be killed at any time.
"""

from __future__ import annotations

import logging
import os
import select
import time
from dataclasses import dataclass
from typing import Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import orchestrator as machine
from perdure.core.faults import orchestrator_instant
from perdure.core.messages.supervisor import BeginRound, FromOrchestrator, OrchestratorAlive, ResultPiece, ToOrchestrator
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.core.settings import Settings
from perdure.errors import InternalError
from perdure.logs import log_change
from perdure.runtime.admission import ORCHESTRATOR, Admission
from perdure.runtime.channel import Channel
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.injector import Injector
from perdure.runtime.loop import Loop
from perdure.streams import dial
from perdure.wire import control_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An orchestrator begins. `received`: what the supervising process has sent after `begin`."""

    begin: BeginRound
    received: list[ToOrchestrator]


def await_turn(control: ControlStream) -> Turn:
    """Block until the supervising process sends that it is this one's turn. The process ends with the supervising one."""
    messages: list[ToOrchestrator] = []
    while not messages:
        select.select([control], [], [])
        messages = _received(control)
    begin, *received = messages
    if not isinstance(begin, BeginRound):
        raise InternalError(f"the supervisor's first message is {begin}: please report this")
    return Turn(begin=begin, received=received)


def _received(control: ControlStream) -> list[ToOrchestrator]:
    """Return what the supervising process has sent. This process ends with it."""
    lines = control.receive()
    if lines is None:
        os._exit(0)
    return [control_lines.to_orchestrator(line) for line in lines]


PIECE_BYTES: Final = 4 << 20
"""Of a result, in one line for the supervisor, which takes silence for a hang. Arbitrary."""


class OrchestratorProcess:
    """One orchestrator, from its turn on. `run` returns when the job is over."""

    def __init__(
        self, *, turn: Turn, shape: JobShape, settings: Settings, admission: Admission, control: ControlStream, injector: Injector
    ) -> None:
        self._injector, self._received = injector, turn.received
        self._state = OrchestratorState(round=turn.begin.round, shape=shape, settings=settings)
        self._admission, self._control = admission, control
        self._agents: dict[int, Channel] = {}
        self._loop = Loop()
        self._loop.watch(control, self._supervisor_said)
        self._over = False

    def run(self) -> None:
        """Until `Finish`, or the supervising process is gone."""
        due = time.monotonic()
        self._obey(self._received)
        while not self._over:
            self._loop.turn(due - time.monotonic())
            now = time.monotonic()
            if now >= due:
                self._step(ev.Tick(late_s=now - due))
                due = now + 0.1
                self._tell(OrchestratorAlive())

    def _step(self, event: ev.OrchestratorEvent) -> None:
        state = self._state
        before = state.phase, state.generation
        commands = machine.step(state, event, time.monotonic())
        log_change(logger, "the job", before, (state.phase, state.generation))
        for command in commands:
            self._execute(command)
            phase, superstep = orchestrator_instant(command, self._state.round)
            if phase:
                self._injector.at(phase, superstep)

    def _execute(self, command: do.OrchestratorCommand) -> None:
        match command:
            case do.TellAgent(agent=agent, message=message):
                channel = self._channel(agent)
                if channel is not None:
                    self._loop.send(channel, message)
            case do.Finish(error=error, text=text, payload=payload):
                for start in range(0, len(payload), PIECE_BYTES):
                    self._tell(ResultPiece(data=payload[start : start + PIECE_BYTES]))
                self._tell(do.Finish(error=error, text=text, payload=b""))
                self._over = True
            case _:
                self._tell(command)

    def _tell(self, message: FromOrchestrator) -> None:
        if not self._control.send(message):
            os._exit(1)

    def _channel(self, agent: int) -> Channel | None:
        if agent not in self._agents and self._state.alive(agent):
            try:
                channel = Channel(dial(self._state.nodes[agent].address))
            except OSError:
                return None
            channel.send_raw(self._admission.hello(ORCHESTRATOR, self._state.round))
            self._agents[agent] = channel
            self._loop.read(channel, lambda message: self._step(ev.AgentSaid(agent=agent, message=message)))
        return self._agents.get(agent)

    def _supervisor_said(self) -> None:
        self._obey(_received(self._control))

    def _obey(self, messages: list[ToOrchestrator]) -> None:
        for message in messages:
            if isinstance(message, BeginRound):
                raise InternalError(f"the supervisor sent {message} twice: please report this")
            self._step(message)
