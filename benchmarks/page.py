"""The results of the suite as one HTML page: a plot for each benchmark, drawn as SVG by these lines, and nothing from anywhere else."""

from __future__ import annotations

import html
import math
from typing import Any, Final

from rows import BENCHMARKS, Row

WIDTH, NAMES, ROW, BAR, TOP = 960, 460, 30, 14, 26
"""Pixels: of a plot, of its column of names, of a row, of a bar, and of the axis above."""
VALUES: Final = 120
"""Pixels to the right of the longest bar, for numbers."""
STYLE: Final = """
:root { color-scheme: light dark; --ink: #23272e; --paper: #fff; --faint: #e2e5ea; --met: #2c6eb4; --missed: #d64541; --plain: #8a93a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe3e9; --paper: #16191d; --faint: #343a42; --met: #6aa9ea; --missed: #ee7b76; --plain: #7f8894; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
body { max-width: 980px; margin: 2em auto; padding: 0 1em; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.grid { stroke: var(--faint); } .must { stroke: var(--ink); stroke-width: 2; } .aim { stroke: var(--ink); stroke-dasharray: 2 3; }
.met { fill: var(--met); } .missed { fill: var(--missed); } .plain { fill: var(--plain); } .quiet { opacity: 0.7; }
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
        f"<h1>perdure: benchmarks</h1>{quick}<p>{machine}</p><p>Every bar is a ratio of medians in one run, on this machine. A line across "
        "a bar is what it must reach, a dotted one the aim; a blue bar reaches what it must, a red one does not, a grey one need not.</p>"
    )


def _section(name: str, title: str, rows: list[Row], failed: str) -> str:
    text = f"<h2>{html.escape(name)}</h2><p>{html.escape(title)}</p>"
    if failed:
        return text + f'<p class="warning">It did not run to its end: {html.escape(failed)}</p>'
    if not rows:
        return text + "<p>There is no ratio: none of its peers is installed (see below). Its times are in results.json.</p>"
    return text + "".join(_plot([row for row in rows if row.more_is_better is better]) for better in (True, False))


def _plot(rows: list[Row]) -> str:
    """Bars from zero, linear; nothing for no rows."""
    if not rows:
        return ""
    step, top = scale(max(value for row in rows for value in (row.ratio, row.must or 0.0, row.aim or 0.0)))
    height = TOP + ROW * len(rows) + 6
    pixels = WIDTH - NAMES - VALUES

    def across(value: float) -> float:
        return NAMES + pixels * value / top

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{"more" if rows[0].more_is_better else "less"} is better">']
    parts.append(f'<text class="quiet" x="0" y="14">{"more" if rows[0].more_is_better else "less"} is better</text>')
    for number in range(round(top / step) + 1):
        x = across(number * step)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="14" text-anchor="middle">{number * step:g}</text>')
    for index, row in enumerate(rows):
        parts += _bar(row, TOP + ROW * index, across)
    return "".join([*parts, "</svg>"])


def _bar(row: Row, y: float, across: Any) -> list[str]:
    kind = {None: "plain", True: "met", False: "missed"}[row.met]
    middle, left = y + ROW / 2, y + (ROW - BAR) / 2
    wanted = "" if row.must is None else f" ({'≥' if row.more_is_better else '≤'} {row.must:g})"
    parts = [
        f'<text x="{NAMES - 10}" y="{middle + 4.5:.1f}" text-anchor="end">{html.escape(row.name)}</text>',
        f'<rect class="{kind}" x="{NAMES}" y="{left:.1f}" width="{across(row.ratio) - NAMES:.1f}" height="{BAR}"/>',
    ]
    for value, name in ((row.must, "must"), (row.aim, "aim")):
        if value is not None:
            parts.append(
                f'<line class="{name}" x1="{across(value):.1f}" x2="{across(value):.1f}" y1="{y + 3:.1f}" y2="{y + ROW - 3:.1f}"/>'
            )
    right = max(across(value) for value in (row.ratio, row.must or 0.0, row.aim or 0.0)) + 8
    return [*parts, f'<text x="{right:.1f}" y="{middle + 4.5:.1f}">{row.ratio:.3g}{wanted}</text>']


def scale(largest: float) -> tuple[float, float]:
    """(step, top) of an axis from zero with two to five steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(largest, 1e-9)))
    step = next(factor * power for factor in (0.2, 0.5, 1.0, 2.0, 5.0) if largest <= 5 * factor * power)
    return step, step * math.ceil(largest / step - 1e-9)
