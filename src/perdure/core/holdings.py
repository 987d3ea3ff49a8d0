"""Which labels are held where, as the answers to a seal tell it (rules D2, D3, R2).

Of a large job most ranks answer as one: all of them have prepared the same labels, and hold them whole. The others are known one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perdure.core.ids import Label
from perdure.core.messages import LabelReport, RankReport
from perdure.core.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Of the ranks of one plan.

    Attributes:
        reports: rank -> what it has answered by itself.
        missing: the ranks that are not counted, ascending.
        usual: the labels that all other ranks have prepared; None: there are no others.
    """

    reports: dict[int, RankReport]
    missing: tuple[int, ...]
    usual: frozenset[Label] | None

    @property
    def are_none(self) -> bool:
        """Has no rank answered?"""
        return not self.reports and self.usual is None

    def common(self) -> frozenset[Label]:
        """D3: the labels that every counted rank has prepared."""
        found = [frozenset(label.label for label in report.labels if label.prepared) for report in self.reports.values()]
        if self.usual is not None:
            found.append(self.usual)
        return frozenset.intersection(*found) if found else frozenset()

    def report(self, rank: int, label: Label) -> LabelReport | None:
        """What one of the ranks in `reports` holds of a label."""
        report = self.reports.get(rank)
        return next((held for held in report.labels if held.label == label), None) if report else None

    def not_whole(self, plan: Plan, label: Label) -> list[int]:
        """Ranks of which some chunk of the label is not there, ascending. Whoever is not known one by one has all of them."""
        lacking = [rank for rank in self.reports if not self.has_whole(plan, rank, label)]
        return sorted([*lacking, *self.missing])

    def has_whole(self, plan: Plan, rank: int, label: Label) -> bool:
        """Is every chunk there?"""
        if rank not in self.reports:
            return rank not in self.missing
        held = self.report(rank, label)
        return held is not None and (held.data, held.parity) == plan.geometry(plan.group_index(rank)).full_masks

    def has_prepared(self, rank: int, label: Label) -> bool:
        """Everything, the replicated items and the offers included."""
        if rank not in self.reports:
            return rank not in self.missing
        held = self.report(rank, label)
        return held is not None and held.prepared


def known_one_by_one(plan: Plan, reports: Iterable[RankReport]) -> Holdings:
    """Of a job whose agents have answered each for itself."""
    found = {report.rank: report for report in reports}
    return Holdings(reports=found, missing=tuple(rank for rank in range(plan.size) if rank not in found), usual=None)
