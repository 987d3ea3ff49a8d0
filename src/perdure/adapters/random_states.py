"""The random sources that a program may draw from: its own, and the global ones of `random`, NumPy and torch (rule P3)."""

from __future__ import annotations

import ctypes
import random
import sys
from typing import Any, Final

import numpy as np

_TWISTER_BYTES: Final = 4 * 624 + 4
"""`mt19937_state` of NumPy: 624 words, and the position of the next one."""


def taken(rng: np.random.Generator) -> dict[str, Any]:
    """Return `rng` itself, whose spawned children count too, and the states of all global sources that this process has loaded."""
    states: dict[str, Any] = {"rng": rng, "random": random.getstate(), "numpy": np.random.get_state()}
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy()
    return states


def put_back(states: dict[str, Any]) -> None:
    """Set the global sources from what `taken` returned; `rng` is a part of it that was restored in place."""
    random.setstate(states["random"])
    np.random.set_state(states["numpy"])
    if "torch" in states and (torch := sys.modules.get("torch")):
        torch.set_rng_state(torch.from_numpy(states["torch"]))


def fingerprint(rng: np.random.Generator) -> tuple[Any, ...]:
    """Return what differs from that of an earlier commit if any source was drawn from, was set, or spawned children in between.

    Taking all states apart costs 150 us, most of it for NumPy's global one. So the memory of the global sources is compared, which a draw
    changes: CPython keeps the whole state of one in its object, but for the words of NumPy's Mersenne twister, which lie elsewhere, and
    for `gauss_next`, which is an attribute.
    """
    bits: Any = rng.bit_generator
    torch = sys.modules.get("torch")
    return (
        bits.state, bits.seed_seq.n_children_spawned, _of_python(), _of_numpy(),
        torch.get_rng_state().numpy().tobytes() if torch else b"",
    )  # fmt: skip


def _of_python() -> tuple[Any, ...]:
    source: Any = getattr(random.getstate, "__self__", None)
    if type(source) is not random.Random:  # the program has put a function of its own there
        return random.getstate()
    return _memory(source), getattr(source, "gauss_next")  # noqa: B009 - its type does not name it


def _of_numpy() -> tuple[Any, ...]:
    source: Any = getattr(np.random.get_state, "__self__", None)
    if type(source) is not np.random.RandomState or type(source._bit_generator) is not np.random.MT19937:
        return (repr(np.random.get_state(legacy=False)),)  # the program has chosen another one (`np.random.set_bit_generator`)
    return _memory(source), ctypes.string_at(source._bit_generator.ctypes.state_address, _TWISTER_BYTES)


def _memory(source: object) -> bytes:
    """Return the bytes of an object behind its reference count and type."""
    head = object.__basicsize__
    return ctypes.string_at(id(source) + head, type(source).__basicsize__ - head)
