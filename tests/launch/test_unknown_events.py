"""An event that the supervising process does not know is an error that names it: readers would miss it, and nobody would learn why."""

from __future__ import annotations

import pytest

import perdure
from perdure.wire import event_json


def main(job: perdure.Job) -> None:
    for _ in job.supersteps(3):
        pass


def test_an_event_of_an_unknown_name_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(event_json.EVENT_TYPES, "worker_started")
    with pytest.raises(perdure.InternalError, match="unknown name 'worker_started'"):
        perdure.run(main, ranks=2)
