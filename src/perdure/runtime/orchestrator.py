"""The orchestrator's process: drives `core.orchestrator` over connections to the agents and one to the supervising process.

Its link to the supervising process carries JSON lines: engine events and the register's answers come in; proposals, notes of what votes
have chosen, requests to end a node, public events and the end of the job go out. It is on no data path, holds nothing that cannot be asked
for again, and may be killed at any time.
"""

from __future__ import annotations

import base64
import logging
import os
import select
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import orchestrator as machine
from perdure.core.faults import orchestrator_instant
from perdure.core.job_events import name_of
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.logs import bind
from perdure.runtime.channel import Channel
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.injector import Injector
from perdure.runtime.loop import Loop
from perdure.runtime.reception import ORCHESTRATOR, Admission
from perdure.streams import dial
from perdure.wire.event_json import fields_of

logger = logging.getLogger(__name__)


def plan_to_json(plan: Plan) -> Any:
    """A plan as the register keeps it."""
    return msgspec.to_builtins(plan)


def plan_from_json(value: Any) -> Plan | None:
    """The register's answer."""
    return None if value is None else msgspec.convert(value, Plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An orchestrator begins: its round, the faults that have happened (by index), and what the supervising process said next."""

    round: int
    spent: list[int]
    said: list[dict[str, Any]]


def await_turn(control: ControlStream) -> Turn:
    """Blocks until the supervising process says that it is this one's turn. The process ends with the supervising one."""
    lines: list[dict[str, Any]] = []
    while not lines:
        select.select([control], [], [])
        heard = control.receive()
        if heard is None:
            os._exit(0)
        lines = heard
    begin, *said = lines
    return Turn(round=begin["round"], spent=begin["spent"], said=said)


PIECE_BYTES: Final = 4 << 20
"""Of a result, in one line for the supervisor, which takes silence for a hang. Arbitrary."""


class OrchestratorProcess:
    """One orchestrator, from its turn on. `run` returns when the job is over."""

    def __init__(
        self, *, turn: Turn, shape: JobShape, settings: Settings, admission: Admission, control: ControlStream, injector: Injector
    ) -> None:
        self._injector, self._said = injector, turn.said
        self._state = OrchestratorState(round=turn.round, shape=shape, settings=settings)
        self._admission, self._control = admission, control
        self._agents: dict[int, Channel] = {}
        self._loop = Loop()
        self._loop.watch(control, self._supervisor_said)
        self._over = False

    def run(self) -> None:
        """Until `Finish`, or the supervising process is gone."""
        due = time.monotonic()
        self._obey(self._said)
        while not self._over:
            self._loop.turn(due - time.monotonic())
            now = time.monotonic()
            if now >= due:
                self._step(ev.Tick(late_s=now - due))
                due = now + 0.1
                self._tell(what="heartbeat")

    def _step(self, event: ev.OrchestratorEvent) -> None:
        state = self._state
        before, generation = state.phase, state.generation
        commands = machine.step(state, event, time.monotonic())
        if state.generation != generation:
            bind(generation=state.generation)
        if (state.phase, state.generation) != (before, generation):
            logger.info("the job is %s, was %s", state.phase, before)
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
            case do.Propose(plan=plan):
                self._tell(what="propose", plan=plan_to_json(plan))
            case do.Note(plan=plan):
                self._tell(what="note", plan=plan_to_json(plan))
            case do.KillAgent(agent=agent):
                self._tell(what="kill", agent=agent)
            case do.Publish(event=event):
                self._tell(what="event", event=name_of(event), fields=fields_of(event))
            case do.Finish(error=error, text=text, payload=payload):
                for start in range(0, len(payload), PIECE_BYTES):
                    self._tell(what="payload", piece=base64.b64encode(payload[start : start + PIECE_BYTES]).decode())
                self._tell(what="finish", error=error, text=text)
                self._over = True

    def _tell(self, **fields: Any) -> None:
        if not self._control.send(**fields):
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
        lines = self._control.receive()
        if lines is None:
            os._exit(0)
        self._obey(lines)

    def _obey(self, lines: list[dict[str, Any]]) -> None:
        for fields in lines:
            match fields.pop("what"):
                case "agent_up":
                    self._step(ev.AgentUp(**fields))
                case "agent_ended":
                    self._step(ev.AgentEnded(**fields))
                case "no_more_nodes":
                    self._step(ev.NoMoreNodes())
                case "register":
                    self._step(ev.RegisterHolds(plan=plan_from_json(fields["plan"])))
