"""The results of the suite as one HTML page: a plot for each benchmark, which matplotlib draws as SVG, and nothing from anywhere else."""

from __future__ import annotations

import html
import importlib.util
import io
from typing import Any, Final

from rows import BENCHMARKS, Row

WIDTH_IN, NAMES_IN, VALUES_IN, HEAD_IN, ROW_IN = 11.0, 4.9, 1.5, 0.36, 0.31
"""Of a plot, of its column of names, of the room for numbers beside the longest bar, of the axis above, and of a row."""
COLOURS: Final = {"ink": "#23272e", "faint": "#e2e5ea", "met": "#0072b2", "missed": "#d55e00", "plain": "#8a93a0"}
"""Of the light page, where colour-blind readers can tell them apart (Okabe and Ito). The page replaces each by its variable in STYLE."""
STYLE: Final = """
:root { color-scheme: light dark; --ink: #23272e; --paper: #fff; --faint: #e2e5ea; --met: #0072b2; --missed: #d55e00; --plain: #8a93a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe3e9; --paper: #16191d; --faint: #343a42; --met: #56b4e9; --missed: #e69f00; --plain: #7f8894; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
body { max-width: 980px; margin: 2em auto; padding: 0 1em; }
svg { width: 100%; height: auto; }
.warning { border-left: 4px solid var(--missed); padding-left: 0.8em; }
"""


def page(results: dict[str, Any]) -> str:
    """All of it. `results`: as in results.json."""
    rows = [Row(**row) for row in results["rows"]]
    titles = {one.name: one.title for one in BENCHMARKS}
    names = list(dict.fromkeys([*titles, *(row.benchmark for row in rows), *results["failed"]]))
    parts = [_head(results)]
    for name in names:
        own = [row for row in rows if row.benchmark == name]
        if own or name in results["raw"] or name in results["failed"]:
            parts.append(_section(name, titles.get(name, "as its command says"), own, results["failed"].get(name, "")))
    if results["missing"]:
        items = "".join(f"<li>{html.escape(name)}: {html.escape(how)}</li>" for name, how in results["missing"].items())
        parts.append(f"<h2>Not measured</h2><ul>{items}</ul>")
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>perdure: benchmarks</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">{head}\n{body}\n</html>\n'


def _head(results: dict[str, Any]) -> str:
    where = results["machine"]
    quick = (
        '<p class="warning">A quick run: small sizes, to see that everything works. Its numbers say nothing.</p>'
        if results["quick"]
        else ""
    )
    machine = html.escape(
        f"{where['processor']}, {where['cores']} cores (others used {where['busy_cores']:g} of them before), Linux {where['kernel']}, "
        f"Python {where['python']}, NumPy {where['numpy']}, codec {where['codec']}; {results['finished']}"
    )
    return (
        f"<h1>perdure: benchmarks</h1>{quick}<p>{machine}</p><p>Every bar is a ratio of medians in one run, on this machine. A line "
        "across a bar is what it must reach, a dotted one the aim; a blue bar reaches what it must, an orange one does not, "
        "a grey one need not.</p>"
    )


def _section(name: str, title: str, rows: list[Row], failed: str) -> str:
    text = f"<h2>{html.escape(name)}</h2><p>{html.escape(title)}</p>"
    if failed:
        return text + f'<p class="warning">It did not run to its end: {html.escape(failed)}</p>'
    if not rows:
        return text + "<p>There is no ratio: none of its peers is installed (see below). Its times are in results.json.</p>"
    return text + "".join(_plot([row for row in rows if row.more_is_better is better]) for better in (True, False))


def _plot(rows: list[Row]) -> str:
    """Bars from zero, linear, as SVG; nothing for no rows."""
    if not rows:
        return ""
    if importlib.util.find_spec("matplotlib") is None:
        return "<p class=\"warning\">The bars need matplotlib, which is not installed: pip install 'perdure[plots]'</p>"
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": rows[0].benchmark}):
        figure = Figure(figsize=(WIDTH_IN, HEAD_IN + ROW_IN * len(rows)))
        above = HEAD_IN / figure.get_figheight()
        axes = figure.add_axes((NAMES_IN / WIDTH_IN, 0, 1 - (NAMES_IN + VALUES_IN) / WIDTH_IN, 1 - above))
        _draw(axes, rows)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _draw(axes: Any, rows: list[Row]) -> None:
    from matplotlib.ticker import MaxNLocator

    better = "more" if rows[0].more_is_better else "less"
    bars = axes.barh(range(len(rows)), [row.ratio for row in rows], height=0.5)
    for place, (bar, row) in enumerate(zip(bars, rows, strict=True)):
        kind = {None: "plain", True: "met", False: "missed"}[row.met]
        bar.set(color=COLOURS[kind], gid=f"{kind}-{place}")
        for value, style in ((row.must, "solid"), (row.aim, (0, (1, 1.5)))):
            if value is not None:
                axes.plot([value, value], [place - 0.4, place + 0.4], color=COLOURS["ink"], linewidth=1.6, linestyle=style)
        wanted = "" if row.must is None else f" ({'≥' if row.more_is_better else '≤'} {row.must:g})"
        right = max(value for value in (row.ratio, row.must or 0.0, row.aim or 0.0))
        axes.annotate(f"{row.ratio:.3g}{wanted}", (right, place), (7, 0), textcoords="offset points", va="center", color=COLOURS["ink"])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, max(axes.get_xlim()[1], 1e-9)))
    axes.set_yticks(range(len(rows)), labels=[row.name for row in rows])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.tick_top()
    axes.grid(axis="x", color=COLOURS["faint"])
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=COLOURS["ink"])
    axes.spines[:].set_visible(False)
    at_left = {"xycoords": "axes fraction", "xytext": (8 - NAMES_IN * 72, 6), "textcoords": "offset points"}
    axes.annotate(f"{better} is better", (0, 1), color=COLOURS["ink"], **at_left)
