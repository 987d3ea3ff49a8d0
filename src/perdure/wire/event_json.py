"""The conversion of job events to and from JSON, described in `docs/events.md`.

Values here are what `json` reads and writes: dicts, lists, strings, numbers. An event of an unknown name, or with wrong fields, is a
`WireError`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from perdure.core import records
from perdure.core.job_events import EVENT_TYPES, FORMAT_VERSION, JobEvent, TimedEvent, name_of
from perdure.wire.frames import WireError

_SCALARS: Final = (str, int, float, type(None))
_FIELDS: Final[dict[type[JobEvent], tuple[tuple[str, bool], ...]]] = {kind: records.fields_of(kind) for kind in EVENT_TYPES.values()}
"""The names of the fields of each event, and whether the JSON form lacks the field where it is None."""


def to_json(timed: TimedEvent) -> dict[str, Any]:
    """Return the JSON form of an event: `v`, `t`, `event`, and its fields."""
    return {"v": FORMAT_VERSION, "t": timed.t, "event": name_of(timed.event), **fields_of(timed.event)}


def from_json(line: Mapping[str, Any]) -> TimedEvent:
    """Return the event of a JSON form, the inverse of `to_json`. Fields that its class does not have are ignored.

    Raises:
        WireError: the form is of another version, the name is unknown, or a field is missing or of a wrong type.
    """
    version, t, name = (line.get(key) for key in ("v", "t", "event"))
    if version != FORMAT_VERSION:
        raise WireError(f"a job event of version {version!r}, but this version of perdure reads version {FORMAT_VERSION}")
    if not isinstance(t, int | float):
        raise WireError(f"the job event {name!r} has the time {t!r}")
    return TimedEvent(t=float(t), event=event_of(name, line))


@dataclass(frozen=True, slots=True)
class TypedListener:
    """A function for `perdure.run(on_event=...)` whose `take` receives each event as its class."""

    take: Callable[[TimedEvent], None]

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take the event of a JSON form. WireError: there is none."""
        self.take(from_json(line))


def on_json(take: Callable[[TimedEvent], None]) -> TypedListener:
    """Return a function for `perdure.run(on_event=...)` that calls `take` with the event as its class."""
    return TypedListener(take)


def typed(listener: Callable[[dict[str, Any]], None]) -> Callable[[TimedEvent], None]:
    """Return a function that calls `listener` with the JSON form of an event. A `TypedListener` receives the event itself."""
    return listener.take if isinstance(listener, TypedListener) else lambda timed: listener(to_json(timed))


def fields_of(event: JobEvent) -> dict[str, Any]:
    """Return the fields of an event as JSON has them. One with the default None is left out where it is None."""
    values = ((name, getattr(event, name), is_optional) for name, is_optional in _FIELDS[type(event)])
    return {name: _plain(value) for name, value, is_optional in values if value is not None or not is_optional}


def event_of(name: Any, fields: Mapping[str, Any]) -> JobEvent:
    """Return the event of this name with these fields, the inverse of `name_of` and `fields_of`. WireError: there is none."""
    kind = EVENT_TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError(f"a job event with the unknown name {name!r}")
    try:
        # Not strict: "Infinity" and "NaN" are how a JSON line has floats that are no numbers.
        return msgspec.convert(fields, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise WireError(f"the job event {name!r} has wrong fields: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return value
