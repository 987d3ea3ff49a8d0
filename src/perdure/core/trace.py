"""What did a state machine see, and what did it answer? Steps as lines of JSON, and the same steps taken again.

The first line of a trace is the machine at its birth, every other one a step: time, event, commands. Since a machine's answer follows
from its events alone, a trace is a whole account of what it did: `replay` takes the steps again and tells where an answer differs.

Values are written by looking at their fields, so a new message needs no line here. JSON has no tuples, bytes, records or dataclasses:

    tuple      [..]                          record     {"type": name, field: value, ...}, a dataclass alike
    list       {"list": [..]}                enum       {"enum": name, "value": value}
    bytes      {"hex": ".."}                 dict       {"dict": [[key, value], ..]}
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from perdure.core import (
    agent,
    commands,
    events,
    ids,
    imbalance,
    interval,
    job_events,
    messages,
    orchestrator,
    plan,
    settings,
    snapshot_index,
    supervisor,
)
from perdure.core.agent import AgentState
from perdure.core.orchestrator import JobShape, OrchestratorState
from perdure.core.records import Record, names_of
from perdure.core.supervisor import SupervisorState

Machine = AgentState | OrchestratorState | SupervisorState
Command = commands.AgentCommand | commands.OrchestratorCommand | commands.SupervisorCommand


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentBorn:
    """The first line of an agent's trace."""

    me: int
    node: int
    settings: settings.Settings
    now: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorBorn:
    """The first line of an orchestrator's trace."""

    round: int
    shape: JobShape
    settings: settings.Settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorBorn:
    """The first line of a supervisor's trace."""

    settings: settings.Settings
    return_after_s: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event and the answer to it. `now` in seconds, on the clock of the machine's driver."""

    now: float
    event: events.AgentEvent | events.OrchestratorEvent | events.SupervisorEvent
    commands: tuple[Command, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplayDifference:
    """A step that was answered otherwise when it was taken again. `number` counts steps from 0."""

    number: int
    step: Step
    answer: tuple[Command, ...]


Born = AgentBorn | OrchestratorBorn | SupervisorBorn
Line = Born | Step


def to_line(value: Line) -> str:
    """One line of a trace, without its newline."""
    return json.dumps(_plain(value), separators=(",", ":"))


def from_line(line: str) -> Line:
    """The inverse of `to_line`. ValueError when the line is none of a trace."""
    value = _value(json.loads(line))
    if not isinstance(value, Line):
        raise ValueError(f"not a line of a trace: {line[:80]}")
    return value


def born(machine: Machine) -> Born:
    """The first line of the trace of a machine that has taken no step yet."""
    if isinstance(machine, AgentState):
        return AgentBorn(me=machine.me, node=machine.node, settings=machine.settings, now=machine.orphan_since)
    if isinstance(machine, SupervisorState):
        return SupervisorBorn(settings=machine.settings, return_after_s=machine.return_after_s)
    return OrchestratorBorn(round=machine.round, shape=machine.shape, settings=machine.settings)


def replay(lines: Iterable[str]) -> list[ReplayDifference]:
    """Takes all steps of a trace again, from its first line on. Empty when every answer is the same."""
    machine: Machine | None = None
    differences: list[ReplayDifference] = []
    number = 0
    for line in lines:
        what = from_line(line)
        if not isinstance(what, Step):
            machine = _machine(what)
            continue
        if machine is None:
            raise ValueError("a trace must begin with the creation of its state machine")
        answer = tuple(_take(machine, what))
        if answer != what.commands:
            differences.append(ReplayDifference(number=number, step=what, answer=answer))
        number += 1
    return differences


def _machine(birth: Born) -> Machine:
    if isinstance(birth, AgentBorn):
        return AgentState(me=birth.me, node=birth.node, settings=birth.settings, orphan_since=birth.now)
    if isinstance(birth, SupervisorBorn):
        return SupervisorState(settings=birth.settings, return_after_s=birth.return_after_s)
    return OrchestratorState(round=birth.round, shape=birth.shape, settings=birth.settings)


def _take(machine: Machine, step: Step) -> Sequence[Command]:
    if isinstance(machine, AgentState):
        assert isinstance(step.event, events.AgentEvent)
        return agent.step(machine, step.event, step.now)
    if isinstance(machine, SupervisorState):
        assert isinstance(step.event, events.SupervisorEvent)
        return supervisor.step(machine, step.event, step.now)
    assert isinstance(step.event, events.OrchestratorEvent)
    return orchestrator.step(machine, step.event, step.now)


def _types(*modules: ModuleType) -> dict[str, type]:
    """The records, dataclasses and enums of these modules by name; names are unique among them."""
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and (dataclasses.is_dataclass(value) or issubclass(value, Record | enum.Enum))
    }


_TYPES = {
    **_types(ids, snapshot_index, plan, settings, messages, events, commands, job_events, imbalance, interval),
    **{one.__name__: one for one in (JobShape, AgentBorn, OrchestratorBorn, SupervisorBorn, Step)},
}


def _plain(value: Any) -> Any:
    """`value` as what JSON has."""
    if isinstance(value, enum.Enum):  # one that stands in a field for text, as a phase does, is written as its text
        return {"enum": type(value).__name__, "value": value.value} if type(value).__name__ in _TYPES else value.value
    if dataclasses.is_dataclass(value):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Record):
        return {"type": type(value).__name__, **{name: _plain(getattr(value, name)) for name in names_of(value)}}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, list):
        return {"list": [_plain(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return value


def _value(plain: Any) -> Any:
    """The inverse of `_plain`."""
    if isinstance(plain, list):
        return tuple(_value(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    if "type" in plain:
        if plain["type"] not in _TYPES:
            raise ValueError(f"unknown type {plain['type']!r} in a trace")
        return _TYPES[plain["type"]](**{name: _value(one) for name, one in plain.items() if name != "type"})
    if "enum" in plain:
        return _TYPES[plain["enum"]](plain["value"])
    if "list" in plain:
        return [_value(one) for one in plain["list"]]
    if "dict" in plain:
        return {_value(key): _value(one) for key, one in plain["dict"]}
    return bytes.fromhex(plain["hex"])
