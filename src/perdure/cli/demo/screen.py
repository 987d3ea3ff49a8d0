"""The live view of the demo: the wave, the nodes, the time by cause, the last events, and the progress.

The thread that runs the job passes stages and events to `Screen`, and rich's thread draws it; a lock protects it. The size of the wave
depends on the terminal; 80 x 24 is the smallest terminal that has a layout.
"""

from __future__ import annotations

import collections
import threading
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from perdure.cli.demo import example
from perdure.cli.demo.picture import HalfBlocks
from perdure.cli.demo.stage import PARITY, RANKS, SPARES, TITLES, DemoStage
from perdure.cli.display import in_words
from perdure.cli.parts import WARM, bar, causes_table, clock, is_at_risk, is_fresh, nodes_table, rank_style
from perdure.core.job_events import FaultEvent, JobEvent, NodeLostEvent, NodeReturnedEvent, RebuiltEvent, ResumedEvent, TimedEvent

SMALLEST = (80, 24)
SIDE = 35
"""Columns for the nodes and the time by cause."""
NODES, CAUSES = RANKS + SPARES + 2, 8
"""Lines of these two panels with their borders."""
LEAST_FOR_WORDS = 12
WHAT_HAPPENS = (
    "Each rank holds the rows beside its number in the memory of its node. When a node is killed, its rows are rebuilt on a spare from "
    "parity in the memory of the other nodes, whose processes keep running. Then the run is repeated undisturbed, and all bits "
    "are compared."
)
BELOW = 4
"""Lines of what happened last that are kept, whatever the picture would like."""
FRAMES_A_SECOND = 5


