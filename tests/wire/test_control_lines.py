"""Lines on a control stream: each message comes back as it was, and what is none is an error that names it, or a shell's output."""

from __future__ import annotations

import contextlib
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core import messages as msg
from perdure.core.planner import Seat, first_plan
from perdure.wire import WireError
from perdure.wire.control_lines import encode, from_node, from_orchestrator, to_node, to_orchestrator
from tests.job_event_examples import EXAMPLES

PLAN = first_plan([Seat(agent=number, node=number - 1, address=f"a{number}") for number in (1, 2)], 2, 1, 2, 1)
NODE: list[msg.FromNode] = [
    msg.NodeBegun(pid=7), msg.NodeListens(address="@a"), msg.NodeMisconfigured(text="no such address"),
    msg.ProgramJudged(error="UsageError", text='no "main"\nanywhere'),
    msg.NodeExited(how="exited with status 1"), msg.FaultStruck(index=3, at=7.25),
]  # fmt: skip
ORCHESTRATOR: list[msg.FromOrchestrator] = [
    msg.OrchestratorAlive(), msg.Propose(plan=PLAN), msg.Note(plan=PLAN), msg.KillAgent(agent=2), msg.ResultPiece(data=bytes(range(256))),
    msg.Finish(error="", text="", payload=b""), msg.FaultStruck(index=0, at=0.5),
    *(msg.Publish(event=event) for event in EXAMPLES),
]  # fmt: skip
TO_ORCHESTRATOR: list[msg.ToOrchestrator] = [
    msg.BeginRound(round=2, spent=(0, 3)), msg.RegisterHolds(plan=None), msg.RegisterHolds(plan=PLAN),
    msg.AgentUp(agent=1, node=0, address="a1", pid=11), msg.AgentEnded(agent=1, how="was killed"), msg.NoMoreNodes(),
]  # fmt: skip


def test_each_message_comes_back_as_it_was_in_one_line() -> None:
    for decode, messages in ((from_node, NODE), (from_orchestrator, ORCHESTRATOR), (to_orchestrator, TO_ORCHESTRATOR)):
        for message in messages:
            line = encode(message)
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            assert decode(line[:-1]) == message
    assert to_node(encode(msg.FaultSpent(index=3))) == msg.FaultSpent(index=3)


def test_the_examples_are_all_that_there_is() -> None:
    tried = {type(message) for message in (*NODE, *ORCHESTRATOR, *TO_ORCHESTRATOR)}
    assert tried == {*get_args(msg.FromNode), *get_args(msg.FromOrchestrator), *get_args(msg.ToOrchestrator)} - {msg.StrayOutput}


def test_a_text_without_bytes_is_sent_all_the_same() -> None:
    """The name of a file may be no text, and it is in the error of a program."""
    message = msg.ProgramJudged(error="ProgramFailed", text="no data\udcff.npy")
    assert from_node(encode(message)) == message


@pytest.mark.parametrize("line", [b"Welcome to node 3", b"", b"42", b'{"disk": "full"}', b"\xff\xfe", b"[1, 2]"])
def test_output_of_a_shell_is_no_message(line: bytes) -> None:
    assert from_node(line) == msg.StrayOutput(text=line.decode(errors="replace"))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"perdure": "NodeBeg', "not JSON"),
        (b'{"perdure": "NodeWokeUp", "pid": 7}', "not a message for this receiver: .*NodeWokeUp"),
        (b'{"perdure": "KillAgent", "agent": 7}', "not a message for this receiver: .*KillAgent"),
        (b'{"perdure": "StrayOutput", "text": "x"}', "not a message for this receiver"),
        (b'{"perdure": ["NodeBegun"], "pid": 7}', "not a message for this receiver"),
        (b'{"perdure": "NodeBegun"}', "'NodeBegun' with wrong fields"),
        (b'{"perdure": "NodeBegun", "pid": "7"}', "'NodeBegun' with wrong fields"),
    ],
)
def test_a_wrong_message_of_a_node_is_an_error_and_no_output(line: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        from_node(line)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"Welcome", "not JSON"),
        (b"[]", "not a message for this receiver"),
        (b'{"perdure": "Publish", "event": "unknown", "fields": {}}', "unknown name 'unknown'"),
        (b'{"perdure": "Publish", "event": "node_lost", "fields": {"node": 1}}', "'node_lost' has wrong fields"),
        (b'{"perdure": "Publish", "event": "node_lost"}', "'node_lost' has wrong fields"),
        (b'{"perdure": "Propose", "plan": {"generation": 1}}', "'Propose' with wrong fields"),
        (b'{"perdure": "ResultPiece", "data": "!"}', "'ResultPiece' with wrong fields"),
    ],
)
def test_a_wrong_message_of_an_orchestrator_is_an_error(line: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        from_orchestrator(line)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_fields_are_a_message_or_an_error(fields: object) -> None:
    """Or the supervisor would end with an error of the decoder's that tells nobody anything."""
    for name in ("Publish", "Propose", "NodeListens", "Finish"):
        values = fields if isinstance(fields, dict) else {"event": "committed", "fields": fields, "plan": fields, "address": fields}
        line = json.dumps({"perdure": name, **values}).encode()
        for decode in (from_node, from_orchestrator, to_orchestrator, to_node):
            with contextlib.suppress(WireError):
                decode(line)
