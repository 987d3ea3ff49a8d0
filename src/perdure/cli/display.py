"""What a person sees while a job runs: one live line on a terminal, a line for each important event elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.status import Status

Event = dict[str, Any]


def in_words(event: Event) -> str:
    """An event as a sentence; empty for those that only a program wants."""
    match event["event"]:
        case "node_lost":
            return f"node {event['node']} is lost ({event['reason']})"
        case "worker_lost":
            return f"the worker of rank {event['rank']} is lost ({event['reason']})"
        case "rebuilt":
            return f"rank {event['rank']} is rebuilt: {event['bytes'] / 1e6:.1f} MB in {event['seconds'] * 1000:.0f} ms"
        case "generation_started" if event["generation"] > 1:
            return f"generation {event['generation']} is formed" + (", degraded: nodes are missing" if event["degraded"] else "")
        case "resumed" if event["generation"] > 1:
            return f"the job goes on from superstep {event['superstep']}"
        case "fault":
            return f"fault: {event['fault']}"
        case "orchestrator_lost":
            return f"the orchestrator is lost ({event['reason']}); a new one takes over, the ranks compute on"
        case "node_returned":
            return f"node {event['node']} is back, as a spare"
        case _:
            return ""


@contextlib.contextmanager
def display(*, to_terminal: bool) -> Iterator[Callable[[Event], None]]:
    """Gives a function that takes events and shows them on standard error."""
    console = Console(stderr=True)
    with console.status("starting") if to_terminal else contextlib.nullcontext() as status:
        yield _Lines(console, status).take


class _Lines:
    def __init__(self, console: Console, status: Status | None) -> None:
        self._console, self._status = console, status
        self._superstep, self._committed, self._generation = 0, 0, 0

    def take(self, event: Event) -> None:
        text = in_words(event)
        if text and self._status is not None:
            self._console.print(f"[dim]{event['t']:8.2f} s[/dim]  {text}", highlight=False)
        elif text:
            print(f"{event['t']:8.2f} s  {text}", file=sys.stderr, flush=True)
        match event["event"]:
            case "generation_started":
                self._generation = event["generation"]
            case "progress":
                self._superstep = event["superstep"]
            case "committed":
                self._committed = event["superstep"]
        if self._status is not None:
            self._status.update(f"superstep {self._superstep}, committed {self._committed}, generation {self._generation}")
