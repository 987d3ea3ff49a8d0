"""The encoding of messages between the supervisor and its processes as lines, and their decoding.

    {"perdure": "NodeListens", "address": "@perdure-agent-1"}

1. A line is a JSON object; the field `perdure` has the name of a class of `perdure.core.messages.supervisor`, the others are its fields.
2. An event of a job has its name and its fields as in `perdure.wire.event_json`.
3. Bytes are base64.
4. A line that does not begin as a message does is output of something else, such as the greeting of a login shell; only nodes have that.

A line that begins as a message and is none is a `WireError`, which names the message: it is never passed on as output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Final, get_args

import msgspec

from perdure.core.job_events import name_of
from perdure.core.messages import supervisor as msg
from perdure.wire.event_json import event_of, fields_of
from perdure.wire.frames import WireError

_NAME: Final = "perdure"
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_BEGINNING: Final = b'{"perdure": '
SHOWN_BYTES: Final = 200
"""The maximal length of an invalid line in an error message. Arbitrary."""


def encode(message: msg.StreamMessage) -> bytes:
    """Return the message as one line. Several processes of a node write to one stream: one `write` of a short line is one piece."""
    match message:
        case msg.Publish(event=event):
            fields: dict[str, Any] = {"event": name_of(event), "fields": fields_of(event)}
        case _:
            fields = msgspec.to_builtins(message)
    text = _JSON.encode({_NAME: type(message).__name__, **fields})
    return text.encode(errors="backslashreplace") + b"\n"  # a lone surrogate has no bytes, and this writes it as JSON does


def from_node(line: bytes) -> msg.FromNode:
    """Return the message of a node. WireError: it begins as one, and is none."""
    if not line.startswith(_BEGINNING):
        return msg.StrayOutput(text=line.decode(errors="replace"))
    message: msg.FromNode = _decode(line, _FROM_NODE)
    return message


def to_node(line: bytes) -> msg.ToNode:
    """Return the message to a node. WireError: it is none."""
    message: msg.ToNode = _decode(line, _TO_NODE)
    return message


def from_orchestrator(line: bytes) -> msg.FromOrchestrator:
    """Return the message of an orchestrator. WireError: it is none."""
    message: msg.FromOrchestrator = _decode(line, _FROM_ORCHESTRATOR)
    return message


def to_orchestrator(line: bytes) -> msg.ToOrchestrator:
    """Return the message to an orchestrator. WireError: it is none."""
    message: msg.ToOrchestrator = _decode(line, _TO_ORCHESTRATOR)
    return message


def _names(*kinds: type | UnionType) -> Mapping[str, type[Any]]:
    return {one.__name__: one for kind in kinds for one in get_args(kind) or (kind,)}


_FROM_NODE: Final = {name: kind for name, kind in _names(msg.FromNode).items() if kind is not msg.StrayOutput}
_TO_NODE: Final = _names(msg.ToNode)
_FROM_ORCHESTRATOR: Final = _names(msg.FromOrchestrator)
_TO_ORCHESTRATOR: Final = _names(msg.ToOrchestrator)


def _decode(line: bytes, kinds: Mapping[str, type[Any]]) -> Any:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a line that is not JSON ({error}): {_shown(line)}") from None
    name = fields.get(_NAME) if isinstance(fields, dict) else None
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError(f"a line that is not a message for this receiver: {_shown(line)}")
    try:
        if kind is msg.Publish:
            return msg.Publish(event=event_of(fields.get("event"), fields.get("fields")))
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise WireError(f"the message {name!r} with wrong fields ({error}): {_shown(line)}") from None


def _shown(line: bytes) -> str:
    return line[:SHOWN_BYTES].decode(errors="replace") + ("..." if len(line) > SHOWN_BYTES else "")
