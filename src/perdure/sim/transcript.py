"""The steps of a simulated job in words: what was heard from whom, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import job_events
from perdure.core import messages as msg
from perdure.core.plan import Plan

SHOWN: Final = (
    "milestone", "rank", "incarnation", "generation", "label", "ballot", "index", "slot", "p", "position", "stripe", "how", "error", "text",
    "superstep",
)  # fmt: skip
"""Fields that say what a message is about; the others are for machines."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step: at `now_s` of virtual time, who heard what, and did what."""

    now_s: float
    who: str
    event: Any
    commands: list[Any]


def name_of(what: Any) -> str:
    """The name of the message in a command or event, or its own."""
    message = getattr(what, "message", None)
    return type(what if message is None else message).__name__


def in_words(moments: Iterable[Moment]) -> list[str]:
    """A line for what was heard, and one for each answer."""
    lines = []
    for moment in moments:
        lines.append(f"{moment.now_s * 1000:10.2f} ms  {moment.who}{_heard(moment.event)}")
        lines += [f"{'':15}-> {_done(command)}" for command in moment.commands]
    return lines


def _heard(event: Any) -> str:
    match event:
        case str():
            return f" {event}"
        case ev.OrchestratorSaid(message=message):
            return f" hears the orchestrator: {short(message)}"
        case ev.PeerSaid(agent=agent, message=message) | ev.AgentSaid(agent=agent, message=message):
            return f" hears agent {agent}: {short(message)}"
        case ev.WorkerSaid(rank=rank, incarnation=incarnation, message=message):
            return f" hears rank {rank}.{incarnation}: {short(message)}"
        case ev.NodeReported(agent=agent, message=message):
            return f" hears node {agent - 1}: {short(message)}"
        case ev.OrchestratorReported(orchestrator=number, message=message):
            return f" hears orchestrator {number}: {short(message)}"
        case ev.StartRefused(node=node) | ev.NodeDraining(node=node) | ev.NodeEnded(node=node):
            return f": {short(event)} node {node}"
        case ev.OrchestratorStarted(orchestrator=number) | ev.OrchestratorEnded(orchestrator=number):
            return f": {short(event)} orchestrator {number}"
        case ev.AgentUp(agent=agent) | ev.AgentEnded(agent=agent):
            return f": {short(event)} agent {agent}"
        case _:
            return f": {short(event)}"


def _done(command: Any) -> str:
    match command:
        case do.TellOrchestrator(message=message):
            return f"to the orchestrator: {short(message)}"
        case do.TellPeer(agent=agent, message=message) | do.TellAgent(agent=agent, message=message):
            return f"to agent {agent}: {short(message)}"
        case do.TellWorker(rank=rank, message=message):
            return f"to rank {rank}: {short(message)}"
        case (
            do.KillAgent(agent=agent) | do.RequestNode(agent=agent) | do.CancelRequest(agent=agent) | do.StartNode(agent=agent)
            | do.EndNode(agent=agent) | do.ReleaseNode(agent=agent)
        ):  # fmt: skip
            return f"{type(command).__name__} {agent}"
        case do.SendToOrchestrator(orchestrator=number, message=msg.AgentUp(agent=agent) | msg.AgentEnded(agent=agent) as message):
            return f"to orchestrator {number}: {short(message)} agent {agent}"
        case do.SendToOrchestrator(orchestrator=number, message=message):
            return f"to orchestrator {number}: {short(message)}"
        case (
            do.StartOrchestrator(orchestrator=number) | do.EndOrchestrator(orchestrator=number) | do.ReadRegister(orchestrator=number)
            | do.CreatePlan(orchestrator=number)
        ):  # fmt: skip
            return f"{type(command).__name__} {number}"
        case do.Publish(event=event):
            return f"publishes {job_events.name_of(event)}"
        case do.Decode(tasks=tasks):
            return f"Decode {_tasks(tasks)}"
        case _:
            return short(command)


def short(what: Any) -> str:
    """A name and what matters of it."""
    words = [f"{name} {value}" for name in SHOWN if (value := getattr(what, name, None)) is not None]
    if isinstance(what, msg.Sealed | msg.AgentStatus | msg.Custody):
        words += [_report(report) for report in what.ranks]
    words += [f"{field} {_chunks(value)}" for field in ("wrong", "repaired", "left") if (value := getattr(what, field, None))]
    if isinstance(what, msg.Assign):
        words.append(_tasks(what.tasks))
    if isinstance(what, msg.Accept | msg.Amend):
        changed = " ".join(f"{place.rank}.{place.incarnation}@{place.agent}" for place in what.change.placements)
        words.append(f"from {what.change.base or 'nothing'} with {changed or 'everybody where they were'}")
    plan = getattr(what, "plan", None)
    span = getattr(what, "reach", None) or (what if isinstance(what, msg.Gathered | msg.StillGathering) else None)
    if span is not None:
        words.append(f"for ranks {span.first} to {span.stop - 1}")
    if isinstance(what, msg.Gathered) and what.missing:
        words.append(f"without {', '.join(map(str, what.missing))}")
    return " ".join([type(what).__name__, ", ".join(words), *([_plan(plan)] if plan is not None else [])]).strip().replace("  ", " ")


def _chunks(chunks: msg.Chunks) -> str:
    return " ".join(f"{what} {number}" for what, number in chunks.named())


def _report(report: msg.RankReport) -> str:
    held = " ".join(f"{one.label} {'prepared' if one.prepared else f'{one.data:b}/{one.parity:b}'}" for one in report.labels)
    return f"rank {report.rank}.{report.incarnation} {'lives' if report.worker_lives else 'is gone'} with {held or 'nothing'}"


def _plan(plan: Plan) -> str:
    places = " ".join(f"{place.rank}.{place.incarnation}@{place.agent}" for place in plan.placements)
    return f"plan {plan.generation} from {plan.base or 'nothing'}: {places}"


def _tasks(tasks: tuple[msg.DecodeTask, ...]) -> str:
    return "; ".join(
        f"stripe {task.stripe} for rank {', '.join(str(rank) for _, rank in task.wanted)}{'' if task.urgent else ' (later)'}"
        + "".join(f" with chunk {position} from custodian {custodian.agent}" for position, custodian in task.kept)
        for task in tasks
    )
