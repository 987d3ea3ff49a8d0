"""Which plan was chosen? The register of a job: one plan a generation, the first that is proposed (rule D0).

Where agents decide by votes the register holds what they have chosen, so that a new orchestrator begins with a plan that is not old. Such a
note may come late, twice, or never (rule D5).
"""

from __future__ import annotations

from typing import Protocol

from perdure.core.plan import Plan


class Register(Protocol):
    """Holds the newest plan of one job. An engine's store can implement it by compare-and-set on the generation."""

    def read(self) -> Plan | None:
        """Return the newest plan; None before the first."""

    def create(self, plan: Plan) -> Plan:
        """Store the plan if its generation is newer than that of the newest plan, and return the newest plan.

        The caller knows that the generation before was chosen, even where the register does not hold it.
        """

    def note(self, plan: Plan) -> None:
        """Store a plan that was chosen by votes, if its generation is newer than that of the newest plan."""


class MemoryRegister:
    """A register in the memory of one process, which lives as long as the job."""

    def __init__(self) -> None:
        self._newest: Plan | None = None

    def read(self) -> Plan | None:
        """See `Register.read`."""
        return self._newest

    def create(self, plan: Plan) -> Plan:
        """See `Register.create`."""
        if self._newest is None or plan.generation > self._newest.generation:
            self._newest = plan
        return self._newest

    def note(self, plan: Plan) -> None:
        """See `Register.note`."""
        self.create(plan)
