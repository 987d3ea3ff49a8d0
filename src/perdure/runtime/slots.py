"""A worker's mappings of its two slots: made once, if possible before the worker has a rank, for mapping costs page faults."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from perdure.mapping import Bytes
from perdure.runtime.memory import grow


class Slots:
    """Mappings by file, whatever descriptor it is known by. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._maps: dict[int, Bytes] = {}
        self._locks: dict[int, threading.Lock] = {}

    def prepare(self, fds: Iterable[int]) -> None:
        """Maps what there is of these files, and lets none grow: that may be another process's business at this moment.

        On a thread of its own, for the process may be needed before: then `view` waits for the one file that it needs.
        """
        threading.Thread(target=self._prepare, args=([os.dup(fd) for fd in fds],), name="slots", daemon=True).start()

    def _prepare(self, fds: list[int]) -> None:
        for fd in fds:
            if os.fstat(fd).st_size:
                self.view(fd, 0)
            os.close(fd)

    def view(self, fd: int, nbytes: int) -> Bytes:
        """The memory file as (>= nbytes,) uint8, all its pages mapped; it grows if need be. ConfigError when there is no memory."""
        file = os.fstat(fd).st_ino
        with self._locks.setdefault(file, threading.Lock()):
            mapped = self._maps.get(file)
            if mapped is None or len(mapped) < nbytes:
                mapped = self._maps[file] = grow(fd, nbytes)
        return mapped
