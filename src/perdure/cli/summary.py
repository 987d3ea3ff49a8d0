"""What a person reads when a job is over."""

from __future__ import annotations

import textwrap

from perdure.cli.parts import parity_of
from perdure.core.imbalance import Imbalance
from perdure.launch import Report
from perdure.launch.plain import text_of


def in_words(report: Report) -> str:
    """The report for a person."""
    seconds = ", ".join(f"{cause} {value:.2f}" for cause, value in report.seconds.items() if value >= 0.005)
    degraded = f" (degraded: {report.why_degraded or 'nodes are missing'})" if report.degraded else ""
    lines = [
        f"result       {text_of(report.result)}",
        f"supersteps   {report.supersteps}",
        f"generations  {report.generations}, after {report.losses} losses{degraded}",
        f"seconds      {seconds}",
    ]
    if report.interval:
        lines += textwrap.wrap(report.interval, 140, initial_indent="commits      ", subsequent_indent=" " * 13)
    if report.uneven:
        lines.append(f"parity       {parity_of(Imbalance(**report.uneven))}")
    lines += [f"warning      {warning}" for warning in [report.risk, *report.warnings] if warning]
    if report.engine == "threads":
        lines.append("engine       threads: nothing was protected, and no loss would have been survived")
    return "\n".join(lines)
