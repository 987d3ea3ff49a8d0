"""From the logs of one job: was its result right, and how long did the recovery take?"""

from __future__ import annotations

import json
import pathlib
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from common_work import FATAL_STEP, PROTECT_EVERY, SIZE, STEPS, reference_of_replicas

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One recovery. Times in seconds from the SIGKILL.

    Attributes:
        first_s: until every rank had finished a superstep again.
        caught_up_s: until every rank had finished the superstep in which the loss happened, or the first one together after it.
        from_step: where the ranks went on.
        protect_s: how long a protection before the loss held its slowest rank up; the median of them, 0 without any.
        phases: perdure only: by its own events.
    """

    first_s: float
    caught_up_s: float
    from_step: int
    protect_s: float
    phases: dict[str, float] = field(default_factory=dict)


class WrongResultError(Exception):
    """A job ended without the bits of the undisturbed run, or did not end."""


def read(folder: pathlib.Path) -> list[Event]:
    """All events of all processes in the order of time."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda event: event["at"])


def check(events: Iterable[Event], sums: list[int], finals: list[int]) -> None:
    """Every step of every rank, also those that were computed twice, and every rank's last state. Raises WrongResultError."""
    steps = [event for event in events if event["event"] == "step"]
    wrong = [event for event in steps if event["sum"] != sums[event["step"]]]
    ends = {event["rank"]: event["sum"] for event in events if event["event"] == "final"}
    done = {(event["rank"], event["step"]) for event in steps}
    if wrong:
        raise WrongResultError(f"step {wrong[0]['step']} of rank {wrong[0]['rank']} has another sum than in the undisturbed run")
    if len(done) < SIZE * STEPS or ends != dict(enumerate(finals)):
        raise WrongResultError(f"{len(done)} of {SIZE * STEPS} steps were done, and ranks {sorted(ends)} have a last state")


def check_replicas(events: Iterable[Event], mb: int) -> None:
    """As `check`, of replicas: they end together, and the one that was lost did not do what the others did without it."""
    steps = [event for event in events if event["event"] == "step"]
    ends = {event["rank"]: event["sum"] for event in events if event["event"] == "final"}
    sums, final = reference_of_replicas(mb, 1 + max((event["step"] for event in steps), default=-1))
    wrong = [event for event in steps if event["sum"] != sums[event["step"]]]
    if wrong:
        raise WrongResultError(f"step {wrong[0]['step']} of replica {wrong[0]['rank']} has another sum than in the undisturbed run")
    if ends != dict.fromkeys(range(SIZE), final):
        raise WrongResultError(f"replicas {sorted(ends)} have a last state, and not all of them the undisturbed one")


def measure(events: list[Event]) -> Recovery:
    """Of a job that passed `check`."""
    killed = next(event["at"] for event in events if event["event"] == "kill")
    resumed = [event for event in events if event["event"] == "resume" and event["epoch"] == 1]
    again = [event for event in events if event["event"] == "step" and event["epoch"] == 1]
    first = max(min(event["at"] for event in again if event["rank"] == rank) for rank in range(SIZE))
    from_step = min(event["step"] for event in resumed)
    caught_up = max(event["at"] for event in again if event["step"] == max(FATAL_STEP, from_step))
    return Recovery(
        first_s=first - killed,
        caught_up_s=caught_up - killed,
        from_step=from_step,
        protect_s=_protect(events, killed),
        phases=_phases(events, killed, first, caught_up),
    )


def _protect(events: list[Event], killed: float) -> float:
    """The first two are left out: they touch the memory of the snapshots."""
    held_up: dict[int, float] = {}
    for event in events:
        if event["at"] > killed or event["event"] not in ("protected", "committed"):
            continue
        number = event["step"] if event["event"] == "protected" else event["superstep"]
        held_up[number] = max(held_up.get(number, 0.0), event["seconds"] if "seconds" in event else event["protect_s"])
    late = [seconds for number, seconds in held_up.items() if number > PROTECT_EVERY]
    return statistics.median(late) if late else 0.0


def _phases(events: list[Event], killed: float, first: float, caught_up: float) -> dict[str, float]:
    """detect, reform, rebuild and replay as in perdure's report; the replay up to the first superstep apart. Empty for the others."""
    marks = {"detect": "node_lost", "reform": "generation_started", "rebuild": "resumed"}
    phases, since = {}, killed
    for phase, name in marks.items():
        at = next((event["at"] for event in events if event["event"] == name and event["at"] > killed), None)
        if at is None:
            return {}
        phases[phase], since = at - since, at
    return phases | {"first superstep": first - since, "replay": caught_up - first}
