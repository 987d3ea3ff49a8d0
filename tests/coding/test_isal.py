"""Intel's ISA-L, an independent implementation of the same field, as an oracle: it comes with pyeclib's wheel."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from perdure.coding import Codec

Bytes = NDArray[np.uint8]
BASES = {1: [1], 2: [1, 2], 3: [-2, 1, 2]}
"""Of the rows of parity, by m: row p is the powers of its base; -2 stands for the inverse of 2."""


@pytest.fixture(scope="module")
def isal() -> ctypes.CDLL:
    found = importlib.util.find_spec("pyeclib")
    if found is None or found.origin is None:
        pytest.skip("there is no wheel of pyeclib for this machine, which would bring ISA-L")
    libraries = sorted(pathlib.Path(found.origin).parents[1].glob("pyeclib.libs/libisal*"))
    if not libraries:
        pytest.skip("this pyeclib was built without ISA-L of its own")
    library = ctypes.CDLL(str(libraries[0]))
    for name in ("gf_mul", "gf_inv"):
        getattr(library, name).restype = ctypes.c_ubyte
    return library


def pointers(chunks: Sequence[Bytes]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(chunks))(*(chunk.ctypes.data for chunk in chunks))


def parity_by(isal: ctypes.CDLL, sources: Sequence[Bytes], m: int) -> list[Bytes]:
    rows = []
    for base in BASES[m]:
        factor = isal.gf_inv(2) if base < 0 else base
        row = [1]
        while len(row) < len(sources):
            row.append(isal.gf_mul(row[-1], factor))
        rows += row
    tables = (ctypes.c_ubyte * (32 * len(sources) * m))()
    isal.ec_init_tables(len(sources), m, (ctypes.c_ubyte * len(rows))(*rows), tables)
    found = [np.empty_like(sources[0]) for _ in range(m)]
    isal.ec_encode_data(len(sources[0]), len(sources), m, tables, pointers(sources), pointers(found))
    return found


@pytest.mark.parametrize("length", [1, 63, 4096, 100_003])
@pytest.mark.parametrize(("d", "m"), [(d, m) for d in (1, 2, 4, 7, 32) for m in (1, 2, 3)])
def test_parity_is_what_it_computes_and_any_losses_come_back_from_that(isal: ctypes.CDLL, d: int, m: int, length: int) -> None:
    rng = np.random.default_rng(d * 100_000 + length)
    sources = [rng.integers(0, 256, length, np.uint8) for _ in range(d)]
    theirs = parity_by(isal, sources, m)
    codec, ours = Codec(d + m, m), [np.empty(length, np.uint8) for _ in range(m)]
    codec.encode(sources, ours)
    for p in range(m):
        np.testing.assert_array_equal(ours[p], theirs[p])
    chunks = [*sources, *theirs]
    patterns = list(itertools.combinations(range(d + m), m))
    for lost in patterns if len(patterns) < 40 else patterns[:: len(patterns) // 20]:
        wanted = {position: np.empty(length, np.uint8) for position in lost}
        codec.decode({position: chunk for position, chunk in enumerate(chunks) if position not in lost}, wanted)
        for position in lost:
            np.testing.assert_array_equal(wanted[position], chunks[position])
