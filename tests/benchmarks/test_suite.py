"""The suite of benchmarks: what becomes of its results. One that speaks words of the core itself is run, or its end would be unheard."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from matplotlib.textpath import TextPath

FOLDER = pathlib.Path(__file__).parent.parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))
import page  # noqa: E402
import rows  # noqa: E402


def results(*found: rows.Row, **more: Any) -> dict[str, Any]:
    machine = {"processor": "P <1>", "cores": 2, "busy_cores": 0.1, "kernel": "6", "python": "3", "numpy": "2", "codec": "c"}
    told = [vars_of(row) for row in found]
    usual = {"quick": False, "machine": machine, "rows": told, "raw": {}, "failed": {}, "missing": {}, "finished": "now"}
    return {**usual, **more}


def vars_of(row: rows.Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in rows.Row.__dataclass_fields__}


def row(ratio: float, **given: Any) -> rows.Row:
    usual: dict[str, Any] = {"benchmark": "codec", "name": "encode <m>", "more_is_better": True}
    return rows.Row(ratio=ratio, **{**usual, **given})


def test_a_bar_is_as_long_as_its_ratio_and_says_whether_it_is_enough() -> None:
    text = page.page(results(row(2.0, must=1.5, aim=2.0), row(1.0, must=1.5), row(1.0)))
    (svg,) = re.findall(r"<svg.*?</svg>", text, re.S)
    groups = {one.get("id", ""): one for one in ElementTree.fromstring(svg).iter() if one.tag.endswith("}g")}
    bars = [groups[name][0] for name in ("met-0", "missed-1", "plain-2")]
    for bar, colour in zip(bars, ("met", "missed", "plain"), strict=True):
        assert f"var(--{colour})" in bar.get("style", "")
    left, right = zip(*(_sides(bar.get("d", "")) for bar in bars), strict=True)
    assert left[0] == left[1] == left[2]
    assert right[0] - left[0] == pytest.approx(2 * (right[1] - left[1]), rel=1e-3)
    for words in ("2 (≥ 1.5)", "1 (≥ 1.5)", "more is better"):
        assert f"<!-- {words} -->" in svg


def _sides(path: str) -> tuple[float, float]:
    """The left and the right side of a rectangle that is drawn as a path."""
    xs = [float(x) for x, _ in re.findall(r"[ML] (\S+) (\S+)", path)]
    return min(xs), max(xs)


def test_less_is_better_for_some() -> None:
    assert row(0.3, more_is_better=False, must=0.35).met is True
    assert row(0.4, more_is_better=False, must=0.35).met is False
    assert row(0.4).met is None


def test_what_failed_or_is_missing_is_on_the_page_and_nothing_is_fetched() -> None:
    text = page.page(results(quick=True, failed={"memory": "it broke"}, raw={"revoke": []}, missing={"torchrun": "make bench-peers"}))
    for words in ("it broke", "none of its peers is installed", "torchrun: make bench-peers", "Its numbers say nothing", "P &lt;1&gt;"):
        assert words in text
    assert not re.findall(r"""(?:src|href|url)\W+http""", text)
    assert "<script" not in text


def test_without_matplotlib_the_page_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = page.page(results(row(2.0)))
    assert "pip install 'perdure[plots]'" in text
    assert "<svg" not in text


def test_names_have_room_on_the_page() -> None:
    found = {one.name: one for one in rows.BENCHMARKS}
    recovered = {"ratios": {"torchrun, DCP in memory": 0.04}, "protect_ratios": {"torchrun, DCP in memory": 0.5}}
    longest = [*found["recovery"].rows({"256": recovered}), *found["revoke"].rows({"1048576": {"ratios": {"perdure, process": 0.6}}})]
    for row in longest:
        width_in = TextPath((0, 0), row.name, size=10).get_extents().width / 72
        assert width_in < page.NAMES_IN - 0.1, row.name


def test_rows_of_every_benchmark() -> None:
    found = {one.name: one for one in rows.BENCHMARKS}
    codec = [
        {"kernel": "LLVM", "m": 2, "lost": 0, "ratio": 1.3},
        {"kernel": "LLVM, 2 threads", "m": 2, "lost": 0, "ratio": 1.5},
        {"kernel": "NumPy 2", "m": 2, "lost": 1, "ratio": 0.3},
    ]
    assert [(one.name, one.met) for one in found["codec"].rows(codec)] == [
        ("encode, m = 2", True),
        ("encode, m = 2, two threads", None),
        ("decode 1 lost, m = 2, NumPy", None),
    ]
    times = {"64": {"hold_up": {"commit": [3.0], "at once": [2.0]}}, "undisturbed": {"on": [1.01], "off": [1.0], "inside": [1.03]}}
    assert [one.met for one in found["overhead"].rows(times)] == [True, True, False]
    recovered = {"ratios": {"torchrun": 0.04, "Ray actors": 0.03}, "protect_ratios": {"ULFM, spawn": 0.5}}
    assert [one.met for one in found["recovery"].rows({"64": recovered})] == [True, None, False]
    for name in ("partial", "tracked", "apart"):
        partial = {"times": {"held": [[2.0], [1.0]], "committed": [[4.0], [1.0]]}, "track_writes": name != "partial"}
        partial["between_hosts"] = name == "apart"
        assert [(one.benchmark, one.met) for one in found[name].rows({"64": partial})] == [(name, None), (name, False)]
    ours = {"commit_faster": 4.5, "rebuild_faster": 1.2}
    assert [one.met for one in found["redset"].rows([{"parity": 1, "ranks": 4, "mib": 64, "mapped": ours}])] == [True, False]
    held = {"memory": "overlap", "ranks": 8, "parity": 2, "mib": 64, "extra": 2.69, "formula": 2.667}
    assert [one.met for one in found["memory"].rows([held, {**held, "memory": "tight", "extra": 1.69}])] == [True, True]
    assert [one.met for one in found["memory"].rows([{**held, "memory": "tight", "extra": 1.71}])] == [False]
    for one in rows.BENCHMARKS:
        assert (FOLDER / one.script).is_file()


def test_a_peer_that_prints_no_rows_is_a_failure_and_the_page_is_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "peer.py").write_text("print('[{\"nome\": 1}]')")
    nothing_of_ours = "import suite; suite.BENCHMARKS = (); raise SystemExit(suite.main())"
    command = [sys.executable, "-c", nothing_of_ours, "--out", str(tmp_path), "--peer", f"mine={sys.executable} {tmp_path / 'peer.py'}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    written = json.loads((tmp_path / "results.json").read_text())
    assert "no JSON list of rows" in written["failed"]["mine"]
    assert written["missing"] == {}, "no benchmark was asked for"
    assert "did not run to its end" in (tmp_path / "page.html").read_text()


def test_simulated_agents_say_what_an_orchestrator_waits_for() -> None:
    """More than it speaks to directly, so that the tree is used; no figure is looked at."""
    command = [sys.executable, str(FOLDER / "orchestrator_load.py"), "--agents", "80", "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[1:]] == ["start", "one commit", "steady state", "one failure"]
