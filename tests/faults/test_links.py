"""A connection between two ranks ends, and nobody is lost (rule T8): all connect anew and go on, from memory and in their processes."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

import perdure
from perdure.core.settings import Settings

PROGRAM = str(pathlib.Path(__file__).parent.parent / "programs" / "hangup.py")
QUICK = Settings(silence_s=1.0, suspect_s=0.4)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_the_ranks_connect_anew_and_the_result_is_the_same(transport: str) -> None:
    events: list[dict[str, Any]] = []
    undisturbed = perdure.run(PROGRAM, ranks=3, spares=0, transport=transport, arguments={"generations": 0})
    report = perdure.run(PROGRAM, ranks=3, spares=0, transport=transport, settings=QUICK, on_event=events.append)
    assert (report.result, report.digests) == (undisturbed.result, undisturbed.digests)
    assert (report.generations, report.losses, report.links_lost) == (2, 0, [{"ranks": [1, 2], "times": 1}])
    assert [{event["rank"], event["other"]} for event in events if event["event"] == "link_lost"] == [{1, 2}]


def test_a_connection_that_ends_again_and_again_ends_the_job() -> None:
    with pytest.raises(perdure.EngineFailed, match=r"the link between ranks (1|2) and (1|2) failed"):
        perdure.run(PROGRAM, ranks=3, spares=0, transport="tcp", settings=QUICK, arguments={"generations": 9})
