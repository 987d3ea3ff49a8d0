"""Copying once: from the memory of another process into our own (`process_vm_readv`, Linux 3.2).

The kernel allows it between processes of one user unless a security module (Yama) or a container says no; then a reader answers False, and
the sender is asked for a copy through the ring.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

import numpy as np

BLOCK_BYTES: Final = 16 << 20
"""One call copies so much at most, and then the rank looks whether its generation is over: a revoke is heard within milliseconds."""
_REFUSALS: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS)


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_NO_BYTES: Final = ctypes.c_char * 0
_PIECES: Final = ctypes.POINTER(_Piece)
_libc: Final = ctypes.CDLL(None, use_errno=True)
_readv: Final = getattr(_libc, "process_vm_readv", None)
if _readv is not None:
    _readv.restype = ctypes.c_ssize_t
    _readv.argtypes = (ctypes.c_int, _PIECES, ctypes.c_ulong, _PIECES, ctypes.c_ulong, ctypes.c_ulong)


def address_of(view: memoryview) -> int:
    """Where its bytes lie in this process."""
    if view.readonly:
        return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
    return ctypes.addressof(_NO_BYTES.from_buffer(view))


class Reader:
    """Reads the memory of one process; used by one thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._mine, self._theirs = _Piece(0, 0), _Piece(0, 0)
        self._pieces = ctypes.byref(self._mine), ctypes.byref(self._theirs)

    def read(self, address: int, target: memoryview) -> bool:
        """Fills `target` from `address`. False: not allowed here. OSError: the process, or its memory, is gone."""
        if _readv is None:
            return False
        mine, theirs = self._mine, self._theirs
        mine.base, theirs.base = address_of(target), address
        done, size = 0, len(target)
        while done < size:
            mine.length = theirs.length = size - done
            count = _readv(self._pid, self._pieces[0], 1, self._pieces[1], 1, 0)
            if count < 0:
                code = ctypes.get_errno()
                if code in _REFUSALS:
                    return False
                raise OSError(code, os.strerror(code))
            done += count
            mine.base, theirs.base = mine.base + count, theirs.base + count
        return True


def readable(address: int, nbytes: int) -> bool:
    """Is this memory of the host, that can be read without a fault? A GPU's addresses are not."""
    probe, own = memoryview(bytearray(1)), Reader(os.getpid())
    try:
        return nbytes == 0 or all(own.read(at, probe) for at in (address, address + nbytes - 1))
    except OSError:
        return False
