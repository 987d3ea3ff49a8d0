"""The random sources that a program may draw from: its own, and the global ones of `random`, NumPy and torch (rule P3)."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


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


def fingerprint(states: dict[str, Any]) -> tuple[Any, ...]:
    """Return what differs from that of an earlier commit if any source was drawn from, or spawned children, in between."""
    bits = states["rng"].bit_generator
    name, key, *rest = states["numpy"]
    torch = states["torch"].tobytes() if "torch" in states else b""
    return bits.state, bits.seed_seq.n_children_spawned, states["random"], name, key.tobytes(), rest, torch
