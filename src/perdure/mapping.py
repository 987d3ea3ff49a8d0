"""Memory files mapped into this process, in huge pages where the kernel makes them: what the `mmap` of Python does not do."""

from __future__ import annotations

import ctypes
import mmap
import os
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
_MADV_POPULATE_WRITE: Final = 23
_MADV_COLLAPSE: Final = 25
_POPULATE_BYTES: Final = 16 << 20
"""At most 10 ms (measured: 4)."""


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
    """Maps all pages that are wholly in writable memory, and changes no byte, without holding the interpreter up. A kernel before 5.14 does
    it page by page later.

    In steps: meanwhile no other thread of the process can map memory.
    """
    address = mapped.ctypes.data
    first, last = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE, (address + len(mapped)) // mmap.PAGESIZE * mmap.PAGESIZE
    for start in range(first, last, _POPULATE_BYTES):
        _LIBC.madvise(start, min(_POPULATE_BYTES, last - start), _MADV_POPULATE_WRITE)


def collapse(mapped: Bytes) -> bool:
    """Makes huge pages of mapped memory, (a multiple of HUGE_BYTES,) uint8 that begins where one can; each must have one page at least.

    What is missing is filled with zeros. False where the kernel does not (before 6.1), or has no huge page to give.
    """
    return bool(_LIBC.madvise(mapped.ctypes.data, len(mapped), _MADV_COLLAPSE) == 0)
