"""Draw the figures of the documents: python docs/draw_figures.py writes docs/figures/*.svg

matplotlib draws them. Lengths are in points of a figure whose origin is at the lower left. The same release of matplotlib writes the
same bytes.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from perdure.core.layout import Geometry

FOLDER: Final = pathlib.Path(__file__).parent / "figures"
INK, QUIET, FAINT = "#23272e", "#5d6673", "#d5d9df"
RANKS: Final = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")
"""A colour for each rank; with INK for losses, colour-blind readers can tell them apart (Okabe and Ito)."""
PALE: Final = ("#d9eefa", "#fbe9c6", "#cbebe1", "#f4e0ec")
"""The same for surfaces with text."""
LOST, FRESH = "#b03a00", "#0072b2"
STYLE: Final = {"font.size": 11, "svg.fonttype": "path", "svg.hashsalt": "perdure", "text.color": INK}


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure with a white background, so that it can be read on a dark page."""
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(
    axes: Axes, left: float, bottom: float, width: float, height: float, text: str = "", *, face: str = "white", edge: str = QUIET,
    line: float = 1.0, style: str = "-", size: float = 10.5, ink: str = INK, layer: float = 1.0,
) -> None:  # fmt: skip
    """Draw a rectangle with text in its middle."""
    axes.add_patch(Rectangle((left, bottom), width, height, facecolor=face, edgecolor=edge, linewidth=line, linestyle=style, zorder=layer))
    axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=size, color=ink, linespacing=1.3)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, *, bend: float = 0.0) -> None:
    """Draw an arrow."""
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**look, "mutation_scale": 11})


def loss_and_rebuild() -> Figure:
    """Four steps: the job runs, a node is lost, its memory is rebuilt, the job goes on."""
    figure, axes = canvas(620, 424)
    steps: tuple[tuple[str, str, Callable[[Axes, float, float], None]], ...] = (
        ("1  Commit", "Each node keeps a snapshot of its rank (data),\nand parity of the snapshots of the others.", _committed),
        ("2  Loss", "A node is lost, with all of its memory.\nThe other processes keep running.", _lost),
        ("3  Rebuild", "A spare decodes the snapshot and the parity\nof the lost node from the other nodes' memory.", _rebuilt),
        ("4  Continue", "All ranks go on from the last commit, and\nthe result is the same to the last bit.", _going_on),
    )
    for number, (title, text, draw) in enumerate(steps):
        left, bottom = 10 + number % 2 * 306, 216 - number // 2 * 210
        box(axes, left, bottom, 294, 200, edge=FAINT)
        axes.text(left + 12, bottom + 181, title, fontsize=14, fontweight="bold", va="center")
        axes.text(left + 12, bottom + 151, text, fontsize=11, va="center", color=INK, linespacing=1.35)
        draw(axes, left + 9, bottom + 22)
    return figure


NODE_W, NODE_STEP, NODE_H = 50.0, 56.5, 104.0


def _node(axes: Axes, left: float, bottom: float, place: int, rank: int | None, *, name: str = "", edge: str = QUIET) -> None:
    """Draw a node: its rank, its snapshot and its parity, from top to bottom. No rank: a spare."""
    x = left + place * NODE_STEP
    box(axes, x, bottom, NODE_W, NODE_H, edge=edge, line=2.2 if edge != QUIET else 1.0, style="-" if rank is not None else "--")
    axes.text(x + NODE_W / 2, bottom + NODE_H - 12, name or f"node {place}", ha="center", va="center", fontsize=9.5, color=QUIET)
    if rank is None:
        return
    box(axes, x + 4, bottom + 59, NODE_W - 8, 23, f"rank {rank}", face=RANKS[rank], edge=INK, size=9.5)
    box(axes, x + 4, bottom + 31.5, NODE_W - 8, 23, "data", face=PALE[rank], edge=RANKS[rank], size=9.5)
    box(axes, x + 4, bottom + 4, NODE_W - 8, 23, "parity", face="#eceef1", edge=QUIET, size=9.5)


