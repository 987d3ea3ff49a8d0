"""The output of `perdure rehearse --campaign`: progress, failed runs, and a table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from perdure.cli.parts import bar, clock
from perdure.errors import ConfigError
from perdure.testing.campaign import host_cases
from perdure.testing.campaign.runner import Campaign, CampaignSpec, Outcome
from perdure.testing.campaign.tally import Row, Tally
from perdure.testing.campaign.testbeds import Here

EVERY_S: Final = 10.0
"""Seconds between two lines of progress if standard error is no terminal."""
TABLE_WIDTH: Final = 80
"""The width of the table, in characters, if standard output is no terminal: no column is cut off."""


def run_campaign(
    shape: CampaignSpec, *, runs: int, seed: int, as_json: bool, options: Sequence[str] = (), namespaced: bool = False
) -> bool:
    """Run the cases `seed`, `seed + 1`, ... and print the table. Return False if a run failed. Raises what `Campaign` raises.

    `options` are the command-line options that choose the hosts; `namespaced`: each run has virtual hosts of its own.
    """
    if runs < 1:
        raise ConfigError(f"--runs must be 1 or more, not {runs}")
    if seed < 0:
        raise ConfigError(f"--seed must be 0 or more, not {seed}")
    if shape.engine == "threads":
        raise ConfigError("--engine threads survives no loss, so there is nothing to rehearse: use --engine local")
    print(f"rehearsing: {shape.program} undisturbed", file=sys.stderr, flush=True)
    prepared = _campaign(shape, options, namespaced)
    tally = Tally()
    for outcome in _watched(prepared.outcomes(range(seed, seed + runs)), tally, runs):
        print(outcome, file=sys.stderr, flush=True)
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    console.print(table(tally))
    not_drawn = prepared.baseline.not_drawn()
    if not_drawn:
        print(not_drawn)
    print(verdict(tally))
    if as_json:
        print(json.dumps(tally.to_json() | {"not_drawn": not_drawn}))
    return not tally.failures


def _campaign(shape: CampaignSpec, options: Sequence[str], namespaced: bool) -> Campaign:
    if not namespaced:
        return Campaign(shape, lambda: Here(options))
    from perdure.testing.namespaced_testbed import NamespacedTestbed

    return Campaign(shape, lambda: NamespacedTestbed(shape.nodes + shape.spares), draw=host_cases.draw)


def _watched(outcomes: Iterator[Outcome], tally: Tally, runs: int) -> Iterator[Outcome]:
    """Count all outcomes, display the progress, and yield the failures."""
    started = time.monotonic()

    def left_s() -> float | None:
        done = tally.whole.runs
        return (time.monotonic() - started) / done * (runs - done) if done else None

    def count(in_lines: bool) -> Iterator[Outcome]:
        told_at = started
        for outcome in outcomes:
            tally.add(outcome)
            if in_lines and time.monotonic() - told_at > EVERY_S:
                told_at = time.monotonic()
                print(
                    f"{tally.whole.runs} of {runs} runs, {len(tally.failures)} wrong; {clock(left_s())} left", file=sys.stderr, flush=True
                )
            if not outcome.survived or outcome.left:
                yield outcome

    if not sys.stderr.isatty():
        yield from count(in_lines=True)
        return
    console = Console(stderr=True)

    def line() -> RenderableType:
        done = tally.whole.runs
        words = f"{len(tally.failures)} wrong, {clock(left_s())} left"
        return bar(f"{done} of {runs} runs", done / runs, words, width=console.width)

    with Live(console=console, get_renderable=line, refresh_per_second=2, transient=True):
        yield from count(in_lines=False)


def verdict(tally: Tally) -> str:
    """Return the verdict as one line."""
    whole = tally.whole
    if not tally.failures:
        return (
            f"the program survives: {whole.runs} runs with losses, all bit-identical to the undisturbed run, without a leaked "
            "process or file"
        )
    count = f"{len(tally.failures)} of {whole.runs} runs failed"
    return f"the program does not survive: {count}; each is printed above with the command that repeats it"


def table(tally: Tally) -> Table:
    """Return a table with a row for each fault and phase; times in milliseconds."""
    found = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, header_style="bold", caption_style="dim", caption_justify="left")
    found.caption = (
        "hit: runs in which all planned faults struck. Times in ms, p50/p95. detected: from the fault until it was detected; "
        "recovered: from then until main was entered again, or, after the loss of an orchestrator, until the next commit."
    )
    found.add_column("fault, phase", no_wrap=True)
    for name in ("runs", "hit", "survived", "detected", "recovered", "wrong", "hung", "left"):
        found.add_column(name, justify="right", no_wrap=True)
    fault = ""
    for row in sorted(tally.rows.values(), key=lambda row: (row.fault, row.phase)):
        if row.fault != fault:
            fault = row.fault
            found.add_row(Text(fault, style="bold"))
        found.add_row(f"  {row.phase}", *_cells(row))
    found.add_section()
    found.add_row("all", *_cells(tally.whole), style="bold")
    return found


def _cells(row: Row) -> list[RenderableType]:
    """Return the cells of a row after its name."""
    figures = row.to_json()
    times = ["{}/{}".format(*(_milliseconds(figures[f"{name}_p{share}_s"]) for share in (50, 95))) for name in ("detect", "recover")]
    bad = [Text(str(count), style="bold red" if count else "green") for count in (row.wrong, row.hung, row.left)]
    hit = Text(str(row.struck), style="yellow" if row.struck < row.runs else "")
    survived = Text(str(row.survived), style="" if row.survived == row.runs else "bold red")
    return [str(row.runs), hit, survived, *times, *bad]


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"
