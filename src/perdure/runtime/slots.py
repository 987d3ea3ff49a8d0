"""A worker's mappings of its two slots: made once, if possible before the worker has a rank, for mapping costs page faults."""

from __future__ import annotations

import mmap
import os

import numpy as np

from perdure.runtime.session import Bytes
from perdure.runtime.vault import grow


class Slots:
    """Mappings by file, whatever descriptor it is known by."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def view(self, fd: int, nbytes: int = 0) -> Bytes:
        """The memory file as (>= nbytes,) uint8, all its pages mapped; it grows if need be. ConfigError when there is no memory."""
        file = os.fstat(fd).st_ino
        mapped = self._maps.get(file)
        if mapped is None or len(mapped) < nbytes:
            mapped = self._maps[file] = grow(fd, nbytes)
        return np.frombuffer(mapped, np.uint8)