def _nodes(axes: Axes, left: float, bottom: float, absent: int | None = None) -> None:
    for rank in range(4):
        if rank != absent:
            _node(axes, left, bottom, rank, rank)


def _committed(axes: Axes, left: float, bottom: float) -> None:
    _nodes(axes, left, bottom)
    _node(axes, left, bottom, 4, None, name="spare")


def _lost_node(axes: Axes, left: float, bottom: float) -> None:
    x = left + 2 * NODE_STEP
    box(axes, x, bottom, NODE_W, NODE_H, edge=LOST, line=2.2, style=":")
    axes.plot([x + 10, x + NODE_W - 10], [bottom + 34, bottom + 64], color=LOST, linewidth=3)
    axes.plot([x + 10, x + NODE_W - 10], [bottom + 64, bottom + 34], color=LOST, linewidth=3)
    axes.text(x + NODE_W / 2, bottom + NODE_H - 12, "lost", ha="center", va="center", fontsize=10.5, color=LOST, fontweight="bold")


def _lost(axes: Axes, left: float, bottom: float) -> None:
    _nodes(axes, left, bottom, absent=2)
    _lost_node(axes, left, bottom)
    _node(axes, left, bottom, 4, None, name="spare")


def _rebuilt(axes: Axes, left: float, bottom: float) -> None:
    _nodes(axes, left, bottom, absent=2)
    _lost_node(axes, left, bottom)
    _node(axes, left, bottom, 4, 2, name="node 4", edge=FRESH)
    target = left + 4 * NODE_STEP + NODE_W / 2
    for place in (0, 1, 3):
        x = left + place * NODE_STEP + NODE_W / 2
        axes.plot([x, x, target], [bottom, bottom - 11, bottom - 11], color=FRESH, linewidth=1.6)
    arrow(axes, (target, bottom - 11.8), (target, bottom), FRESH)


def _going_on(axes: Axes, left: float, bottom: float) -> None:
    _nodes(axes, left, bottom, absent=2)
    x = left + 2 * NODE_STEP
    box(axes, x, bottom, NODE_W, NODE_H, "node 2\nmay come\nback as\na spare", edge=QUIET, style="--", size=8.5, ink=QUIET)
    _node(axes, left, bottom, 4, 2, name="node 4")


def parity_group() -> Figure:
    """The chunks of a group of four members with one parity chunk in each stripe, as `Geometry` has them."""
    geometry = Geometry(n=4, m=1)
    figure, axes = canvas(620, 302)
    left, top, width, height, gap = 92.0, 244.0, 92.0, 34.0, 10.0
    for member in range(geometry.n):
        x = left + member * (width + gap)
        box(axes, x - 3, 72, width + 6, top - 72 + 5, edge=FAINT)
        axes.text(x + width / 2, top + 40, f"rank {member}", ha="center", va="center", fontsize=12, fontweight="bold")
        axes.text(x + width / 2, top + 25, f"on node {member}", ha="center", va="center", fontsize=10, color=QUIET)
        for stripe in range(geometry.n):
            position = geometry.position(stripe, member)
            y = top - (stripe + 1) * (height + gap) + gap
            if position < geometry.d:
                box(axes, x, y, width, height, f"data chunk {position}", face=PALE[member], edge=RANKS[member], size=10.5)
            else:
                box(axes, x, y, width, height, "parity", face="#eceef1", edge=INK, line=1.6, size=10.5)
    for stripe in range(geometry.n):
        y = top - (stripe + 0.5) * (height + gap) + gap / 2
        axes.text(left - 14, y, f"stripe {stripe}", ha="right", va="center", fontsize=11)
    notes = (
        "A column is the memory of one member: its own state, cut into d = n - m data chunks, and m parity chunks.",
        "A row is a stripe. Its parity is computed from its d data chunks, which belong to d other members.",
        "If a member is lost, each stripe lacks one chunk, and the other n - 1 chunks of the stripe rebuild it.",
    )
    for number, text in enumerate(notes):
        axes.text(14, 54 - number * 18, text, va="center", fontsize=10.2)
    return figure


