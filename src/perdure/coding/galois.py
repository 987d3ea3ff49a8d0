"""Arithmetic over GF(2^8) with the polynomial 0x11d, on integers and small matrices (H. P. Anvin, The mathematics of RAID-6)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
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


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution for lost chunks: fold parity rows over the present data, add the present parity, multiply by a matrix.

    Attributes:
        rows: the numbers of the parity rows, ascending.
        matrix: (wanted, rows); None stands for the identity.
    """

    rows: tuple[int, ...]
    matrix: Matrix | None


@lru_cache(maxsize=1024)
def solve(d: int, m: int, present: tuple[int, ...], wanted: tuple[int, ...]) -> Solution:
    """The way from exactly d code positions to others that are not among them."""
    parity = generator(d, m)[d:]
    missing = [t for t in range(d) if t not in present]
    known = [position - d for position in present if position >= d]
    rows = tuple(sorted({*known, *(position - d for position in wanted if position >= d)}))
    back = invert([[parity[p][t] for t in missing] for p in known])
    matrix: Matrix = []
    for position in wanted:
        if position < d:
            of_known = dict(zip(known, back[missing.index(position)], strict=True))
        else:
            (line,) = product([[parity[position - d][t] for t in missing]], back) if missing else ([],)
            of_known = {**dict(zip(known, line, strict=True)), position - d: 1}
        matrix.append([of_known.get(p, 0) for p in rows])
    identity = [[int(row == column) for column in range(len(rows))] for row in range(len(rows))]
    return Solution(rows, None if matrix == identity else matrix)


def row_sets(m: int) -> Iterator[tuple[int, ...]]:
    """The exponents of every set of rows that encoding and decoding with m parity chunks may fold."""
    for count in range(1, m + 1):
        yield from itertools.combinations(EXPONENTS[m], count)
