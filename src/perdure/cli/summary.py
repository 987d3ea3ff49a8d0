"""The report that `perdure run` prints when a job is over."""

from __future__ import annotations

import textwrap

from perdure.cli.parts import parity_of
from perdure.core.imbalance import Imbalance
from perdure.launch import Report
from perdure.launch.plain import text_of


def in_words(report: Report) -> str:
    """Return the report as text."""
    seconds = ", ".join(f"{cause} {value:.2f}" for cause, value in report.seconds.items() if value >= 0.005)
    degraded = f" (degraded: {report.why_degraded or 'nodes are missing'})" if report.degraded else ""
    lines = [
        f"result       {text_of(report.result)}",
        f"supersteps   {report.supersteps}",
        f"generations  {report.generations}, after {report.losses} losses{degraded}",
        f"seconds      {seconds}",
    ]
    if report.links_lost:
        failed = ", ".join(f"{ranks} ({times} times)" if times > 1 else ranks for ranks, times in _links(report))
        lines.append(f"links lost   between ranks {failed}, although both were alive")
    if report.interval:
        lines += textwrap.wrap(report.interval, 140, initial_indent="commits      ", subsequent_indent=" " * 13)
    if report.uneven:
        lines.append(f"parity       {parity_of(Imbalance(**report.uneven))}")
    lines += [f"warning      {warning}" for warning in [report.risk, *report.warnings] if warning]
    if report.engine == "threads":
        lines.append("engine       threads: no state was protected, and a loss would have ended the job")
    return "\n".join(lines)


def _links(report: Report) -> list[tuple[str, int]]:
    """Return each pair of ranks that lost its connection, as "1 and 2", and the number of failures."""
    return [(" and ".join(map(str, link["ranks"])), link["times"]) for link in report.links_lost]
