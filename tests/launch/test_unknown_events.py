"""An event or a message that the supervising process does not know is an error that names it: readers would miss it, or the job would
wait, and nobody would learn why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import perdure
from perdure.engines import EngineEvent, EntryPoint, NodeStarted, Post
from perdure.engines.local import LocalEngine
from perdure.streams import Stream
from perdure.streams.pairs import pair
from perdure.wire import event_json


def main(job: perdure.Job) -> None:
    for _ in job.supersteps(3):
        pass


def test_an_event_of_an_unknown_name_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(event_json.EVENT_TYPES, "worker_started")
    with pytest.raises(perdure.InternalError, match="unknown name 'worker_started'"):
        perdure.run(main, ranks=2)


class ForeignEngine(LocalEngine):
    """Its nodes send a message of another version of perdure."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        super().open(job, entry_point, lambda event: post(self._changed(event)))

    def _changed(self, event: EngineEvent) -> EngineEvent:
        if not isinstance(event, NodeStarted):
            return event
        ours, theirs = pair()
        theirs.send(b'Welcome\n{"perdure": "NodeWokeUp", "pid": 7}\n')
        self.streams += [event.control, theirs]
        return replace(event, control=ours)


@pytest.fixture
def foreign() -> Iterator[ForeignEngine]:
    engine = ForeignEngine()
    yield engine
    for stream in engine.streams:
        stream.close()


def test_a_message_of_another_version_ends_the_job_and_is_no_output_of_a_shell(foreign: ForeignEngine) -> None:
    events = []
    with pytest.raises(perdure.InternalError, match=r"node \d sent .*NodeWokeUp.*same version of perdure"):
        perdure.run(main, ranks=2, engine=foreign, on_event=events.append)
    assert {event["text"] for event in events if event["event"] == "shell_output"} == {"Welcome"}
