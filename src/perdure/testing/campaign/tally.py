"""What do the outcomes of a campaign add up to? A row for each fault and phase, and the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from perdure.testing.campaign.runner import Outcome


@dataclass(slots=True, kw_only=True)
class Row:
    """Counts, and times in seconds of all faults of the row that struck."""

    fault: str
    phase: str
    runs: int = 0
    struck: int = 0
    survived: int = 0
    wrong: int = 0
    hung: int = 0
    refused: int = 0
    left: int = 0
    detect_s: list[float] = field(default_factory=list)
    recover_s: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One run more. It struck if all that it is about happened."""
        self.runs += 1
        self.struck += outcome.struck == len(outcome.case.faults) + len(outcome.case.strikes)
        self.survived += outcome.survived
        self.wrong += bool(outcome.wrong)
        self.hung += bool(outcome.hung)
        self.refused += bool(outcome.refused)
        self.left += bool(outcome.left)
        self.detect_s += [timing.detect_s for timing in outcome.timings if timing.detect_s is not None]
        self.recover_s += [timing.recover_s for timing in outcome.timings if timing.recover_s is not None]

    def to_json(self) -> dict[str, Any]:
        """Percentiles in place of the times; None where nothing was measured."""
        counts = {
            name: getattr(self, name) for name in ("fault", "phase", "runs", "struck", "survived", "wrong", "hung", "refused", "left")
        }
        times = {
            f"{name}_p{share}_s": percentile(getattr(self, f"{name}_s"), share) for name in ("detect", "recover") for share in (50, 95)
        }
        return counts | times


@dataclass(slots=True)
class Tally:
    """All rows, in the order in which they first came."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One run more."""
        key = (outcome.case.fault, outcome.case.phase)
        self.rows.setdefault(key, Row(fault=key[0], phase=key[1])).add(outcome)
        if not outcome.survived or outcome.left:
            self.failures.append(outcome)

    @property
    def whole(self) -> Row:
        """All rows together."""
        whole = Row(fault="all", phase="")
        for row in self.rows.values():
            for name in ("runs", "struck", "survived", "wrong", "hung", "refused", "left"):
                setattr(whole, name, getattr(whole, name) + getattr(row, name))
            whole.detect_s += row.detect_s
            whole.recover_s += row.recover_s
        return whole

    def to_json(self) -> dict[str, Any]:
        """Rows, the whole, and the commands that replay what failed."""
        return {
            "rows": [row.to_json() for row in self.rows.values()],
            "all": self.whole.to_json(),
            "failures": [{"seed": one.case.seed, "command": one.command} for one in self.failures],
        }


def percentile(values: Sequence[float], share: int) -> float | None:
    """The smallest value that is not less than `share` % of them (nearest rank); None of nothing."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)], 6)
