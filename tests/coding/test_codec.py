"""Every pattern of up to m losses must be decodable, byte for byte, for chunks of any length, by every kernel alike."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from perdure.coding import Codec, galois, kernels
from perdure.coding._llvm import LlvmKernel
from perdure.coding._llvm_ir import VectorShape
from perdure.coding._numpy import TILE_BYTES, NumpyKernel
from perdure.coding.kernels import Kernel
from perdure.errors import ConfigError

Bytes = NDArray[np.uint8]


@functools.cache
def kernel(name: str) -> Kernel:
    """`shifts` is what a processor gets for which we have no lookup instruction."""
    match name:
        case "numpy":
            return NumpyKernel()
        case "llvm":
            return LlvmKernel()
        case _:
            return LlvmKernel(VectorShape(lanes=16, unroll=2, shuffle=""))


KERNELS = ["numpy", "llvm", "shifts"]


def peasant(a: int, b: int) -> int:
    """Multiplication in GF(2^8) by shifts alone: an oracle that shares nothing with the tables under test."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = (a << 1) ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return result


@functools.cache
def oracle_row(factor: int) -> Bytes:
    """(256,) uint8: the products of one factor."""
    return np.array([peasant(factor, value) for value in range(256)], np.uint8)


def oracle_parity(sources: list[Bytes], m: int, length: int) -> list[Bytes]:
    """Parity by the definition: the sum of source t times (2^e)^t, with 1/2 = 0x8e."""
    base = {0: 1, 1: 2, -1: 0x8E}
    exponents = {0: [], 1: [0], 2: [0, 1], 3: [-1, 0, 1]}[m]
    parities = []
    for exponent in exponents:
        total, factor = np.zeros(length, np.uint8), 1
        for source in sources:
            total[: len(source)] ^= oracle_row(factor)[source]
            factor = peasant(factor, base[exponent])
        parities.append(total)
    return parities


def random_sources(d: int, length: int, shorter_by: int, seed: int) -> list[Bytes]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, max(0, length - shorter_by * t), np.uint8) for t in range(d)]


def check_all_losses(codec: Codec, sources: list[Bytes], length: int) -> None:
    parities = [np.full(length, 0xEE, np.uint8) for _ in range(codec.m)]
    codec.encode(sources, parities)
    for found, expected in zip(parities, oracle_parity(sources, codec.m, length), strict=True):
        np.testing.assert_array_equal(found, expected)
    chunks = [np.concatenate([source, np.zeros(length - len(source), np.uint8)]) for source in sources] + parities
    for count in range(codec.m + 1):
        for lost in itertools.combinations(range(codec.n), count):
            left = [position for position in range(codec.n) if position not in lost]
            for alive in {tuple(left[: codec.d]), tuple(left[-codec.d :])}:
                wanted = {position: np.full(length, 0xEE, np.uint8) for position in lost}
                codec.decode({position: (sources + parities)[position] for position in alive}, wanted)
                for position, found in wanted.items():
                    np.testing.assert_array_equal(found, chunks[position], err_msg=f"{lost} from {alive}")


def test_the_field_agrees_with_multiplication_by_shifts() -> None:
    assert all(galois.multiply(a, b) == peasant(a, b) for a in range(256) for b in range(256))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("length", [0, 1, 7, 64, 1001])
@pytest.mark.parametrize(("n", "m"), [(n, m) for n in range(1, 9) for m in range(min(4, n))])
def test_all_loss_patterns(n: int, m: int, length: int, name: str) -> None:
    check_all_losses(Codec(n, m, kernel(name)), random_sources(n - m, length, 3, n * 100 + m * 10 + length), length)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_chunks_of_several_tiles_of_very_different_lengths(m: int, name: str) -> None:
    """A short last chunk ends in the middle of a tile, or tiles before the others."""
    length = 2 * TILE_BYTES + 777
    check_all_losses(Codec(m + 3, m, kernel(name)), random_sources(3, length, TILE_BYTES - 5, m), length)


