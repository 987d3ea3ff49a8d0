"""Conversion of the values of programs and events to values that every reader of JSON accepts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

LONGEST_BITS = 14_000
"""The largest integer, in bits, that is written as decimal digits: Python refuses more than 4,300 digits by default. Longer ones are
written as hexadecimal text."""
_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it. A float that is no number becomes its name ("NaN", "Infinity"), what JSON lacks its `repr`."""
    try:
        return _plain(value)
    except RecursionError:  # too deep, or a part of itself
        return _described(value)


def text_of(value: Any) -> str:
    """Return `str(value)`; where that fails, which must not lose a finished job's result, the type and why."""
    try:
        return str(value)
    except Exception as error:  # the program's own method, or an integer of more digits than Python writes
        return f"<{type(value).__name__}: its repr failed: {error}>"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, int) and value.bit_length() > LONGEST_BITS:
        return hex(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _NAMES.get(value, "NaN")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return _described(value)


def _described(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # as for `text_of`
        return text_of(value)


def _key(key: Any) -> str:
    """Return the key as `json` writes it: `None`, truth values and numbers by their JSON text, others by their `repr`."""
    return {None: "null", True: "true", False: "false"}[key] if key is None or isinstance(key, bool) else str(_plain(key))
