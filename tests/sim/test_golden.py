"""Conversations that nobody changes by accident, and documents that cannot rot. `pytest tests/sim --rewrite` writes both anew."""

from __future__ import annotations

import pathlib

import pytest

from perdure.core.agent.state import TRANSITIONS as OF_AGENTS
from perdure.core.orchestrator.state import TRANSITIONS as OF_ORCHESTRATORS
from perdure.core.supervisor.state import ORCHESTRATOR_TRANSITIONS as OF_THEIR_PROCESSES
from perdure.core.transitions import diagram
from tests.sim.golden import ROOT, SCENARIOS, quoted, read, with_quote

FILES = sorted(SCENARIOS.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_machines_say_what_they_said(path: pathlib.Path, rewrites: bool) -> None:
    head, said = read(path)
    now = head.conversation()
    if rewrites:
        path.write_text(f"{head.head}\n{now}")
    else:
        assert now == said, f"if this is meant: pytest {pathlib.Path(__file__).relative_to(ROOT)} --rewrite"


@pytest.mark.parametrize("name", ["superstep", "failure"])
def test_the_life_in_the_architecture_is_that_of_the_golden_file(name: str, rewrites: bool) -> None:
    path = ROOT / "ARCHITECTURE.md"
    head, said = read(SCENARIOS / f"{name}.txt")
    text = f'{head.title} (`perdure simulate replay "{head.scenario}"`)\n\n```\n{said}```\n'
    check_quote(path, f"tests/scenarios/{name}.txt", text, rewrites)


@pytest.mark.parametrize(
    ("name", "table"),
    [("agent", OF_AGENTS), ("orchestrator", OF_ORCHESTRATORS), ("orchestrator's process", OF_THEIR_PROCESSES)],
)
def test_the_diagram_in_the_protocol_is_that_of_the_transition_table(name: str, table: dict[str, frozenset[str]], rewrites: bool) -> None:
    check_quote(ROOT / "docs" / "protocol.md", f"phases of the {name}", f"```mermaid\n{diagram(table)}\n```\n", rewrites)


def check_quote(path: pathlib.Path, name: str, text: str, rewrites: bool) -> None:
    document = path.read_text()
    if rewrites:
        path.write_text(with_quote(document, name, text))
    else:
        assert quoted(document, name) == text, f"{path.name} is behind: pytest {pathlib.Path(__file__).relative_to(ROOT)} --rewrite"
