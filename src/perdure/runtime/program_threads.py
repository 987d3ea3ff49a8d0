"""Which threads of a process are the program's, and which of them may still send a message?"""

from __future__ import annotations

import concurrent.futures.thread
import os
import site
import sys
import sysconfig
import threading
import types
from collections.abc import Collection
from typing import Final

from perdure.errors import GenerationRevoked

PACKAGE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep
_LIBRARIES: Final = tuple({path + os.sep for path in (*sysconfig.get_paths().values(), *site.getsitepackages())})
_WAITS: Final = frozenset(("wait", "join", "_wait_for_tstate_lock"))
"""Functions of `threading` in which a thread waits for another one; `timeout` is None or -1 if it waits without a limit."""


def is_of_the_program(thread: threading.Thread) -> bool:
    """Return whether a thread may go on computing with what the generation left: not a thread of C code, nor a daemon thread of a library.

    A daemon thread that has a line of the program on its stack belongs to the program, whoever started it.
    """
    if isinstance(thread, threading._DummyThread):
        return False
    if not thread.daemon:
        return True
    frame = _top(thread)
    while frame is not None:
        if not frame.f_code.co_filename.startswith((*_LIBRARIES, PACKAGE, "<frozen ")):
            return True
        frame = frame.f_back
    return False


def any_may_send(waiting: Collection[int], others: Collection[threading.Thread] = ()) -> bool:
    """Return whether a thread of the program may send a message by itself.

    Args:
        waiting: the identifiers of the threads that wait for a message.
        others: threads that do not count.
    """
    threads = [thread for thread in threading.enumerate() if thread.ident not in waiting and thread not in others]
    return any(is_of_the_program(thread) and not _waits_for_a_thread(thread) for thread in threads)


def let_revoked_threads_end() -> None:
    """A thread of the program that `GenerationRevoked` ends prints nothing."""
    usual = threading.excepthook

    def hook(end: threading.ExceptHookArgs) -> None:
        if not issubclass(end.exc_type, GenerationRevoked):
            usual(end)

    threading.excepthook = hook


def _waits_for_a_thread(thread: threading.Thread) -> bool:
    """Does it wait, without a limit, for another thread of this process, or for work of an executor?"""
    frame = _top(thread)
    if frame is None:
        return False
    file, name = frame.f_code.co_filename, frame.f_code.co_name
    if file == concurrent.futures.thread.__file__:
        return name == "_worker"
    return file == threading.__file__ and name in _WAITS and frame.f_locals.get("timeout") in (None, -1)


def _top(thread: threading.Thread) -> types.FrameType | None:
    return sys._current_frames().get(thread.ident or 0)
