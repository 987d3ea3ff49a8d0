"""What is one for a whole process, or for each of the threads that run a rank of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Scoped(Generic[Value]):
    """A value that is there while a block runs."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._of_process: Value | None = None

    def get(self) -> Value | None:
        """The thread's own, or else the process's; None: there is neither."""
        own: Value | None = getattr(self._of_thread, "value", None)
        return self._of_process if own is None else own

    @contextlib.contextmanager
    def bound(self, value: Value, *, to_thread: bool) -> Iterator[None]:
        """While the block runs, `get` answers it: in this process, or only in this thread (and then not in threads that it starts)."""
        if to_thread:
            self._of_thread.value = value
        else:
            self._of_process = value
        try:
            yield
        finally:
            if to_thread:
                self._of_thread.value = None
            else:
                self._of_process = None
