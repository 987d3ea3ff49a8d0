"""The register of a job that has a supervising process: one plan a generation, the first that is proposed (rule D0).

Where agents decide by votes it is told what they have chosen, so that a new orchestrator begins with a plan that is not old; to be told
late, twice, or never does no harm (rule D5).
"""

from __future__ import annotations

from typing import Any

from perdure.core.register import MemoryRegister
from perdure.runtime.orchestrator import plan_from_json


class TextRegister:
    """Holds the newest plan; `text` is that plan as orchestrators write it, None before the first."""

    def __init__(self) -> None:
        self._register = MemoryRegister()
        self.text: Any = None

    def propose(self, text: Any) -> Any:
        """The plan that is there: this one, if it is the first of its generation. Who proposes it knows that the one before was chosen,
        even where that was never told here."""
        self.note(text)
        return self.text

    def note(self, text: Any) -> None:
        """A plan that was chosen. One that is not newer says nothing."""
        plan = plan_from_json(text)
        assert plan is not None
        if self._register.create(plan) is plan:
            self.text = text

    def can_spare(self, agent: int) -> bool:
        """Does it hold ranks, and would the others have what they need without it?"""
        plan = self._register.read()
        if plan is None or agent not in plan.agents() or len(plan.agents()) < 2:
            return False
        return all(sum(plan.agent_of(rank) == agent for rank in group) <= plan.parity for group in plan.groups)
