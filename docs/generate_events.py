"""Print docs/events.md, made from the classes of `perdure.core.job_events`: python docs/generate_events.py > docs/events.md"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from perdure.core import records
from perdure.core.imbalance import Imbalance
from perdure.core.interval import Choice
from perdure.core.job_events import EVENT_TYPES, FORMAT_VERSION

HEAD: Final = f"""# Events of a job

<!-- Generated from src/perdure/core/job_events.py by: python docs/generate_events.py > docs/events.md -->

A job publishes what happens to it as events. `perdure run --events FILE` writes one JSON object a line; `perdure.run(on_event=f)` calls `f`
with the same objects as dicts. The display, the report and the demo are made from these events alone.

    {{"v": {FORMAT_VERSION}, "t": 1.734512, "event": "node_lost", "node": 2, "reason": "killed by SIGKILL"}}

Every event has these fields:

| field | type | meaning |
| --- | --- | --- |
| `v` | integer | the version of the format, {FORMAT_VERSION} |
| `t` | number | seconds since the start of the job |
| `event` | string | the name of the event, one of those below |

A new event or a new field does not change `v`: ignore what you do not know. Any other change of the format increases `v`.

A field of a type "or null" is always there. A field of a type "optional" is absent where it has no value. In a line of `--events` a number
that is infinite, or not a number, is the string `"Infinity"`, `"-Infinity"` or `"NaN"`.
"""
_WORDS: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}
_NESTED: Final = {Imbalance: "uneven", Choice: "interval"}
"""Classes of values that are objects, and the field of `committed` that has them."""


def page() -> str:
    """Return the whole document."""
    names = EVENT_TYPES.items()
    index = "\n".join(f"| [`{name}`](#{name}) | {_sentence(kind)} |" for name, kind in names)
    sections = [f"\n## `{name}`\n\n{inspect.getdoc(kind)}\n\n{_table(_fields(kind))}" for name, kind in names]
    nested = [f"\n## `committed.{name}`\n\n{_sentence(kind)}\n\n{_table(_documented(kind))}" for kind, name in _NESTED.items()]
    return "".join([HEAD, f"\n| event | what happened |\n| --- | --- |\n{index}\n", *sections, *nested])


def _sentence(kind: type) -> str:
    return str(inspect.getdoc(kind)).split("\n\n")[0].replace("\n", " ")


def _table(rows: Iterator[tuple[str, str, str]]) -> str:
    lines = "".join(f"| `{name}` | {kind} | {text} |\n" for name, kind, text in rows)
    return f"| field | type | meaning |\n| --- | --- | --- |\n{lines}"


def _fields(kind: type[records.Record]) -> Iterator[tuple[str, str, str]]:
    """Name, type and text of the fields of an event. ValueError: a field has no text."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, is_optional in records.fields_of(kind):
        hint = hints[name]
        if typing.get_origin(hint) is not typing.Annotated:
            raise ValueError(f"{kind.__name__}.{name} has no text: make it Annotated[type, text]")
        value, text = typing.get_args(hint)
        yield name, _in_words(value, optional=is_optional), text


def _documented(kind: type) -> Iterator[tuple[str, str, str]]:
    """The same of a class whose docstring has a section "Attributes"."""
    texts = dict(re.findall(r"^    (\w+): (.*)$", str(inspect.getdoc(kind)), re.MULTILINE))
    for one in dataclasses.fields(kind):
        yield one.name, _in_words(typing.get_type_hints(kind)[one.name]), texts[one.name].removesuffix(".")


def _in_words(kind: Any, *, optional: bool = False) -> str:
    """A type as JSON has it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (value,) = (one for one in inner if one is not type(None))
        return _in_words(value) + (", optional" if optional else " or null")
    if origin is tuple:
        return f"array of {_in_words(inner[0])}s"
    if origin is dict:
        return f"object of {_in_words(inner[1]).replace('array', 'arrays')}{'' if typing.get_args(inner[1]) else 's'}"
    return f"[object](#committed{_NESTED[kind]})" if kind in _NESTED else _WORDS[kind]


if __name__ == "__main__":
    print(page(), end="")
