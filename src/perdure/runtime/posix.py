"""The few things of Linux that Python has no function for."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import pathlib
import signal
import threading
import weakref
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
HUGE_BYTES: Final = 2 << 20
"""A huge page."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_PROT_NONE: Final = 0
_MAP_FIXED: Final = 0x10
_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_PR_SET_PDEATHSIG: Final = 1
_MADV_POPULATE_WRITE: Final = 23
_MADV_COLLAPSE: Final = 25
_POPULATE_BYTES: Final = 16 << 20
"""At most 10 ms (measured: 4)."""
_PF_EXITING: Final = 0x4
_FLAGS, _EXIT_CODE = 6, 49
"""Of /proc/PID/stat, counted from the state."""


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when `parent` ends; ends at once when it has ended already (rule W2, T7)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def stand_back() -> None:
    """Lets others have the processor first from now on: this thread gets a tenth of what each of them does."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, os.getpid()) + 10)


def is_stopped(pid: int) -> bool:
    """Is the process stopped by a signal (state T)? False when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def descendants(ancestor: int) -> dict[int, int]:
    """The living processes below one: process id -> how far below, 1 for its children."""
    parents: dict[int, int] = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            if state not in "ZX":
                parents[int(entry.name)] = int(parent)
    found: dict[int, int] = {}
    level, depth = {ancestor}, 1
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found |= dict.fromkeys(level, depth)
        depth += 1
    return found


def map_file(fd: int, nbytes: int, *, writable: bool = True) -> Bytes:
    """(nbytes,) uint8 shared with the memory file, unmapped when nobody holds it or a part of it; the file may be shorter until it is read.

    It begins where a huge page can, which `mmap.mmap` does not see to. Raises OSError.
    """
    room = _map(None, nbytes + HUGE_BYTES, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    start = -(-room // HUGE_BYTES) * HUGE_BYTES
    protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    try:
        _map(start, nbytes, protection, mmap.MAP_SHARED | _MAP_FIXED, fd)
    except OSError:
        _LIBC.munmap(room, nbytes + HUGE_BYTES)
        raise
    memory = (ctypes.c_char * nbytes).from_address(start)
    weakref.finalize(memory, _LIBC.munmap, room, nbytes + HUGE_BYTES).atexit = False
    mapped = np.frombuffer(memoryview(memory), np.uint8)
    mapped.flags.writeable = writable
    return mapped


def _map(start: int | None, nbytes: int, protection: int, flags: int, fd: int) -> int:
    found = _LIBC.mmap(start, nbytes, protection, flags, fd, 0)
    if found == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found or 0)


def populate(mapped: Bytes) -> None:
    """Maps all pages of a writable mapping, without holding the interpreter up. A kernel before 5.14 does it page by page later.

    In steps: meanwhile no other thread of the process can map memory.
    """
    for start in range(0, len(mapped), _POPULATE_BYTES):
        step = min(_POPULATE_BYTES, len(mapped) - start)
        _LIBC.madvise(mapped.ctypes.data + start, step, _MADV_POPULATE_WRITE)


def collapse(mapped: Bytes) -> bool:
    """Makes huge pages of mapped memory, (a multiple of HUGE_BYTES,) uint8 that begins where one can; each must have one page at least.

    What is missing is filled with zeros. False where the kernel does not (before 6.1), or has no huge page to give.
    """
    return bool(_LIBC.madvise(mapped.ctypes.data, len(mapped), _MADV_COLLAPSE) == 0)


def ending(pid: int) -> int | None:
    """The wait status of a process that has begun to end, for which there is no way back; None while it lives, or when it is reaped.

    Its parent hears of the end only when the kernel has freed its memory (measured: 80 to 340 ms for two mapped slots of 256 MiB).
    """
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return int(fields[_EXIT_CODE]) if int(fields[_FLAGS]) & _PF_EXITING else None


def how_it_ended(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"


def available_bytes() -> int:
    """Memory that new processes may still take: what the kernel says, or less where a control group says so."""
    with open("/proc/meminfo") as meminfo:
        fields = dict(line.split(":") for line in meminfo)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):  # no control group, or none with a limit
        limit = int(_read("/sys/fs/cgroup/memory.max"))
        available = min(available, limit - int(_read("/sys/fs/cgroup/memory.current")))
    return available


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()
