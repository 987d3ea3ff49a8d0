"""Pages that are made from the code are those of this code."""

from __future__ import annotations

import runpy

import pytest

from tests.docs.pages import DOCS


@pytest.mark.parametrize(("script", "document"), [("generate_commands.py", "reference/commands.md")])
def test_a_generated_page_is_current(script: str, document: str) -> None:
    page = runpy.run_path(str(DOCS / script))["page"]()
    is_current = (DOCS / document).read_text(encoding="utf-8") == page
    assert is_current, f"docs/{document} is behind: python docs/{script} > docs/{document}"
