"""The JSON form of job events, which programs and people outside of perdure read.

`tests/wire/events.jsonl` pins it: a line that changes breaks its readers. A new line is no break; after any other change
`perdure.core.job_events.FORMAT_VERSION` is to be increased.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import pytest

from perdure.core.job_events import EVENT_TYPES, CommittedEvent, NodeLostEvent, ProgressEvent, TimedEvent
from perdure.launch.plain import plain
from perdure.wire import WireError
from perdure.wire.event_json import from_json, on_json, to_json
from tests.job_event_examples import CHOICE, EXAMPLES, committed

GOLDEN = pathlib.Path(__file__).with_name("events.jsonl")
TIMED = [TimedEvent(t=number / 2, event=event) for number, event in enumerate(EXAMPLES)]


def test_there_is_an_example_of_each_event() -> None:
    kinds = [type(event) for event in EXAMPLES]
    assert len(kinds) == len(EVENT_TYPES)
    assert set(kinds) == set(EVENT_TYPES.values())


def test_no_field_has_the_name_of_one_that_every_line_has() -> None:
    assert not {"v", "t", "event"} & {name for kind in EVENT_TYPES.values() for name in kind.__struct_fields__}


def test_names_and_fields_stay_as_readers_know_them(rewrites: bool) -> None:
    lines = [json.dumps(to_json(timed)) for timed in TIMED]
    if rewrites:
        GOLDEN.write_text("\n".join(lines) + "\n")
    else:
        assert lines == GOLDEN.read_text().splitlines(), "if this is meant: pytest tests/wire/test_event_json.py --rewrite"


@pytest.mark.parametrize("timed", TIMED, ids=lambda timed: type(timed.event).__name__)
def test_an_event_is_the_same_after_it_was_a_line(timed: TimedEvent) -> None:
    assert from_json(json.loads(json.dumps(to_json(timed)))) == timed


@pytest.mark.parametrize("timed", TIMED, ids=lambda timed: type(timed.event).__name__)
def test_callbacks_receive_what_a_line_gives(timed: TimedEvent) -> None:
    """A list is a list there too, and no tuple."""
    assert to_json(timed) == json.loads(json.dumps(to_json(timed)))


def test_a_field_without_a_value_is_absent_or_null_as_its_class_says() -> None:
    assert to_json(TimedEvent(t=1.5, event=ProgressEvent(superstep=3))) == {"v": 1, "t": 1.5, "event": "progress", "superstep": 3}
    assert to_json(TimedEvent(t=1.5, event=committed(3)))["interval"] is None


def test_a_number_that_is_none_comes_back_out_of_a_line() -> None:
    never = committed(3, interval=type(CHOICE)(**{**vars_of(CHOICE), "failure_every_s": math.inf}))
    line = json.dumps(plain(to_json(TimedEvent(t=0.0, event=never))), allow_nan=False)
    event = from_json(json.loads(line)).event
    assert isinstance(event, CommittedEvent)
    assert event.interval is not None
    assert event.interval.failure_every_s == math.inf


def vars_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"v": 1, "t": 0.0, "event": "node_sold", "node": 1}, "unknown name 'node_sold'"),
        ({"v": 1, "t": 0.0, "event": ["node_lost"]}, "unknown name"),
        ({"v": 1, "t": 0.0}, "unknown name None"),
        ({"v": 1, "t": 0.0, "event": "node_lost", "node": 1}, "missing required field `reason`"),
        ({"v": 1, "t": 0.0, "event": "node_lost", "node": "one", "reason": ""}, "wrong fields"),
        ({"v": 1, "event": "node_suspected", "node": 1}, "has the time None"),
        ({"v": 2, "t": 0.0, "event": "node_suspected", "node": 1}, "version 2"),
        ({"t": 0.0, "event": "node_suspected", "node": 1}, "version None"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_and_named(line: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        from_json(line)


def test_a_later_perdure_may_add_fields() -> None:
    line = {"v": 1, "t": 0.0, "event": "node_lost", "node": 1, "reason": "sold", "price": 7}
    assert from_json(line).event == NodeLostEvent(node=1, reason="sold")


def test_a_callback_of_run_can_receive_classes() -> None:
    taken: list[TimedEvent] = []
    take = on_json(taken.append)
    for timed in TIMED:
        take(to_json(timed))
    assert taken == TIMED
