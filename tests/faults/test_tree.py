"""Agents that pass on the orchestrator's words (rule D8), as real processes: the bits are those of an undisturbed run.

Jobs as small as these are spoken to one by one unless the settings say otherwise.
"""

from __future__ import annotations

import pytest

from perdure import Settings
from tests.faults.conftest import Survive

BY_TREE = Settings(direct_agents_max=1, fan_out=1)
"""A chain: every node but the last is on the way to another one."""


@pytest.mark.parametrize(
    "faults",
    [
        ("kill:node=1,superstep=20",),
        ("crash:rank=1,superstep=20",),
        pytest.param(("stop:node=1,superstep=12",), marks=pytest.mark.long),
        ("kill:node=3,superstep=9", "kill:node=1,phase=rebuilding"),
        ("kill:node=2,superstep=9", "orchestrator:superstep=14"),
    ],
    ids=" then ".join,
)
def test_a_chain_of_agents_survives(survive: Survive, faults: tuple[str, ...]) -> None:
    story = survive(*faults, settings=BY_TREE, parity=2, spares=2)
    assert story.report.generations > 1
