"""`perdure bench comm`: the table, and what it says when it cannot measure."""

from __future__ import annotations

import importlib.util
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

from perdure.cli.bench import WAITING, bench_comm, table
from perdure.cli.bench_plot import DPI, SIZE_IN, bandwidth_label, plot, size_label, time_label
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
    assert int.from_bytes(content[16:20]) == SIZE_IN[0] * DPI
    with pytest.raises(ConfigError, match="--plot"):
        plot(figures, 4, tmp_path / "no" / "comm.png")
    plot(figures, 4, tmp_path / "comm.svg")
    text = (tmp_path / "comm.svg").read_text()
    ElementTree.fromstring(text)
    for words in (*figures, "Time of a message, 2 ranks", "Bandwidth, 2 ranks", "Time of an all-reduce, 4 ranks", "64 MiB", "10 ms"):
        assert f"<!-- {words} -->" in text
    plot({name: figures[name] for name in ("perdure", "gloo")}, 4, tmp_path / "fewer.svg")
    fewer = (tmp_path / "fewer.svg").read_text()
    assert "mpi4py" not in fewer
    assert fewer.count("<path") < text.count("<path")


def test_a_label_has_the_unit_that_makes_it_short() -> None:
    assert [size_label(size) for size in (8, 1024, 65_536, 64 << 20)] == ["8 B", "1 KiB", "64 KiB", "64 MiB"]
    assert [time_label(us) for us in (0.1, 10.0, 10_000.0, 2e7)] == ["0.1 µs", "10 µs", "10 ms", "20 s"]
    assert [bandwidth_label(found) for found in (10.0, 10_000.0)] == ["10 MB/s", "10 GB/s"]


def test_without_matplotlib_or_a_folder_it_says_what_to_do_before_it_measures(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = pathlib.Path(__file__)  # a file that is there, and that must not be run
    with pytest.raises(ConfigError, match="does not exist"):
        bench_comm(script, 2, [], "shared", tmp_path / "no" / "comm.png")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--plot .* needs matplotlib, .* pip install 'perdure\[plots\]'"):
        bench_comm(script, 2, [], "shared", tmp_path / "comm.png")
