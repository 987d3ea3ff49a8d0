"""A worker's mappings of its two slots: made once, if possible before the worker has a rank, for mapping costs page faults."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable

import numpy as np

from perdure.runtime.memory import grow
from perdure.runtime.session import Bytes


class Slots:
    """Mappings by file, whatever descriptor it is known by."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def prepare(self, fds: Iterable[int]) -> None:
        """Maps what there is of these files, and lets none grow: that may be another process's business at this moment."""
        for fd in fds:
            if os.fstat(fd).st_size:
                self.view(fd, 0)

    def view(self, fd: int, nbytes: int) -> Bytes:
        """The memory file as (>= nbytes,) uint8, all its pages mapped; it grows if need be. ConfigError when there is no memory."""
        file = os.fstat(fd).st_ino
        mapped = self._maps.get(file)
        if mapped is None or len(mapped) < nbytes:
            mapped = self._maps[file] = grow(fd, nbytes)
        return np.frombuffer(mapped, np.uint8)
