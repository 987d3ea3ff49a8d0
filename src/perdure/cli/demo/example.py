"""The tsunami program of the demo, from the wheel or from the checkout from which this package is installed."""

from __future__ import annotations

import importlib
import pathlib
import sys
from typing import Any

from perdure.errors import ConfigError

PACKAGE = pathlib.Path(__file__).parents[2]
PLACES = (PACKAGE / "_examples" / "tsunami", PACKAGE.parents[1] / "examples" / "tsunami")
"""The first as `pyproject.toml` puts it into a wheel."""


def directory() -> pathlib.Path:
    """The directory of the example. ConfigError when it is in neither place."""
    for place in PLACES:
        if (place / "tsunami.py").is_file() and (place / "etopo_10min.npz").is_file():
            return place
    raise ConfigError(f"the demo's program is missing: neither {PLACES[0]} nor {PLACES[1]} exists; install perdure again")


def module(name: str) -> Any:
    """One of the example's modules. They name each other without a package, so their directory goes to the search path."""
    place = str(directory())
    if place not in sys.path:
        sys.path.append(place)
    return importlib.import_module(name)


def supersteps(coarsen: int, hours: float) -> int:
    """Return the number of supersteps of the program. ConfigError: the program does not take these arguments."""
    solver, program = module("tsunami_solver"), module("tsunami")
    if coarsen not in solver.COARSENINGS or not hours > 0:
        raise ConfigError(f"--coarsen is one of {', '.join(map(str, solver.COARSENINGS))}, and --hours is above 0")
    return int(program.schedule(solver.load_floor(coarsen), hours, program.STEPS_PER_SUPERSTEP)[1])
