"""The protocol's document lists every message, and every rule that a message names exists."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from perdure.core import messages as msg
from tests.sim.golden import ROOT, quoted, with_quote

DOCUMENT = ROOT / "docs" / "protocol.md"
WITHOUT_RULE = {msg.StrayOutput}
COLUMNS = 100


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "generate_messages.py"))


def test_the_table_of_messages_is_that_of_the_classes(generator: dict[str, Any], rewrites: bool) -> None:
    document, table = DOCUMENT.read_text(), generator["table"]()
    if rewrites:
        DOCUMENT.write_text(with_quote(document, "messages", table))
    else:
        assert quoted(document, "messages") == table, "if this is meant: pytest tests/core/test_protocol_document.py --rewrite"


def test_every_message_names_rules_that_exist(generator: dict[str, Any]) -> None:
    defined = set(re.findall(r"^\*\*([A-Z]\d+'?)[ .*]", DOCUMENT.read_text(), re.MULTILINE))
    assert {"C1", "C4'", "D0", "E10", "R8", "S4", "W5", "T8", "L8", "M3", "P5"} <= defined
    for kind in generator["routes_of"]():
        named = set(generator["rules_of"](kind))
        assert named or kind in WITHOUT_RULE, f"the docstring of {kind.__name__} names no rule: write (rule ...) in its first paragraph"
        assert named <= defined, f"{kind.__name__} names a rule that docs/protocol.md does not have"


def test_lines_of_the_document_fit_the_screen() -> None:
    """Rows of tables may be longer: Markdown has no other form for them."""
    lines = DOCUMENT.read_text().splitlines()
    assert not [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS and not line.startswith("|")]
