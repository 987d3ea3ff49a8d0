"""Every pattern of up to m losses must be decodable, byte for byte, for chunks of any length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from perdure.coding import Codec, galois
from perdure.errors import ConfigError


def peasant(a: int, b: int) -> int:
    """Multiplication in GF(2^8) by shifts alone: an oracle that shares nothing with the tables under test."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = (a << 1) ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return result


def test_the_field_agrees_with_multiplication_by_shifts() -> None:
    assert all(galois.multiply(a, b) == peasant(a, b) for a in range(256) for b in range(256))


@pytest.mark.parametrize("length", [0, 1, 7, 64, 1001])
@pytest.mark.parametrize(("n", "m"), [(n, m) for n in range(1, 9) for m in range(min(4, n))])
def test_all_loss_patterns(n: int, m: int, length: int) -> None:
    rng = np.random.default_rng(n * 100 + m * 10 + length)
    codec = Codec(n, m)
    sources = [rng.integers(0, 256, max(0, length - 3 * t), np.uint8) for t in range(n - m)]
    parities = [np.empty(length, np.uint8) for _ in range(m)]
    codec.encode(sources, parities)
    padded = [np.concatenate([source, np.zeros(length - len(source), np.uint8)]) for source in sources]
    chunks = [*padded, *parities]
    for count in range(m + 1):
        for lost in itertools.combinations(range(n), count):
            alive = [position for position in range(n) if position not in lost][: codec.d]
            wanted = {position: np.empty(length, np.uint8) for position in lost}
            codec.decode({position: (sources[position] if position < codec.d else chunks[position]) for position in alive}, wanted)
            for position, found in wanted.items():
                np.testing.assert_array_equal(found, chunks[position])


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
