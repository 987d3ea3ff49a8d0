"""The random sources that a program may draw from: its own, and the global ones of `random`, NumPy and torch (rule P3)."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


def taken(rng: np.random.Generator) -> dict[str, Any]:
    """The states of `rng` and of all global sources that this process has loaded."""
    states: dict[str, Any] = {"rng": rng.bit_generator.state, "random": random.getstate(), "numpy": np.random.get_state()}
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy()
    return states


def put_back(states: dict[str, Any], rng: np.random.Generator) -> None:
    """The inverse of `taken`."""
    rng.bit_generator.state = states["rng"]
    random.setstate(states["random"])
    np.random.set_state(states["numpy"])
    if "torch" in states and (torch := sys.modules.get("torch")):
        torch.set_rng_state(torch.from_numpy(states["torch"]))
