"""The comparison of the demo's two runs, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.cli.demo.stage import DemoStage
from perdure.launch import Report
from perdure.launch.rehearsal import first_difference, in_text


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoVerdict:
    """`what` was compared, and the first thing that was not the same; empty when all was."""

    what: str
    why_not: str

    @property
    def identical(self) -> bool:
        """Every declared item at every common commit and at the end, and the result."""
        return not self.why_not


def judge(first: DemoStage, second: DemoStage, disturbed: Report, undisturbed: Report) -> DemoVerdict:
    """Compares the runs by the digests of all items on all ranks at every common commit, and by what `main` returned."""
    common = sorted(first.digests.keys() & second.digests.keys())
    items = sorted(set().union(*(first.digests[superstep] for superstep in common)))
    what = f"{', '.join(items)} of every rank at {len(common)} commits; the result"
    return DemoVerdict(what=what, why_not=_why_not(first, second, disturbed, undisturbed, common))


def _why_not(first: DemoStage, second: DemoStage, disturbed: Report, undisturbed: Report, common: list[int]) -> str:
    end = first.watch.count
    if disturbed.supersteps != end or undisturbed.supersteps != end or end not in common:
        return f"the runs ended at supersteps {disturbed.supersteps} and {undisturbed.supersteps}; both should end at {end}"
    difference = first_difference(second.digests, first.digests, f"{disturbed.losses} losses")
    if difference is not None:
        return str(difference)
    if not disturbed.digests or disturbed.digests != undisturbed.digests:
        return "the items differ at the end"
    if in_text(disturbed.result) != in_text(undisturbed.result):
        return "all items are equal, but the results of main differ"
    return "" if disturbed.losses else "no node was killed, so the demo shows nothing: use a smaller --every or a larger --hours"
