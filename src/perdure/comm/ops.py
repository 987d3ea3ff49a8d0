"""Reduction operations. Each combines two operands, the one of the lower ranks first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Op:
    """A name, and the combination of two arrays of equal shape into a new one of the same dtype."""

    name: str
    combine: Callable[[Array, Array], Array]

    def __call__(self, lower: Any, higher: Any) -> Any:
        """Combines two objects: arrays element by element, numbers as such."""
        result = self.combine(np.asarray(lower), np.asarray(higher))
        if isinstance(lower, np.ndarray):
            return result
        return result.item() if isinstance(lower, bool | int | float | complex) else result[()]


def _logical(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda lower, higher: function(lower, higher).astype(lower.dtype)


SUM: Final = Op("SUM", lambda lower, higher: np.add(lower, higher))
PROD: Final = Op("PROD", lambda lower, higher: np.multiply(lower, higher))
MIN: Final = Op("MIN", lambda lower, higher: np.minimum(lower, higher))
MAX: Final = Op("MAX", lambda lower, higher: np.maximum(lower, higher))
LAND: Final = Op("LAND", _logical(np.logical_and))
LOR: Final = Op("LOR", _logical(np.logical_or))
BAND: Final = Op("BAND", lambda lower, higher: np.bitwise_and(lower, higher))
BOR: Final = Op("BOR", lambda lower, higher: np.bitwise_or(lower, higher))
BXOR: Final = Op("BXOR", lambda lower, higher: np.bitwise_xor(lower, higher))
