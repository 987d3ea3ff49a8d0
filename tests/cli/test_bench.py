"""`perdure bench comm`: the table, and what it says when it cannot measure."""

from __future__ import annotations

import pathlib

import pytest

from perdure.cli.bench import WAITING, bench_comm, table
from perdure.cli.bench_plot import plot
from perdure.errors import ConfigError


def test_a_ratio_is_how_many_times_faster_perdure_is() -> None:
    text = table({"perdure": {"barrier": 10.0}, "gloo": {"barrier": 40.0}}, ranks=4)
    assert "x gloo" in text.splitlines()[0]
    assert text.splitlines()[1].split() == ["barrier", "10.0", "40.0", "4.00"]


def test_without_the_source_tree_it_says_where_the_script_is() -> None:
    with pytest.raises(ConfigError, match="--script"):
        bench_comm(pathlib.Path("no/such/comm.py"), 2, [], "shared")


def test_percents_have_no_ratio() -> None:
    text = table({"perdure": {WAITING: 0.5}, "mpi4py": {WAITING: 99.0}}, ranks=4)
    assert text.splitlines()[1].split()[-2:] == ["0.5", "99.0"]


def test_the_plot_is_a_png_with_a_line_for_each_library(tmp_path: pathlib.Path) -> None:
    sizes = (8, 1024, 65_536, 1 << 20, 64 << 20)
    figures = {
        name: {f"{kind}, {size} B": factor * (10 + size / 5000) for kind in ("one way", "all-reduce") for size in sizes}
        for name, factor in (("perdure", 1.0), ("mpi4py", 1.5), ("gloo", 5.0))
    }
    plot(figures, 4, tmp_path / "comm.png")
    content = (tmp_path / "comm.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20]) == 3 * 540
    with pytest.raises(ConfigError, match="--plot"):
        plot(figures, 4, tmp_path / "no" / "comm.png")