LANES: Final = {"lost node": 272.0, "spare": 226.0, "orchestrator": 172.0, "agents of\nsurvivors": 118.0, "ranks of\nsurvivors": 72.0}
PHASES: Final = (("detect", 100, 202), ("reform", 202, 452), ("rebuild", 452, 608), ("replay", 608, 708))
"""The causes of the report's table of seconds, from left to right; not to scale."""


def recovery() -> Figure:
    """The messages of a recovery, in time from left to right."""
    figure, axes = canvas(720, 330)
    for number, (name, start, end) in enumerate(PHASES):
        box(axes, start, 50, end - start, 244, face="#f1f3f6" if number % 2 else "white", line=0, layer=0.8)
        axes.text((start + end) / 2, 312, name, ha="center", va="center", fontsize=13, fontweight="bold")
    for name, y in LANES.items():
        axes.text(90, y, name, ha="right", va="center", fontsize=11, linespacing=1.1)
        axes.plot([100, 708 if name != "lost node" else 132], [y, y], color=FAINT, linewidth=1.2, zorder=0.9)
    lost, spare, _, _, ranks = LANES.values()
    for text, start, end, y, colour in (
        ("", 102, 132, lost, PALE[0]), ("compute", 102, 230, ranks, PALE[0]), ("unwind", 230, 300, ranks, PALE[1]),
        ("wait", 300, 634, ranks, "white"), ("repeat", 634, 706, ranks, PALE[0]), ("decode data", 512, 588, spare, PALE[2]),
        ("repeat", 634, 706, spare, PALE[0]),
    ):  # fmt: skip
        box(axes, start, y - 11, end - start, 22, text, face=colour, size=10)
    axes.plot([132], [lost], "x", color=LOST, markersize=13, markeredgewidth=3)
    axes.text(146, lost, "its connections end, or it is silent", ha="left", va="center", fontsize=10, color=LOST)
    for text, start, end, where, colour in _messages(*list(LANES.values())[1:]):
        arrow(axes, start, end, colour)
        axes.text(*where, text, ha="center", va="center", fontsize=9.6, color=colour)
    rules = "Rules: detection T1 to T8; seal D1; vote D3 to D5; install D6; decode R1 and R2; ready and resume R3 and R4."
    axes.text(14, 28, rules, va="center", fontsize=10.5)
    axes.text(14, 11, "Time goes from left to right, not to scale.", va="center", fontsize=10.5, color=QUIET)
    return figure


Place = tuple[float, float]


def _messages(spare: float, orchestrator: float, agents: float, ranks: float) -> Iterator[tuple[str, Place, Place, Place, str]]:
    """Yield the text, the start, the end, the place of the text and the colour of each message."""
    middle, below, above = (orchestrator + agents) / 2, (agents + ranks) / 2 + 5, (orchestrator + spare) / 2
    yield "report", (168, agents), (182, orchestrator), (150, middle), INK
    for number, text in enumerate(("seal", "sealed", "accept", "accepted", "install")):
        x, is_answer = 212 + 50 * number, number % 2 == 1
        ends = (x, agents if is_answer else orchestrator), (x + 14, orchestrator if is_answer else agents)
        yield text, *ends, (x + 30, middle), INK
    yield "revoke", (230, agents), (230, ranks + 11), (254, below), INK
    yield "install, assign", (430, orchestrator), (444, spare), (400, above), INK
    yield "chunks", (474, agents), (512, spare - 11), (508, middle), FRESH
    yield "ready", (588, spare - 11), (600, orchestrator), (572, above), INK
    yield "resume", (612, orchestrator), (626, agents), (645, middle), INK
    yield "", (612, orchestrator), (630, spare - 11), (0, 0), INK
    yield "enter", (632, agents), (632, ranks + 11), (650, below), INK


FIGURES: Final = {"loss_and_rebuild": loss_and_rebuild, "parity_group": parity_group, "recovery": recovery}


def svg(draw: Callable[[], Figure]) -> str:
    """Return a figure as SVG, without its date."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        buffer = io.StringIO()
        draw().savefig(buffer, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_text(svg(draw), encoding="utf-8")
