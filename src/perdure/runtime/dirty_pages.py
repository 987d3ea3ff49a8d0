"""Which pages of this process were written since they were last asked for? By the kernel's word.

A page that is watched is write-protected (`userfaultfd`, mode WP_ASYNC); the first write to it costs a page fault, in which the kernel
takes the protection away and lets the write go on. The ioctl PAGEMAP_SCAN tells which pages have none, and protects them again in the
same step, so no write is missed between. Linux 6.7 and later; Documentation/admin-guide/mm/pagemap.rst and userfaultfd.rst. A write splits
a huge page.

What does not go through the page table of this process is not seen: another process's writes to shared memory, a device's to pinned pages.
So only private memory without a file is watched. Where a part of it was unmapped, or mapped anew, it is watched no longer, and `take`
says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perdure.core.snapshot_index import Range

PAGE_BYTES: Final = mmap.PAGESIZE
Ranges = NDArray[np.int64]

_USERFAULTFD: Final = {"x86_64": 323, "aarch64": 282}
"""The number of the system call."""
_USER_MODE_ONLY: Final = 1
_UFFD_API: Final = 0xAA
_WP_UNPOPULATED, _WP_ASYNC = 1 << 13, 1 << 15
_REGISTER_MODE_WP: Final = 2
_API: Final = struct.Struct("=3Q")
"""api, features, ioctls."""
_RANGE: Final = struct.Struct("=2Q")
"""start, length."""
_REGISTRATION: Final = struct.Struct("=4Q")
"""start, length, mode, ioctls."""
_IOCTL_API, _IOCTL_REGISTER, _IOCTL_UNREGISTER = 0xC018AA3F, 0xC020AA00, 0x8010AA01

_SCAN: Final = struct.Struct("=12Q")
"""size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask."""
_WALK_END: Final = 4
_IOCTL_SCAN: Final = 0xC0606610
_WP_MATCHING, _CHECK_WPASYNC = 1, 2
_IS_WRITTEN, _IS_PRESENT = 1 << 1, 1 << 3
_REGIONS: Final = 4096
"""Of one call, 24 bytes each. Arbitrary."""


class DirtyPages:
    """The pages that this process watches. Used by one thread; of no use in a process forked from it."""

    def __init__(self) -> None:
        """Raises OSError where the kernel cannot, or may not, do this."""
        number = _USERFAULTFD.get(platform.machine())
        if number is None:
            raise OSError(f"userfaultfd is not known on {platform.machine()}")
        libc = ctypes.CDLL(None, use_errno=True)
        self._uffd = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
        if self._uffd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._watched: set[Range] = set()
        try:
            fcntl.ioctl(self._uffd, _IOCTL_API, bytearray(_API.pack(_UFFD_API, _WP_UNPOPULATED | _WP_ASYNC, 0)))
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._uffd)
            raise
        self._process = os.getpid()
        self._found = np.empty((_REGIONS, 3), np.uint64)

    def watch(self, start: int, stop: int) -> None:
        """From now on writes to the pages [start, stop) are noted. OSError if they are not private memory without a file."""
        if self._process != os.getpid() or not is_private(start, stop):
            raise OSError("only private memory of this process can be watched")
        fcntl.ioctl(self._uffd, _IOCTL_REGISTER, bytearray(_REGISTRATION.pack(start, stop - start, _REGISTER_MODE_WP, 0)))
        self._watched.add((start, stop))
        self.take(start, stop)

    def take(self, start: int, stop: int) -> Ranges:
        """What was written of the watched pages [start, stop) since `watch`, or since the last `take`.

        Pages that are not there count as written: what was dropped reads as zeros.

        Returns:
            (k, 2) int64, stretches [first, last) of addresses, ascending and apart.

        Raises:
            OSError: not all of them are watched any more. What was written is not known.
        """
        if self._process != os.getpid():
            raise OSError("another process watches these pages")
        flags, either = _WP_MATCHING | _CHECK_WPASYNC, _IS_WRITTEN | _IS_PRESENT
        taken = []
        while start < stop:
            request = bytearray(
                _SCAN.pack(_SCAN.size, flags, start, stop, 0, self._found.ctypes.data, _REGIONS, 0, _IS_PRESENT, 0, either, _IS_WRITTEN)
            )
            count = fcntl.ioctl(self._pagemap, _IOCTL_SCAN, request)
            taken.append(self._found[:count, :2].astype(np.int64))
            start = _SCAN.unpack(request)[_WALK_END]
        return np.concatenate(taken) if taken else np.empty((0, 2), np.int64)

    def forget(self, start: int, stop: int) -> None:
        """Writes to these pages cost nothing any more."""
        self._watched.discard((start, stop))
        with contextlib.suppress(OSError):  # they may be unmapped
            fcntl.ioctl(self._uffd, _IOCTL_UNREGISTER, bytearray(_RANGE.pack(start, stop - start)))

    def close(self) -> None:
        """Forgets all."""
        for start, stop in tuple(self._watched):
            self.forget(start, stop)
        os.close(self._uffd)
        os.close(self._pagemap)


def is_private(start: int, stop: int) -> bool:
    """Is all of [start, stop) memory that this process can write, shares with nobody, and has from no file?"""
    at = start
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            place, permissions, _, _, inode = line.split(maxsplit=5)[:5]
            first, last = (int(end, 16) for end in place.split("-"))
            if first <= at < last:
                if not (permissions.startswith("rw") and permissions.endswith("p") and inode == "0"):
                    return False
                at = last
                if at >= stop:
                    return True
    return False
