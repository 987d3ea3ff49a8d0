"""A result or an error of any size and kind arrives: a finished run is not lost to how it is sent."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import ProgramFailed

RESULTS = str(pathlib.Path(__file__).parents[1] / "programs" / "results.py")


@pytest.mark.long
def test_a_result_that_is_longer_than_the_pieces_it_is_sent_in() -> None:
    result = perdure.run(f"{RESULTS}:large", ranks=2, spares=0, arguments={"mb": 300}).result
    assert result.nbytes == 300 << 20
    assert result.sum() == 300 * 131072


def test_a_result_of_a_class_of_the_program_file() -> None:
    result = perdure.run(f"{RESULTS}:own_class", ranks=2, spares=0).result
    assert (result.value, result.table) == (1.5, {"a": 1})


def test_an_error_whose_text_cannot_be_had() -> None:
    with pytest.raises(ProgramFailed, match="Mute"):
        perdure.run(f"{RESULTS}:mute", ranks=2, spares=0)
