"""Where was a hung rank? Its process writes the stacks of its threads behind its progress page when its agent asks for them by a signal.

That needs nothing of the rank's Python code: `faulthandler` writes from within the signal, whoever holds the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import re
import signal
from typing import Final

from perdure.runtime.program_threads import PACKAGE

STACK_SIGNAL: Final = signal.SIGRTMAX - 2
"""A real-time signal, which programs hardly use; arbitrary among these."""
STACK_AT: Final = mmap.PAGESIZE
"""Where the stacks begin in the file of the page."""
LONGEST: Final = 64 << 10
"""Of all stacks, in bytes; arbitrary."""
FRAMES_MAX: Final = 6
"""The innermost frames that an error names; arbitrary."""
PATIENCE_S: Final = 1.0
"""How long the process may take to write; arbitrary, and usually it is milliseconds."""
_FRAME: Final = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def offer_stacks(fd: int) -> None:
    """In the worker: write all stacks to the file of the page when `STACK_SIGNAL` comes."""
    os.lseek(fd, STACK_AT, os.SEEK_SET)
    faulthandler.register(STACK_SIGNAL, file=fd, all_threads=True)


class StackRequest:
    """In the agent: a question to a process that is about to be killed. `fd`: of its page, owned from now on."""

    def __init__(self, pid: int, fd: int, now: float) -> None:
        self._fd, self._deadline, self._seen = fd, now + PATIENCE_S, 0
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, STACK_SIGNAL)

    def is_answered(self, now: float) -> bool:
        """Whether all is written: nothing was added since the last call; or the process does not answer."""
        seen, self._seen = self._seen, os.fstat(self._fd).st_size
        return now > self._deadline or (STACK_AT < self._seen == seen)

    def take(self) -> str:
        """Return the stacks, and close the file."""
        text = os.pread(self._fd, LONGEST, STACK_AT).decode(errors="replace")
        os.close(self._fd)
        return text


def in_brief(stacks: str) -> str:
    """Return the innermost frames of the program in the main thread, which comes last, in one line; empty if there are none."""
    main = re.split(r"^(?:Current t|T)hread .*$", stacks, flags=re.MULTILINE)[-1]
    frames = [f"{name} ({os.path.basename(file)}:{line})" for file, line, name in _FRAME.findall(main) if not file.startswith(PACKAGE)]
    return " < ".join(frames[:FRAMES_MAX])
