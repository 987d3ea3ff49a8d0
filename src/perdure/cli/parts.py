"""Parts of the live views: a progress bar, a table of nodes, a table of the time by cause."""

from __future__ import annotations

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from perdure.cli.watch import NodeView, NodeViewState, Watch, WorkerView
from perdure.core.imbalance import Imbalance

SHOWN_REBUILT_S = 2.0
"""Seconds that a finished rebuild stays visible; the rebuild itself takes a tenth of a second."""
AT_RISK = "one more loss\nhere ends the job"
"""The note of a node with more ranks of a parity group than parity rebuilds."""
WARM = "#ffb070"
"""The colour of a wave crest, and of progress."""
_STATES = {
    NodeViewState.STARTING: ("◌", "cyan", "starting"),
    NodeViewState.SPARE: ("○", "cyan", "spare"),
    NodeViewState.RUNNING: ("●", "green", ""),
    NodeViewState.REBUILDING: ("◐", "yellow", "rebuilding"),
    NodeViewState.LOST: ("✕", "bold red", "lost"),
}


def clock(seconds: float | None) -> str:
    """Return minutes and seconds as `1:05`, or `-:--` for None."""
    if seconds is None:
        return "-:--"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def in_bytes(count: int) -> str:
    """Return a size such as "1.5 GB", with at most three digits, in powers of a thousand."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def parity_of(found: Imbalance) -> str:
    """Return how much parity there is, and which rank causes the waste."""
    return (
        f"{in_bytes(found.parity_bytes)}, of which {in_bytes(found.waste_bytes)} only because rank {found.rank} has "
        f"{in_bytes(found.largest_bytes)} and the others of its parity group {in_bytes(found.others_bytes)} on average"
    )


def bar(label: str, share: float | None, right: str, *, width: int) -> RenderableType:
    """Return a line of `width` characters: a label, a progress bar (which pulses if `share` is None), and a text on the right."""
    line = Table.grid(padding=(0, 1))
    percent = "" if share is None else f"{share:4.0%}"
    taken = len(label) + len(percent) + len(right) + 3
    meter = ProgressBar(
        total=None if share is None else 1.0, completed=share or 0.0, width=max(4, width - taken), pulse=share is None,
        complete_style=WARM, finished_style="green",
    )  # fmt: skip
    line.add_row(Text(label), meter, Text(percent), Text(right, style="dim"))
    return line


def progress_words(watch: Watch) -> str:
    """Return the job's superstep, commit and generation as text."""
    of = f" of {watch.count}" if watch.count else ""
    return f"superstep {watch.superstep}{of}, committed {watch.committed}, generation {watch.generation}"


def nodes_table(watch: Watch, parity: int) -> Table:
    """Return a table with a row for each node: its state, its ranks, and the process id of its first rank. `parity`: of the job's one
    parity group."""
    table = Table.grid(padding=(0, 1))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for number, node in sorted(watch.nodes.items()):
        sign, style, word = _STATES[node.state]
        what = Text(word, style=style)
        if node.ranks:
            noun = "rank " if len(node.ranks) == 1 else "ranks "
            what = Text(noun + ",".join(map(str, node.ranks)), style=rank_style(node.ranks[0]))
        worker = watch.workers.get(node.ranks[0]) if node.ranks else None
        note = Text(AT_RISK, style="bold red") if is_at_risk(node, parity) else _note(watch, node.state, worker)
        table.add_row(Text(str(number), style="dim"), Text(sign, style=style), what, note)
    return table


def is_at_risk(node: NodeView, parity: int) -> bool:
    """Return whether the loss of this node alone would end a job of one parity group: it has more ranks than parity rebuilds."""
    return len(node.ranks) > parity


def _note(watch: Watch, state: NodeViewState, worker: WorkerView | None) -> Text:
    if state is NodeViewState.REBUILDING:
        return Text("rebuilding", style="bold yellow")
    if worker is None:
        return Text("")
    if is_fresh(watch, worker):
        return Text(f"rebuilt in {worker.rebuilt_ms:.0f} ms", style="bold yellow")
    return Text(f"pid {worker.pid}", style="dim")


def is_fresh(watch: Watch, worker: WorkerView | None) -> bool:
    """Return whether the memory of this worker was rebuilt a moment ago."""
    return worker is not None and worker.rebuilt_ms > 0 and watch.t - worker.rebuilt_at < SHOWN_REBUILT_S


def rank_style(rank: int) -> str:
    """Return the colour of a rank, the same in all views."""
    return ("#7fd1ff", "#ffd27f", "#b9f27c", "#d9a6ff", "#ff9e9e", "#8ef0d6", "#f2f27c", "#c0c8d8")[rank % 8]


def causes_table(watch: Watch) -> Table:
    """Return a table of the wall time by cause, in seconds and as a share."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    seconds = watch.seconds
    whole = sum(seconds.values())
    for cause, value in seconds.items():
        table.add_row(cause, f"{value:.2f} s", f"{value / whole:.1%}" if whole else "")
    return table
