"""What does a stranger see first? A tsunami crosses the real Pacific while its nodes are killed, and no bit is different for it.

The same program runs twice: with a node killed every few seconds, and undisturbed. Every declared item is compared by digest at every
commit that both runs made, the end among them, and so is what the program returned.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from perdure.cli.bench_plot import MISSING
from perdure.cli.demo import example
from perdure.cli.demo.lines import Lines
from perdure.cli.demo.screen import SMALLEST, Screen
from perdure.cli.demo.stage import PARITY, RANKS, SPARES, TITLES, DemoStage, killed
from perdure.cli.demo.verdict import DemoVerdict, judge
from perdure.core.job_events import TimedEvent
from perdure.core.settings import OVERLAP
from perdure.errors import ConfigError
from perdure.launch import Report, run
from perdure.wire.event_json import on_json

COMMIT_EVERY = 3
"""Supersteps: three or four commits a second at the demo's size on two cores, so a loss costs a fraction of a second of work."""
DEFAULT_PICTURE = pathlib.Path("tsunami.png")
"""The map that is drawn if the operator names none, and left out if matplotlib is not installed."""
RETURN_AFTER_S = 3.0
"""A killed node is back as an empty spare after so long: sooner than the next is killed, so there is always a spare."""


class Viewer(Protocol):
    """Shows the stages. `view`: where the program shall send its pictures, or empty."""

    @property
    def view(self) -> str:
        """The name of an abstract Unix datagram socket, or empty."""

    def begin(self, stage: DemoStage) -> None:
        """The next stage: its events come from now on."""

    def take(self, timed: TimedEvent) -> None:
        """One event of the stage that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of the demo: the interval between kills and the seed of their choice, the size of the program, the file of the map, and
    the memory mode."""

    kill_every_s: float
    seed: int
    coarsen: int
    hours: float
    picture: pathlib.Path | None = None
    memory: str = OVERLAP

    @property
    def fault(self) -> str:
        """The fault in the form of `perdure run --fault`."""
        return f"kill:every={self.kill_every_s:g}s,seed={self.seed}"


def demo(wish: DemoOptions, console: Console | None = None) -> bool:
    """Runs both stages, shows them on the console, and prints what came of it; True when every bit is the same.

    Raises:
        ConfigError: the wish cannot be fulfilled; nothing was started. What `perdure.run` raises passes through.
    """
    console = console or Console()
    count = example.supersteps(wish.coarsen, wish.hours)
    picture = _writable(wish.picture or DEFAULT_PICTURE)
    can_draw = importlib.util.find_spec("matplotlib") is not None
    if wish.picture is not None and not can_draw:
        raise ConfigError(f"--map {wish.picture} {MISSING}")
    first = DemoStage(TITLES[0], count)
    second = DemoStage(TITLES[1], count, before=first)
    with _viewer(console) as viewer:
        disturbed = _run(first, viewer, wish, picture="", faults=[wish.fault])
        # A loss repeats what follows the last commit, and the kills can be closer together than the map takes to draw.
        undisturbed = _run(second, viewer, wish, picture=str(picture) if can_draw else "", faults=[])
    verdict = judge(first, second, disturbed, undisturbed)
    print(f"highest waves: {wish.picture or DEFAULT_PICTURE if can_draw else f'no map is drawn: it {MISSING}'}")
    for line in summary(verdict, disturbed, undisturbed):
        print(line)
    return verdict.identical


def _viewer(console: Console) -> AbstractContextManager[Viewer]:
    width, height = console.size
    if console.is_terminal and not console.is_dumb_terminal and width >= SMALLEST[0] and height >= SMALLEST[1]:
        return Screen(console, f"perdure-demo-{os.getpid()}")
    return Lines(lambda line: print(line, flush=True))


def _run(stage: DemoStage, viewer: Viewer, wish: DemoOptions, *, picture: str, faults: list[str]) -> Report:
    viewer.begin(stage)
    arguments: dict[str, Any] = {"coarsen": wish.coarsen, "hours": wish.hours, "view": viewer.view, "map": picture}
    return run(
        str(example.directory() / "tsunami.py"), ranks=RANKS, spares=SPARES, parity=PARITY, commit_every=COMMIT_EVERY, arguments=arguments,
        faults=faults, memory=wish.memory, on_event=on_json(viewer.take), return_after_s=RETURN_AFTER_S if faults else None,
    )  # fmt: skip


def _writable(picture: pathlib.Path) -> pathlib.Path:
    """Return the absolute path of the map. ConfigError: the file cannot be written, which is reported before the work."""
    path = picture.absolute()
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--map {picture}: the file cannot be written; name a file in an existing, writable directory")
    return path


def summary(verdict: DemoVerdict, disturbed: Report, undisturbed: Report) -> list[str]:
    """Return the summary line by line, with the seconds as a table; the last line is the verdict."""
    lines = ["".join([f"{'seconds':<12}", *(f"{name:>9}" for name in ("all", *disturbed.seconds))])]
    for title, report in zip(TITLES, (disturbed, undisturbed), strict=True):
        values = (sum(report.seconds.values()), *report.seconds.values())
        lines.append("".join([f"{title:<12}", *(f"{value:>9.2f}" for value in values)]))
    lines.append(f"{killed(disturbed.losses)}, {disturbed.generations} generations")
    lines.append(f"compared: {verdict.what}")
    lines.append(f"bit-identical: {'yes' if verdict.identical else f'no: {verdict.why_not}'}")
    return lines
