"""What a person sees while a job runs: a bar on a terminal, elsewhere a line now and then; and a line for each important event."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from perdure.cli.best_effort import dispensable, print_error
from perdure.cli.output_pipe import printed_above
from perdure.cli.parts import bar, clock, progress_words
from perdure.cli.watch import Event, Watch
from perdure.launch.event_queue import EventQueue

USUAL_WIDTH: Final = 80
"""Of a terminal that does not know its size."""
EVERY_S: Final = 10.0
"""Between two lines of progress where there is no terminal: rare enough for a log."""


def in_words(event: Event) -> str:
    """An event as a sentence; empty for those that only a program wants."""
    match event["event"]:
        case "node_lost":
            return f"node {event['node']} is lost ({event['reason']})"
        case "worker_lost":
            return f"the worker of rank {event['rank']} is lost ({event['reason']})"
        case "link_lost":
            return f"the connection of rank {event['rank']} with rank {event['other']} has ended, and both live: all connect anew"
        case "rebuilt":
            return f"rank {event['rank']} is rebuilt: {event['bytes'] / 1e6:.1f} MB in {event['seconds'] * 1000:.0f} ms"
        case "generation_started" if event["generation"] > 1:
            degraded = f", degraded: {event.get('why') or 'nodes are missing'}" if event["degraded"] else ""
            formed = f"generation {event['generation']} is formed{degraded}"
            return formed + (f"; warning: {event['risk']}" if event.get("risk") else "")
        case "unprotected":
            return f"warning: {event['reason']}"
        case "group_size":
            return f"group size: {event['reason']}"
        case "generation_started" if event.get("risk"):
            return f"warning: {event['risk']}"
        case "hold":
            return f"{event['why']}: ranks move at the next commit"
        case "resumed" if event["generation"] > 1:
            return f"the job goes on from superstep {event['superstep']}"
        case "chunk_wrong":
            return f"memory of rank {event['rank']} has changed by itself: {event['what']} {event['chunk']} of {_step(event)}"
        case "chunk_repaired":
            return f"rank {event['rank']}: {event['what']} {event['chunk']} of {_step(event)} is repaired"
        case "chunk_unrepaired":
            return f"rank {event['rank']}: {event['what']} {event['chunk']} of {_step(event)} stays wrong until the next commit"
        case "diverged":
            who = f"on rank {', '.join(map(str, event['ranks']))}" if event["majority"] else "between the ranks, and none has a majority"
            return f"warning: the replicated item {event['item']!r} differs {who}, at {_step(event)}"
        case "crossing":
            return f"warning: {event['what']} at the commit of superstep {event['superstep']}; a recovery from there would end the job"
        case "fault":
            return f"fault: {event['fault']}"
        case "orchestrator_lost":
            return f"the orchestrator is lost ({event['reason']}); a new one takes over, the ranks compute on"
        case "custodian":
            return f"node {event['node']} is heard again, and has kept rank {', '.join(map(str, event['ranks']))} of {_step(event)}"
        case "node_returned":
            return f"node {event['node']} is back, as a spare"
        case "shell_output":
            return f"node {event['node']}: {event['text']}"
        case "events_dropped":
            return f"standard error was not read: {event['count']} events are left out here"
        case _:
            return ""


def _step(event: Event) -> str:
    return "the end" if event["end"] else f"superstep {event['superstep']}"


@contextlib.contextmanager
def display(*, to_terminal: bool) -> Iterator[Callable[[Event], None]]:
    """Give a function that queues events, which a thread shows on standard error; a reader that stops holds up nobody else."""
    if not to_terminal:
        with EventQueue(dispensable("the display", _Lines().take), name="display") as queue:
            yield queue.put
        return
    # rich asks descriptors 0 to 2 for their size, which may all be pipes soon.
    width = None if os.isatty(0) else os.get_terminal_size(2).columns or USUAL_WIDTH
    with os.fdopen(os.dup(2), "w") as terminal:
        shown = _Bar(Console(file=terminal, width=width))
        with shown.live, printed_above(shown.lines), EventQueue(dispensable("the display", shown.take), name="display") as queue:
            yield queue.put


class _Bar:
    """The bar stays at the bottom, and goes when the job is over."""

    def __init__(self, console: Console) -> None:
        self._console, self._watch = console, Watch(time.monotonic)
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=5, transient=True)

    def _render(self) -> RenderableType:
        watch = self._watch
        if not watch.generation:
            return bar("starting", None, "", width=self._console.width)
        right = clock(watch.t) if watch.time_left_s is None else f"{clock(watch.time_left_s)} left"
        return bar(progress_words(watch), watch.share, right, width=self._console.width)

    def lines(self, text: str) -> None:
        """Whole lines of the program's output."""
        self._console.print(Text.from_ansi(text), soft_wrap=True, highlight=False)

    def take(self, event: Event) -> None:
        self._watch.take(event)
        text = in_words(event)
        if text:
            self._console.print(f"[dim]{event['t']:8.2f} s[/dim]  {text}", highlight=False)


class _Lines:
    def __init__(self) -> None:
        self._watch = Watch(time.monotonic)
        self._next = EVERY_S

    def take(self, event: Event) -> None:
        self._watch.take(event)
        text = in_words(event)
        if event["event"] == "progress" and event["t"] >= self._next:
            self._next = event["t"] + EVERY_S
            left = self._watch.time_left_s
            text = progress_words(self._watch) + ("" if left is None else f"; {clock(left)} left")
        if text:
            print_error(f"{event['t']:8.2f} s  {text}")
