"""Failure domains as an operator names them: checked, carried to the job, and kept when a whole domain is lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.conftest import PROGRAM, tell, undisturbed

from perdure.core.orchestrator import JobShape
from perdure.engines.hosts import labels_of, parse_hosts
from perdure.errors import ConfigError
from perdure.launch.domains import joined, parse_labels, racks
from perdure.launch.rehearsal import rehearse
from perdure.launch.shapes import shape_of


def shape(labels: str = "", names: str = "rack", **options: Any) -> JobShape:
    """Of four ranks and a spare."""
    given = {"ranks": 4, "ranks_per_node": 1, "spares": 1, "parity": 1, "group_size": None, **options}
    return shape_of(**given, failure_domains=names.split(","), labels=parse_labels(labels.split()))


def groups(shape: JobShape) -> int:
    return -(-shape.ranks // shape.group_size)


ALL = "0:rack=a 1:rack=a 2:rack=b 3:rack=b 4:rack=c"


def test_a_group_is_smaller_where_a_larger_one_would_have_too_many_in_a_rack() -> None:
    """Unless its size was asked for."""
    assert groups(shape(ALL)) == 2
    assert groups(shape(ALL, group_size=4)) == 1
    assert groups(shape(ALL, parity=2)) == 1
    assert groups(shape(ALL, parity=0)) == 1
    assert shape(ALL, "rack,node").domains == shape(ALL).domains
    assert groups(shape("", "node")) == 1


@pytest.mark.parametrize(
    ("labels", "names", "text"),
    [
        ("7:rack=a", "rack", "a label names node 7, but this job has nodes 0 to 4"),
        (ALL, "rak", "no node has a label 'rak'; labels are rack"),
        ("", "rack", "no node has a label 'rack'; give labels with --node-label"),
        ("0:rack=a", "rack", "node 1 has no label 'rack': write --node-label 1:rack=..."),
        (ALL + " 0:rack=b", "rack", "node 0 has two values for the label 'rack', a and b"),
        (ALL, "node,rack", "node is the innermost"),
        (ALL, "rack,rack", "name each kind once"),
        (ALL, "rack,", "name each kind once"),
        ("rack=a", "rack", "write NODE:NAME=VALUE"),
        ("0:rack", "rack", "write NODE:NAME=VALUE"),
    ],
)
def test_a_wrong_label_or_domain_is_one_line_that_says_what_to_do(labels: str, names: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        shape(labels, names)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_group_of_one_cannot_be_protected() -> None:
    with pytest.raises(ConfigError, match="needs parity groups of more than 1 ranks"):
        shape(ALL, group_size=1)


def test_racks_must_be_a_count() -> None:
    with pytest.raises(ConfigError, match="--racks must be 1 or more, not 0"):
        racks(0, 4)


def test_labels_of_hosts() -> None:
    names = parse_hosts("h1 rack=a row=1  # the big one\nh2=10.0.0.2 rack=b, h3 h4\n")
    assert names == ["h1 rack=a row=1", "h2=10.0.0.2 rack=b", "h3", "h4"]
    assert labels_of(names[0]) == {"rack": "a", "row": "1"}
    assert labels_of(names[2]) == {}
    with pytest.raises(ConfigError, match="two values for the label 'rack'"):
        labels_of("h1 rack=a rack=b")
    with pytest.raises(ConfigError, match="write another host on its own line"):
        labels_of("h1 h2=10.0.0.2")
    with pytest.raises(ConfigError, match="node 0 has two values"):
        joined({0: {"rack": "a"}}, {0: {"rack": "b"}})


@pytest.mark.parametrize(("parity", "spares"), [(1, 2), (2, 2), (2, 0)])
def test_the_loss_of_a_whole_rack_changes_no_bit(parity: int, spares: int) -> None:
    """Nodes in the order of racks, so that the usual groups would have too many in one; with spares in both racks, and with none."""
    nodes = 4 + spares
    where = {node: "ab"[node * 2 // nodes] for node in range(nodes)}
    rack = [node for node in where if where[node] == "a"]
    story = tell(
        ranks=4, spares=spares, parity=parity, arguments={"supersteps": 40}, failure_domains=("rack", "node"),
        node_labels={node: {"rack": rack} for node, rack in where.items()}, faults=[f"kill:node={'+'.join(map(str, rack))},superstep=9"],
    )  # fmt: skip
    assert {event["node"] for event in story.of("node_lost")} == {*rack}
    first = story.of("generation_started")[0]
    assert first["risk"] == ""
    placed = [where[node] for node in first["placement"].values()]
    assert placed.count("a") == placed.count("b") == 2
    expected = undisturbed(4, 40)
    assert story.report.digests == expected.report.digests
    assert story.report.result == expected.report.result
    assert story.report.generations >= 2
    assert "rack b holds" in story.report.risk


def test_what_cannot_be_spread_is_said_at_the_start_and_in_the_report() -> None:
    story = tell(
        ranks=4, spares=0, parity=1, group_size=4, arguments={"supersteps": 3}, failure_domains=("rack",),
        node_labels={node: {"rack": "b"} for node in range(4)},
    )  # fmt: skip
    text = "rack b holds 4 members of group 0 (ranks 0, 1, 2, 3): its loss is more than parity 1 can rebuild"
    assert story.report.risk.startswith(text)
    assert story.of("generation_started")[0]["risk"] == story.report.risk


def test_a_rehearsal_places_nodes_as_a_run_does_and_loses_those_that_have_ranks() -> None:
    """Of three nodes the two in different racks."""
    labels = parse_labels(["0:rack=a", "1:rack=a", "2:rack=b"])
    result = rehearse(
        PROGRAM, rehearsals=5, seed=1, ranks=2, spares=1, failure_domains=("rack",), node_labels=labels, arguments={"supersteps": 6},
    )  # fmt: skip
    assert result.recovers, result
    assert {fault.split(",")[0] for fault in result.faults if fault.startswith("kill")} == {"kill:node=0", "kill:node=2"}