@pytest.mark.parametrize("name", KERNELS)
def test_views_at_odd_addresses_and_their_surroundings(name: str) -> None:
    """A store past the end of a chunk would corrupt the chunk beside it."""
    codec = Codec(5, 2, kernel(name))
    room = np.random.default_rng(5).integers(0, 256, 16_000, np.uint8)
    sources = [room[offset : offset + 2_003] for offset in (1, 3_010, 6_025)]
    around = np.full(6_000, 0xAB, np.uint8)
    parities = [around[33 : 33 + 2_003], around[3_039 : 3_039 + 2_003]]
    codec.encode(sources, parities)
    for found, expected in zip(parities, oracle_parity(sources, 2, 2_003), strict=True):
        np.testing.assert_array_equal(found, expected)
    outside = np.ones(len(around), bool)
    outside[33 : 33 + 2_003] = outside[3_039 : 3_039 + 2_003] = False
    assert (around[outside] == 0xAB).all()


def test_large_aligned_outputs_go_past_the_cache_and_are_the_same_bytes() -> None:
    """The streaming stores of the compiled kernel are used from 8 MiB on only."""
    length = (8 << 20) + 4096
    sources = random_sources(3, length, 5, 9)
    streamed, plain = np.empty(length + 128, np.uint8), np.empty(length, np.uint8)
    start = -streamed.ctypes.data % 64
    Codec(4, 1, kernel("llvm")).encode(sources, [streamed[start : start + length]])
    Codec(4, 1, kernel("numpy")).encode(sources, [plain])
    np.testing.assert_array_equal(streamed[start : start + length], plain)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_kernels_agree_on_any_code_any_losses_and_any_lengths(data: st.DataObject) -> None:
    """Nodes with and without compiled kernels share a job, so a single differing byte is a wrong rebuild."""
    m = data.draw(st.integers(1, 3))
    d = data.draw(st.integers(1, 32))
    lengths = data.draw(st.lists(st.integers(0, 700), min_size=d, max_size=d))
    length = max(lengths)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sources = [rng.integers(0, 256, size, np.uint8) for size in lengths]
    order = data.draw(st.permutations(range(d + m)))
    wanted_count = data.draw(st.integers(0, m))
    results = []
    for name in KERNELS:
        codec = Codec(d + m, m, kernel(name))
        parities = [np.empty(length, np.uint8) for _ in range(m)]
        codec.encode(sources, parities)
        chunks = [*sources, *parities]
        wanted = {position: np.empty(length, np.uint8) for position in order[:wanted_count]}
        codec.decode({position: chunks[position] for position in order[m:]}, wanted)
        for position, found in wanted.items():
            np.testing.assert_array_equal(found[: len(chunks[position])], chunks[position])
            assert not found[len(chunks[position]) :].any()
        results.append([parity.tobytes() for parity in parities])
    assert results[0] == results[1] == results[2]
    assert results[0] == [parity.tobytes() for parity in oracle_parity(sources, m, length)]


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_code_is_mds_up_to_32_data_chunks(m: int) -> None:
    """A singular minor would be a pattern of losses that parity promises to survive and does not."""
    parity = galois.generator(32, m)[32:]
    for size in range(1, m + 1):
        for rows in itertools.combinations(range(m), size):
            for columns in itertools.combinations(range(32), size):
                galois.invert([[parity[row][column] for column in columns] for row in rows])


@pytest.mark.parametrize(("n", "m"), [(4, 4), (4, 5), (36, 3)])
def test_impossible_codes_are_refused(n: int, m: int) -> None:
    with pytest.raises(ConfigError):
        Codec(n, m)


def test_one_parity_chunk_needs_no_compiled_kernel() -> None:
    """An agent at one parity chunk must not pay the import."""
    assert kernels.warm(1).startswith("NumPy") or kernels.current().name.startswith("LLVM")


def test_a_node_without_llvmlite_uses_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "perdure.coding._llvm", None)
    assert kernels.compiled_kernel() is None
