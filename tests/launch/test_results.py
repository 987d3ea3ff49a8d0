"""A result or an error of any size and kind arrives: a finished run is not lost to how it is sent."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import ProgramFailed

RESULTS = str(pathlib.Path(__file__).parents[1] / "programs" / "results.py")


@pytest.mark.parametrize("mb", [24, 300])
def test_a_large_result(mb: int) -> None:
    result = perdure.run(f"{RESULTS}:large", ranks=2, spares=0, arguments={"mb": mb}).result
    assert result.nbytes == mb << 20
    assert result.sum() == mb * 131072


def test_a_result_of_a_class_of_the_program_file() -> None:
    result = perdure.run(f"{RESULTS}:own_class", ranks=2, spares=0).result
    assert (result.value, result.table) == (1.5, {"a": 1})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("surrogate", r"ValueError: cannot read data\\udcff.npy"),
        ("long_error", r"(?s)begins x.*characters are left out here.*x ends"),
        ("mute", "Mute"),
    ],
)
def test_an_error_whose_text_is_hard_to_send(name: str, words: str) -> None:
    with pytest.raises(ProgramFailed, match=words) as caught:
        perdure.run(f"{RESULTS}:{name}", ranks=2, spares=0)
    assert len(str(caught.value)) < 20_000
