"""The documentation of job events, which is made from their classes."""

from __future__ import annotations

import pathlib
import runpy

ROOT = pathlib.Path(__file__).parents[2]


def test_the_document_is_that_of_the_classes() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "generate_events.py"))["page"]()
    is_current = (ROOT / "docs" / "events.md").read_text() == page
    assert is_current, "docs/events.md is behind: python docs/generate_events.py > docs/events.md"
