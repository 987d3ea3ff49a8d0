"""The live display of a job on standard error: a progress bar on a terminal, otherwise lines; and a line for each important event."""

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
"""The width of a terminal that does not report its size."""
EVERY_S: Final = 10.0
"""Seconds between two lines of progress if standard error is no terminal: rare enough for a log."""


def in_words(event: JobEvent) -> str:
    """Return an event as a sentence, or an empty string for an event that is of no interest to people."""
    match event:
        case NodeLostEvent(node=node, reason=reason):
            return f"node {node} is lost ({reason})"
        case WorkerLostEvent(rank=rank, reason=reason):
            return f"the worker of rank {rank} is lost ({reason})"
        case LinkLostEvent(rank=rank, other=other):
            return f"the connection between ranks {rank} and {other} failed although both are alive; all ranks reconnect"
        case RebuiltEvent(rank=rank, bytes=nbytes, seconds=seconds):
            return f"rank {rank} is rebuilt: {nbytes / 1e6:.1f} MB in {seconds * 1000:.0f} ms"
        case GenerationStartedEvent():
            return _generation_in_words(event)
        case UnprotectedEvent(reason=reason):
            return f"warning: {reason}"
        case GroupSizeEvent(reason=reason):
            return f"group size: {reason}"
        case HoldEvent(why=why):
            return f"{why}; ranks move at the next commit"
        case ResumedEvent(superstep=superstep, generation=generation) if generation > 1:
            return f"the job continues from superstep {superstep}"
        case ChunkWrongEvent(rank=rank, what=what, chunk=chunk):
            return f"silent data corruption detected on rank {rank}: {what} chunk {chunk} of {_step(event)}"
        case ChunkRepairedEvent(rank=rank, what=what, chunk=chunk):
            return f"rank {rank}: {what} chunk {chunk} of {_step(event)} is repaired"
        case ChunkUnrepairedEvent(rank=rank, what=what, chunk=chunk):
            return f"rank {rank}: {what} chunk {chunk} of {_step(event)} stays corrupt until the next commit"
        case DivergedEvent(item=item, ranks=ranks, majority=majority):
            who = f"on rank {', '.join(map(str, ranks))}" if majority else "between the ranks, and no value has a majority"
            return f"warning: the replicated item {item!r} differs {who}, at {_step(event)}"
        case CrossingEvent(superstep=superstep, what=what):
            return f"warning: {what} at the commit of superstep {superstep}; a recovery from there would end the job"
        case FaultEvent(fault=fault):
            return f"fault: {fault}"
        case OrchestratorLostEvent(reason=reason):
            return f"the orchestrator is lost ({reason}); a new one takes over while the ranks compute"
        case CustodianEvent(node=node, ranks=ranks):
            return (
                f"node {node} responds again; its copy of rank {', '.join(map(str, ranks))} ({_step(event)}) can be used until "
                "the next commit"
            )
        case NodeReturnedEvent(node=node):
            return f"node {node} is started again as a spare"
        case NodePendingEvent(node=node, reason=reason):
            return f"node {node} starts later: {reason}"
        case NodeDrainingEvent(node=node, deadline_s=deadline_s, reason=reason):
            return f"node {node} will end{'' if deadline_s is None else f' in {deadline_s:g} s'}: {reason}"
        case EngineUnavailableEvent(reason=reason):
            return f"the engine cannot be reached ({reason}); the ranks continue to compute"
        case EngineAvailableEvent():
            return "the engine can be reached again"
        case ShellOutputEvent(node=node, text=text):
            return f"node {node}: {text}"
        case EventsDroppedEvent(count=count):
            return f"{count} events are not shown, because standard error was not read"
        case _:
            return ""


def _generation_in_words(event: GenerationStartedEvent) -> str:
    """Return a generation's start as a sentence. The first generation is mentioned only for its risk."""
    if event.generation == 1:
        return f"warning: {event.risk}" if event.risk else ""
    degraded = f", degraded: {event.why or 'nodes are missing'}" if event.degraded else ""
    return f"generation {event.generation} is formed{degraded}" + (f"; warning: {event.risk}" if event.risk else "")


def _step(event: ChunkWrongEvent | ChunkRepairedEvent | ChunkUnrepairedEvent | DivergedEvent | CustodianEvent) -> str:
    return "the end" if event.end else f"superstep {event.superstep}"


@contextlib.contextmanager
def display(*, to_terminal: bool) -> Iterator[TypedListener]:
    """Yield a function that takes events. A thread writes to standard error, so a slow reader does not delay the job."""
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
    """A progress bar at the bottom of the terminal, removed when the job is over."""

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
        """Print complete lines of the program's output above the bar."""
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
