"""Which labels are held where, as the answers to a seal tell it (rules D2, D3, R2).

Of a large job most ranks answer as one: all of them have prepared the same labels, and hold them whole. The others are known one by one. Of
the values of replicated items it is known whether they differ, and those of a few witnesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain

from perdure.core.ids import Label
from perdure.core.messages import Custodian, LabelReport, RankReport, UsualLabel
from perdure.core.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Of the ranks of one plan.

    Attributes:
        reports: rank -> what it has answered by itself.
        missing: the ranks that are not counted, ascending.
        usual: the labels that all other ranks hold whole; None: there are no others.
        kept: what custodians hold of ranks that live elsewhere now (rule R2).
    """

    reports: dict[int, RankReport]
    missing: tuple[int, ...]
    usual: dict[Label, UsualLabel] | None
    kept: tuple[tuple[Custodian, RankReport], ...] = ()

    @property
    def are_none(self) -> bool:
        """Has no rank answered?"""
        return not self.reports and self.usual is None

    def common(self, more: Iterable[RankReport] = ()) -> frozenset[Label]:
        """D3: the labels that every counted rank has prepared, and these `more`."""
        reports = (*self.reports.values(), *more)
        found = [frozenset(label.label for label in report.labels if label.prepared) for report in reports]
        if self.usual is not None:
            found.append(frozenset(self.usual))
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

    def whole_report(self, plan: Plan, rank: int, label: Label) -> RankReport:
        """What the home of a counted rank holds, which is all of the label, or what it has reported."""
        known = self.reports.get(rank)
        if known is not None:
            return known
        data, parity = plan.geometry(plan.group_index(rank)).full_masks
        whole = LabelReport(label=label, prepared=True, data=data, parity=parity)
        return RankReport(rank=rank, incarnation=plan.placements[rank].incarnation, worker_lives=True, labels=(whole,))

    def has_offers(self, rank: int, label: Label) -> bool:
        """Those of its group; they are there with the first chunk."""
        if rank not in self.reports:
            return rank not in self.missing
        return self.report(rank, label) is not None

    # ---- custodians -------------------------------------------------------------------------------------------------------

    def kept_of(self, ranks: Collection[int], label: Label) -> list[tuple[Custodian, int, LabelReport]]:
        """What custodians hold of a label of these ranks: who, of which rank, what."""
        return [
            (custodian, report.rank, held)
            for custodian, report in self.kept
            if report.rank in ranks
            for held in report.labels
            if held.label == label
        ]

    def kept_by_homes(self, plan: Plan) -> list[RankReport]:
        """Of ranks whose home was excluded after their generation had begun: such a custodian says all that the rank has prepared."""
        return [report for custodian, report in self.kept if plan.agent_of(report.rank) == custodian.agent]

    # ---- replicated items -------------------------------------------------------------------------------------------------

    def agree_on(self, label: Label) -> bool:
        """C6: are the values of replicated items the same on all that hold the label?"""
        values = {held.common for rank in self.reports if (held := self.report(rank, label))}
        usual = self.usual.get(label) if self.usual else None
        if usual:
            values.update(common for _, common in usual.witnesses)
        return len(values) == 1 and not (usual and usual.differs)

    def has_replicated(self, label: Label) -> bool:
        """Is there a rank on which they are right, or a custodian of one?"""
        return bool(self.usual and label in self.usual) or any(
            held.label == label and held.replicated
            for report in (*self.reports.values(), *(report for _, report in self.kept))
            for held in report.labels
        )

    def without_replicated(self, label: Label) -> list[int]:
        """Ranks that have them not, or wrong, ascending."""
        lacking = [rank for rank in self.reports if not ((held := self.report(rank, label)) and held.replicated)]
        return sorted([*lacking, *self.missing])

    def with_replicated(self, plan: Plan, label: Label, wanted: int) -> list[int]:
        """Ranks on which they are right and, where ranks differ, the same as on the most others, as far as that is known; ascending. Of
        those that are not known one by one so many as are `wanted`, spread over the job."""
        own = {rank: held.common for rank in self.reports if (held := self.report(rank, label)) and held.replicated}
        usual = self.usual.get(label) if self.usual else None
        away = self.reports.keys() | set(self.missing)
        others = plan.size - len(away) if usual else 0
        seen = {rank: common for rank, common in usual.witnesses if rank not in away} if usual and usual.differs else {}
        alike = None
        if usual and others and not seen:  # if its witnesses are all lost, any of the others is as good
            alike = 0 if usual.differs else usual.witnesses[0][1]
        counts: Counter[int] = Counter()
        for values, weight in ((own, len(seen) or 1), (seen, others)):  # each of those seen stands for several
            for value in values.values():
                counts[value] += weight
        if alike is not None:
            counts[alike] += others
        best = max(counts, key=lambda value: (counts[value], value), default=0)
        found = [rank for rank, value in (own | seen).items() if value == best]
        return sorted([*found, *(_spread(plan.size, away, wanted) if alike == best else ())])


def _spread(size: int, without: Collection[int], wanted: int) -> set[int]:
    """So many ranks at about the same distance, or fewer; at least one is not among those `without`."""
    starts = (number * size // wanted for number in range(wanted))
    return {next(rank for rank in chain(range(start, size), range(start)) if rank not in without) for start in starts}


def known_one_by_one(plan: Plan, reports: Iterable[RankReport], kept: tuple[tuple[Custodian, RankReport], ...] = ()) -> Holdings:
    """Of a job whose agents have answered each for itself."""
    found = {report.rank: report for report in reports}
    return Holdings(reports=found, missing=tuple(rank for rank in range(plan.size) if rank not in found), usual=None, kept=kept)
