"""The register of a job that has a supervising process: one plan a generation, the first that is proposed (rule D0)."""

from __future__ import annotations

from typing import Any

from perdure.core.plan import Plan
from perdure.runtime.orchestrator import plan_from_json


class Register:
    """Holds the newest plan; `text` is that plan as orchestrators write it, None before the first."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self.text: Any = None

    def propose(self, text: Any) -> Any:
        """The plan that is there: this one, if it is the first of the next generation."""
        proposed = plan_from_json(text)
        assert proposed is not None
        if self._plan is None or proposed.generation == self._plan.generation + 1:
            self._plan, self.text = proposed, text
        return self.text

    def can_spare(self, agent: int) -> bool:
        """Does it hold ranks, and would the others have what they need without it?"""
        plan = self._plan
        if plan is None or agent not in plan.agents() or len(plan.agents()) < 2:
            return False
        return all(sum(plan.agent_of(rank) == agent for rank in group) <= plan.parity for group in plan.groups)
