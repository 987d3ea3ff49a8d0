"""The thirty-line program: is it right, does it survive, and does a rehearsal tell it from one that forgets?"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

import perdure
from perdure.testing import rehearse

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
HEAT = str(EXAMPLES / "heat" / "heat.py")
FORGETFUL = str(EXAMPLES / "forgetful" / "forgetful.py")
SMALL = {"n": 41, "supersteps": 60}


def alone(n: int, supersteps: int) -> np.ndarray:
    """The same relaxation in plain NumPy, on the whole plate."""
    plate = np.zeros((n, n))
    plate[0] = 100.0
    for _ in range(supersteps):
        padded = np.vstack([plate[:1], plate, plate[-1:]])
        mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
        plate[1:, 1:-1] = mean[1:]
    return plate


def whole_plate(job: perdure.Job, path: str, n: int, supersteps: int) -> Any:
    """Heat, and what rank 0 gathers of its plate at the end."""
    spec = importlib.util.spec_from_file_location("heat", path)
    heat = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(heat)
    heat.main(job, n, supersteps)
    return job.gather("plate")


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5])
def test_any_number_of_ranks_gives_the_bits_of_plain_numpy(ranks: int) -> None:
    report = perdure.run(whole_plate, ranks=ranks, spares=0, parity=0, arguments={"path": HEAT, **SMALL})
    assert report.result.tobytes() == alone(**SMALL).tobytes()


def test_a_node_killed_in_the_middle_changes_no_bit() -> None:
    faults = ["kill:node=2,superstep=30"]
    report = perdure.run(whole_plate, ranks=4, commit_every=7, faults=faults, arguments={"path": HEAT, **SMALL})
    assert report.losses == 1
    assert report.result.tobytes() == alone(**SMALL).tobytes()


def test_a_rehearsal_of_heat_says_that_it_recovers() -> None:
    result = rehearse(HEAT, rehearsals=2, arguments=SMALL)
    assert result.recovers, result.difference or result.error
    assert len(result.faults) == 2
    assert result.commits > 30


def test_a_rehearsal_of_the_forgetful_drum_names_item_superstep_and_rank() -> None:
    result = rehearse(FORGETFUL)
    assert not result.recovers
    assert result.difference is not None
    assert result.difference.item == "skin"
    fault_at = int(re.search(r"superstep=(\d+)", result.difference.fault)[1])
    assert fault_at - 6 < result.difference.superstep <= 60, "the first commit after the loss"
    assert 0 <= result.difference.rank < 4


def test_the_drum_recovers_once_its_speed_is_declared() -> None:
    result = rehearse(FORGETFUL, rehearsals=1, arguments={"remember": True})
    assert result.recovers, result.difference or result.error


def test_the_picture_is_a_png_of_the_plate(tmp_path: pathlib.Path) -> None:
    picture = tmp_path / "plate.png"
    arguments = {**SMALL, "picture": str(picture)}
    report = perdure.run(str(EXAMPLES / "heat" / "heat_picture.py"), ranks=2, arguments=arguments)
    assert report.result == pytest.approx(alone(**SMALL).sum())
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (round(7.2 * 120), round(6.2 * 120))


def test_the_picture_has_axes_a_scale_and_a_line_for_each_temperature_of_the_plate(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "heat"))
    picture = importlib.import_module("heat_picture")
    texts = []
    for name, share in (("cold.svg", 0.35), ("warm.svg", 1.0)):
        plate = np.tile(np.linspace(100.0 * share, 0.0, 50)[:, None], (1, 50))
        picture.save_picture(tmp_path / name, plate, "Now & then")
        text = (tmp_path / name).read_text()
        ElementTree.fromstring(text)
        texts.append([words for words in re.findall("<!-- (.*?) -->", text)])
    for words in texts:
        assert {"row", "column", "temperature", "Now &amp; then"} <= set(words)
    assert [words.count("30") for words in texts] == [4, 4], "at both axes, at the scale, and on its line"
    assert [words.count("90") for words in texts] == [1, 2], "a plate that is nowhere so warm has no such line"
