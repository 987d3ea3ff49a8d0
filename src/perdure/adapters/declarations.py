"""Checks of declared values, and the errors for values that cannot be declared."""

from __future__ import annotations

from typing import Any

import numpy as np

from perdure.errors import UsageError


def plain(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype. UsageError: its elements are Python objects."""
    if dtype.hasobject:
        raise UsageError(f"the item {name!r} is an array of Python objects: declare a list instead")
    return dtype


def what_to_write(name: str, value: Any) -> str:
    """Return the error for a value that is neither an array nor an object that can change."""
    kind = type(value).__name__
    if type(value).__module__.partition(".")[0] == "torch":
        return f"the item {name!r} is a torch {kind}: torch is not supported yet; declare value.numpy()"
    instead = "declare an array, or a dict, list or dataclass that holds it"
    if isinstance(value, np.generic | int | float | complex | bool):
        instead = f"declare np.array({value!r}), or {{'value': {value!r}}}"
    return f"the item {name!r} is a {kind}, which cannot change in place: {instead}"


def gigabytes(nbytes: int) -> str:
    """Return a size in words."""
    return f"{nbytes / 1e9:.1f} GB"


def split(shape: tuple[int, ...], axis: int, size: int, rank: int) -> tuple[slice, ...]:
    """The block of `rank` when an array is split along `axis` as `numpy.array_split` does."""
    rows, extra = divmod(shape[axis], size)
    start = rank * rows + min(rank, extra)
    stop = start + rows + (rank < extra)
    return tuple(slice(start, stop) if dim == axis else slice(0, length) for dim, length in enumerate(shape))
