"""`perdure bench comm`: the table, and what it says when it cannot measure."""

from __future__ import annotations

import pathlib
import sys

import pytest

from perdure.cli.bench import bench_comm, table
from perdure.errors import ConfigError


def test_a_ratio_is_how_many_times_faster_perdure_is() -> None:
    text = table({"perdure": {"barrier": 10.0}, "gloo": {"barrier": 40.0}}, ranks=4)
    assert "x gloo" in text.splitlines()[0]
    assert text.splitlines()[1].split() == ["barrier", "10.0", "40.0", "4.00"]


def test_without_the_source_tree_it_says_where_the_script_is() -> None:
    with pytest.raises(ConfigError, match="--script"):
        bench_comm(pathlib.Path("no/such/comm.py"), 2, sys.executable, "shared")
