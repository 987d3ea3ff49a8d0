"""The figures of the documents are those that their script draws, and say what the code does."""

from __future__ import annotations

import pathlib
import re
import runpy
import xml.etree.ElementTree as ElementTree
from typing import Any

import matplotlib
import pytest

from perdure.core.layout import Geometry

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "draw_figures.py"))
FIGURES: dict[str, Any] = SCRIPT["FIGURES"]


def texts(svg: str) -> list[str]:
    """Return the texts of a figure: matplotlib writes each one as a comment beside its outlines."""
    return re.findall("<!-- (.*?) -->", svg, re.DOTALL)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_up_to_date(name: str) -> None:
    """Releases of matplotlib differ in details of the outlines, but never in the texts."""
    committed = (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    drawn = SCRIPT["svg"](FIGURES[name])
    advice = "a figure is not up to date: python docs/draw_figures.py"
    assert texts(committed) == texts(drawn), advice
    if f"Matplotlib v{matplotlib.__version__}," in committed:
        assert (committed == drawn) is True, advice


@pytest.mark.parametrize("name", FIGURES)
def test_labels_lie_inside_and_do_not_overlap(name: str) -> None:
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **SCRIPT["STYLE"]}):
        figure = FIGURES[name]()
        figure.draw_without_rendering()
        labels = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts if text.get_text()]
    assert len(labels) > 10
    width, height = figure.get_size_inches() * figure.dpi
    for text, place in labels:
        assert place.x0 >= 0 and place.y0 >= 0 and place.x1 <= width and place.y1 <= height, text  # noqa: PT018
    overlaps = [(a[0], b[0]) for i, a in enumerate(labels) for b in labels[:i] if a[1].overlaps(b[1])]
    assert not overlaps


def test_every_figure_is_in_a_document() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = {match for page in pages for match in re.findall(r"figures/(\w+)\.svg\)", page.read_text(encoding="utf-8"))}
    assert found == set(FIGURES)
    assert found == {path.stem for path in (ROOT / "docs" / "figures").iterdir()}


def test_each_stripe_of_the_parity_group_has_one_parity_chunk() -> None:
    geometry = Geometry(n=4, m=1)
    found = texts(SCRIPT["svg"](FIGURES["parity_group"]))
    assert found.count("parity") == geometry.n
    assert [found.count(f"data chunk {chunk}") for chunk in range(geometry.d)] == [geometry.n] * geometry.d


def test_a_figure_is_well_formed() -> None:
    for draw in FIGURES.values():
        ElementTree.fromstring(SCRIPT["svg"](draw))
