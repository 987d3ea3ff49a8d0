"""Copies past the cache are copies."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from perdure.coding import copying

MIB = 1 << 20


@pytest.fixture(params=["compiled", "NumPy"])
def _how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "NumPy":
        monkeypatch.setattr(copying._Compiled, "function", None)
    else:
        assert copying.prepare(), "the tests' environment has llvmlite"


@pytest.mark.usefixtures("_how")
@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 255, 256, 257, 320, 4096, MIB + 77])
@pytest.mark.parametrize(("target_offset", "source_offset"), [(0, 0), (1, 0), (0, 3), (63, 64), (17, 5)])
def test_every_length_and_alignment(nbytes: int, target_offset: int, source_offset: int) -> None:
    everywhere = np.random.default_rng(nbytes).integers(0, 256, nbytes + 300, np.uint8)
    source = everywhere[source_offset : source_offset + nbytes]
    room = np.full(nbytes + 300, 7, np.uint8)
    copy = copying.StreamingCopy(room[target_offset : target_offset + nbytes], source).copy
    for start in range(0, nbytes, 700):
        copy(start, min(start + 700, nbytes))
    assert (room[target_offset : target_offset + nbytes] == source).all()
    assert (room[:target_offset] == 7).all()
    assert (room[target_offset + nbytes :] == 7).all()


@pytest.mark.usefixtures("_how")
def test_shared_memory_is_seen_through_another_mapping() -> None:
    mapped = mmap.mmap(-1, 2 * MIB)
    source = np.arange(2 * MIB, dtype=np.uint8)
    copying.StreamingCopy(np.frombuffer(mapped, np.uint8), source).copy(0, 2 * MIB)
    assert mapped[:] == source.tobytes()


def test_lengths_must_agree() -> None:
    copying.prepare()
    with pytest.raises(ValueError, match="one length"):
        copying.StreamingCopy(np.zeros(1024, np.uint8), np.zeros(1023, np.uint8))
