"""The steps of a simulated job in words: what was heard, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from perdure.core import messages as msg

SHOWN: Final = (
    "agent", "rank", "incarnation", "generation", "label", "ballot", "p", "position", "index", "how", "error", "text", "superstep",
)  # fmt: skip


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
        event = moment.event if isinstance(moment.event, str) else short(moment.event)
        lines.append(f"{moment.now_s * 1000:10.2f} ms  {moment.who}: {event}")
        lines += [f"{'':15}-> {short(command)}" for command in moment.commands]
    return lines


def short(what: Any) -> str:
    """A name and what matters of it."""
    message = getattr(what, "message", None)
    fields = []
    for part in (what, message):
        for name in SHOWN:
            if (value := getattr(part, name, None)) is not None:
                fields.append(f"{name}={value}")
        if (plan := getattr(part, "plan", None)) is not None:
            places = " ".join(f"{place.rank}@{place.agent}.{place.incarnation}" for place in plan.placements)
            fields.append(f"plan {plan.generation} from {plan.base}: {places}")
        if isinstance(part, msg.Sealed | msg.Status):
            for report in part.ranks:
                held = " ".join(f"{one.label}{'*' if one.prepared else ''} {one.data:b}/{one.parity:b}" for one in report.labels)
                fields.append(f"[{report.rank}.{report.incarnation} {'lives' if report.worker_lives else 'dead'} {held}]")
    return f"{name_of(what)}({', '.join(fields)})"
