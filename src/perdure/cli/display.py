"""What a person sees while a job runs: a bar on a terminal, elsewhere a line now and then; and a line for each important event."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from perdure.cli.best_effort import dispensable, print_error
from perdure.cli.output_pipe import printed_above
from perdure.cli.parts import bar, clock, progress_words
from perdure.cli.watch import Watch
from perdure.core.job_events import (
    ChunkRepairedEvent,
    ChunkUnrepairedEvent,
    ChunkWrongEvent,
    CrossingEvent,
    CustodianEvent,
    DivergedEvent,
    EngineAvailableEvent,
    EngineUnavailableEvent,
    EventsDroppedEvent,
    FaultEvent,
    GenerationStartedEvent,
    GroupSizeEvent,
    HoldEvent,
    JobEvent,
    LinkLostEvent,
    NodeDrainingEvent,
    NodeLostEvent,
    NodePendingEvent,
    NodeReturnedEvent,
    OrchestratorLostEvent,
    ProgressEvent,
    RebuiltEvent,
    ResumedEvent,
    ShellOutputEvent,
    TimedEvent,
    UnprotectedEvent,
    WorkerLostEvent,
)
from perdure.launch.event_queue import EventQueue
from perdure.wire.event_json import TypedListener, on_json

USUAL_WIDTH: Final = 80
"""Of a terminal that does not know its size."""
EVERY_S: Final = 10.0
"""Between two lines of progress where there is no terminal: rare enough for a log."""


def in_words(event: JobEvent) -> str:
    """An event as a sentence; empty for those that only a program wants."""
    match event:
        case NodeLostEvent(node=node, reason=reason):
            return f"node {node} is lost ({reason})"
        case WorkerLostEvent(rank=rank, reason=reason):
            return f"the worker of rank {rank} is lost ({reason})"
        case LinkLostEvent(rank=rank, other=other):
            return f"the connection of rank {rank} with rank {other} has ended, and both live: all connect anew"
        case RebuiltEvent(rank=rank, bytes=nbytes, seconds=seconds):
            return f"rank {rank} is rebuilt: {nbytes / 1e6:.1f} MB in {seconds * 1000:.0f} ms"
        case GenerationStartedEvent():
            return _generation_in_words(event)
        case UnprotectedEvent(reason=reason):
            return f"warning: {reason}"
        case GroupSizeEvent(reason=reason):
            return f"group size: {reason}"
        case HoldEvent(why=why):
            return f"{why}: ranks move at the next commit"
        case ResumedEvent(superstep=superstep, generation=generation) if generation > 1:
            return f"the job goes on from superstep {superstep}"
        case ChunkWrongEvent(rank=rank, what=what, chunk=chunk):
            return f"memory of rank {rank} has changed by itself: {what} {chunk} of {_step(event)}"
        case ChunkRepairedEvent(rank=rank, what=what, chunk=chunk):
            return f"rank {rank}: {what} {chunk} of {_step(event)} is repaired"
        case ChunkUnrepairedEvent(rank=rank, what=what, chunk=chunk):
            return f"rank {rank}: {what} {chunk} of {_step(event)} stays wrong until the next commit"
        case DivergedEvent(item=item, ranks=ranks, majority=majority):
            who = f"on rank {', '.join(map(str, ranks))}" if majority else "between the ranks, and none has a majority"
            return f"warning: the replicated item {item!r} differs {who}, at {_step(event)}"
        case CrossingEvent(superstep=superstep, what=what):
            return f"warning: {what} at the commit of superstep {superstep}; a recovery from there would end the job"
        case FaultEvent(fault=fault):
            return f"fault: {fault}"
        case OrchestratorLostEvent(reason=reason):
            return f"the orchestrator is lost ({reason}); a new one takes over, the ranks compute on"
        case CustodianEvent(node=node, ranks=ranks):
            return f"node {node} is heard again, and has kept rank {', '.join(map(str, ranks))} of {_step(event)}"
        case NodeReturnedEvent(node=node):
            return f"node {node} is back, as a spare"
        case NodePendingEvent(node=node, reason=reason):
            return f"node {node} comes later: {reason}"
        case NodeDrainingEvent(node=node, deadline_s=deadline_s, reason=reason):
            return f"node {node} will end{'' if deadline_s is None else f' in {deadline_s:g} s'}: {reason}"
        case EngineUnavailableEvent(reason=reason):
            return f"the engine cannot be reached ({reason}); the ranks compute on"
        case EngineAvailableEvent():
            return "the engine can be reached again"
        case ShellOutputEvent(node=node, text=text):
            return f"node {node}: {text}"
        case EventsDroppedEvent(count=count):
            return f"standard error was not read: {count} events are left out here"
        case _:
            return ""


def _generation_in_words(event: GenerationStartedEvent) -> str:
    """The first generation is worth a line only for its risk."""
    if event.generation == 1:
        return f"warning: {event.risk}" if event.risk else ""
    degraded = f", degraded: {event.why or 'nodes are missing'}" if event.degraded else ""
    return f"generation {event.generation} is formed{degraded}" + (f"; warning: {event.risk}" if event.risk else "")


def _step(event: ChunkWrongEvent | ChunkRepairedEvent | ChunkUnrepairedEvent | DivergedEvent | CustodianEvent) -> str:
    return "the end" if event.end else f"superstep {event.superstep}"


@contextlib.contextmanager
def display(*, to_terminal: bool) -> Iterator[TypedListener]:
    """Give a function that takes events. A thread writes to standard error, so a reader that stops holds up nobody else."""
    if not to_terminal:
        lines = _Lines()
        with EventQueue(dispensable("the display", lines.show), name="display") as queue:
            yield _queued(lines, queue)
        return
    # rich asks descriptors 0 to 2 for their size, which may all be pipes soon.
    width = None if os.isatty(0) else os.get_terminal_size(2).columns or USUAL_WIDTH
    with os.fdopen(os.dup(2), "w") as terminal:
        shown = _Bar(Console(file=terminal, width=width))
        with shown.live, printed_above(shown.lines), EventQueue(dispensable("the display", shown.show), name="display") as queue:
            yield _queued(shown, queue)


def _queued(display: _Bar | _Lines, queue: EventQueue) -> TypedListener:
    """Return a function that notes an event, and queues it only if it is to be written: for most events no thread need wake."""

    def take(timed: TimedEvent) -> None:
        if display.note(timed):
            queue.put(timed)

    return on_json(take)


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

    def note(self, timed: TimedEvent) -> bool:
        """Take the event into account. True: there is a line to `show`."""
        self._watch.take(timed)
        return bool(in_words(timed.event))

    def show(self, timed: TimedEvent) -> None:
        """Write the line of an event, above the bar."""
        self._console.print(f"[dim]{timed.t:8.2f} s[/dim]  {in_words(timed.event)}", highlight=False)


class _Lines:
    def __init__(self) -> None:
        self._watch = Watch(time.monotonic)
        self._next = EVERY_S

    def note(self, timed: TimedEvent) -> bool:
        """Take the event into account. True: there is a line to `show`."""
        self._watch.take(timed)
        if isinstance(timed.event, ProgressEvent) and timed.t >= self._next:
            self._next = timed.t + EVERY_S
            return True
        return bool(in_words(timed.event))

    def show(self, timed: TimedEvent) -> None:
        """Write the line of an event."""
        text = in_words(timed.event)
        if isinstance(timed.event, ProgressEvent):
            left = self._watch.time_left_s
            text = progress_words(self._watch) + ("" if left is None else f"; {clock(left)} left")
        print_error(f"{timed.t:8.2f} s  {text}")