class Screen:
    """Fills the terminal for as long as its block runs."""

    def __init__(self, console: Console, view: str, *, live: bool = True) -> None:
        """Listens at the abstract socket `view` for pictures. Without `live` it is drawn only when asked (`render`)."""
        self.view = view
        self._console = console
        self._pictures = example.module("tsunami_view")
        self._canvas: Any = self._pictures.Canvas(view)
        self._lock = threading.Lock()
        self._stages: list[DemoStage] = []
        self._log: collections.deque[Text] = collections.deque(maxlen=40)
        self._live = Live(
            console=console, screen=True, get_renderable=self.render, refresh_per_second=FRAMES_A_SECOND, transient=True
        ) if live else None  # fmt: skip

    def __enter__(self) -> Self:
        """Takes the terminal over."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the terminal back as it was."""
        if self._live is not None:
            self._live.stop()
        self._canvas.close()

    def begin(self, stage: DemoStage) -> None:
        """The next stage: its events come from now on."""
        with self._lock:
            self._stages.append(stage)
            self._log.append(Text(f"{stage.title} begins", style="bold"))

    def take(self, timed: TimedEvent) -> None:
        """One event of the stage that runs."""
        with self._lock:
            self._stages[-1].take(timed)
            words = in_words(timed.event)
            if words:
                parts = (f"{timed.t:7.2f} s  ", "dim"), (words, _STYLES.get(type(timed.event), ""))
                self._log.append(Text.assemble(*parts, no_wrap=True, overflow="ellipsis"))

    def render(self) -> RenderableType:
        """The whole terminal, as it is now."""
        with self._lock:
            self._canvas.receive()
            width, height = self._console.size
            if not self._stages:
                return Text("")
            return Group(*self._lines(self._stages[-1], width, height))

    def _lines(self, stage: DemoStage, width: int, height: int) -> list[RenderableType]:
        columns, rows = picture_size(width, height, self._pictures.ASPECT)
        wave = Panel(
            self._wave(stage, columns, rows),
            title=self._when(),
            subtitle=_how_far(stage),
            border_style="grey50",
            padding=0,
            width=columns + 4,
        )
        body = Table.grid(padding=0)
        body.add_row(wave, self._side(stage, width - columns - 4, rows + 2))
        log_lines = height - 1 - (rows + 2) - 2
        log = Group(*list(self._log)[-log_lines:])
        return [self._head(stage, width), body, Padding(log, (0, 1), expand=True), *self._filling(log_lines), *self._bars(stage, width)]

    def _filling(self, log_lines: int) -> list[Text]:
        return [Text("")] * (log_lines - min(log_lines, len(self._log)))

    def _head(self, stage: DemoStage, width: int) -> Table:
        head = Table.grid(expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right")
        what = "while its nodes are killed" if stage.before is None else "again, undisturbed"
        head.add_row(
            Text.assemble((" perdure", f"bold {WARM}"), f"  a tsunami crosses the Pacific {what}"),
            Text.assemble((clock(stage.time_left_s), "bold"), " left "),
        )
        return head

    def _wave(self, stage: DemoStage, columns: int, rows: int) -> RenderableType:
        pixels, ranks = self._pictures.pacific(self._canvas, 2 * rows, columns)
        grid = Table.grid(padding=0)
        fresh = {rank for rank, worker in stage.watch.workers.items() if is_fresh(stage.watch, worker)}
        grid.add_row(_rank_marks(ranks[::2].tolist(), fresh), HalfBlocks(pixels))
        return grid

    def _when(self) -> str:
        frame = self._canvas.latest
        minutes = int(frame.seconds // 60) if frame else 0
        return f"[bold]{minutes // 60} h {minutes % 60:02d} min[/bold] after the earthquake"

    def _side(self, stage: DemoStage, width: int, height: int) -> Group:
        killed = f"{stage.watch.losses} lost so far" if stage.watch.losses else ""
        title = "nodes · [bold yellow]degraded[/bold yellow]" if stage.watch.degraded else "nodes"
        nodes = NODES + sum(is_at_risk(node, PARITY) for node in stage.watch.nodes.values())
        panels = [
            _panel(nodes_table(stage.watch, PARITY), title, width, nodes, killed),
            _panel(causes_table(stage.watch), "time by cause", width, min(height - nodes, CAUSES)),
        ]
        if height - nodes - CAUSES >= LEAST_FOR_WORDS:
            panels.append(_panel(Text(WHAT_HAPPENS, style="grey70"), "what happens", width, height - nodes - CAUSES))
        elif height > nodes + CAUSES:
            panels[-1].height = height - nodes
        return Group(*panels)

    def _bars(self, stage: DemoStage, width: int) -> list[RenderableType]:
        """One for each stage: done, running, to come."""
        lines: list[RenderableType] = []
        for number, title in enumerate(TITLES):
            share, right = 0.0, "to come"
            if number < len(self._stages):
                shown = self._stages[number]
                share, right = shown.watch.share or 0.0, shown.status
            lines.append(Padding(bar(f"{title:<12}", share, f"{right:<23}", width=width - 2), (0, 1)))
        return lines


_STYLES: Final[dict[type[JobEvent], str]] = {
    FaultEvent: "bold red", NodeLostEvent: "red", RebuiltEvent: "yellow", ResumedEvent: "green", NodeReturnedEvent: "cyan",
}  # fmt: skip


def picture_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """(columns, lines) of the wave: as wide as the side panels and as high as the lines below leave room, in the map's proportions."""
    columns = width - SIDE - 4
    lines = height - 1 - 2 - 2 - BELOW
    columns = min(columns, int(2 * lines / aspect))
    return columns, max(1, round(columns * aspect / 2))


def _panel(content: RenderableType, title: str, width: int, height: int, subtitle: str = "") -> Panel:
    return Panel(content, title=title, subtitle=subtitle, border_style="grey50", width=width, height=height)


def _how_far(stage: DemoStage) -> str:
    watch = stage.watch
    degraded = f" · [yellow]degraded: {watch.why_degraded}[/yellow]" if watch.degraded else ""
    return f"generation [bold]{watch.generation}[/bold] · superstep {watch.superstep} · committed [bold]{watch.committed}[/bold]{degraded}"


def _rank_marks(ranks: list[int], fresh: set[int]) -> Text:
    """Two characters a line of the picture: whose rows these are, the number in their middle; a broad line where they were just rebuilt."""
    marks = Text()
    for line, rank in enumerate(ranks):
        middle = line == ranks.index(rank) + ranks.count(rank) // 2
        sign = " " if rank < 0 else str(rank) if middle else "█" if rank in fresh else "┃"
        marks.append(f"{sign} \n", style="bold yellow" if rank in fresh else rank_style(rank))
    marks.right_crop(1)
    return marks
