"""The census: state of ordinary objects, and every one of them comes back."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure.testing import rehearse

CENSUS = str(pathlib.Path(__file__).parents[2] / "examples" / "census" / "census.py")
SMALL = {"years": 40}


def test_towns_live_and_nobody_is_lost_between_them() -> None:
    result = perdure.run(CENSUS, spares=0, parity=0).result
    events = result["events"]
    assert result["people"] == 4 * 48 + events["born"] - events["died"]
    assert all(events[what] > 50 for what in ("born", "died", "married", "moved", "healed")), events


@pytest.mark.parametrize("memory", ["overlap", "tight"])
def test_two_losses_change_no_part(memory: str) -> None:
    undisturbed = perdure.run(CENSUS, spares=0, arguments=SMALL)
    faults = ["kill:node=1,superstep=14", "crash:rank=3,superstep=23"]
    report = perdure.run(CENSUS, commit_every=3, faults=faults, memory=memory, check_restore="always", arguments=SMALL)
    assert report.losses == 2
    assert (report.result, report.digests) == (undisturbed.result, undisturbed.digests)


def test_a_rehearsal_says_that_it_recovers() -> None:
    result = rehearse(CENSUS, rehearsals=2, arguments=SMALL)
    assert result.recovers, result.difference or result.error
