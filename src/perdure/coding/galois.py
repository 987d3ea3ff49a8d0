"""Arithmetic over GF(2^8) with the polynomial 0x11d, on integers and small matrices (H. P. Anvin, The mathematics of RAID-6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Matrix = list[list[int]]

EXPONENTS: Final[dict[int, tuple[int, ...]]] = {0: (), 1: (0,), 2: (0, 1), 3: (-1, 0, 1)}
"""Row p of the generator is (2^e)^t for its exponent e. Checked to be MDS beyond 32 data chunks."""


def _tables() -> tuple[list[int], list[int]]:
    powers, logs = [0] * 510, [0] * 256
    x = 1
    for i in range(255):
        powers[i] = powers[i + 255] = x
        logs[x] = i
        x = (x << 1) ^ (0x11D if x & 0x80 else 0)
    return powers, logs


POWERS, LOGS = _tables()


def multiply(a: int, b: int) -> int:
    """a times b."""
    return POWERS[LOGS[a] + LOGS[b]] if a and b else 0


def inverse(a: int) -> int:
    """1 / a, for a other than 0."""
    return POWERS[255 - LOGS[a]]


def generator(d: int, m: int) -> Matrix:
    """(d + m, d): what each code position is of the d data chunks; the identity above, the parity rows below."""
    identity = [[int(row == column) for column in range(d)] for row in range(d)]
    return identity + [[POWERS[(exponent * t) % 255] for t in range(d)] for exponent in EXPONENTS[m]]


def invert(matrix: Sequence[Sequence[int]]) -> Matrix:
    """The inverse, by Gauss and Jordan. ZeroDivisionError when there is none."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if rows[row][column]), None)
        if pivot is None:
            raise ZeroDivisionError("a singular matrix")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = inverse(rows[column][column])
        rows[column] = [multiply(scale, value) for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [a ^ multiply(factor, b) for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[size:] for row in rows]


def product(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> Matrix:
    """Matrix product."""
    columns = list(zip(*right, strict=True))
    result = []
    for row in left:
        line = []
        for column in columns:
            total = 0
            for a, b in zip(row, column, strict=True):
                total ^= multiply(a, b)
            line.append(total)
        result.append(line)
    return result
