"""Copies of what would not stay in the cache anyway: stored past it, so that the target's old bytes are not read first.

The C library's copy does so only above three quarters of the last-level cache, and a snapshot is copied in blocks that are hashed while
they are in the cache. Measured, 256 MiB on two processes at once: 24 ms as a whole, 28 in hashed blocks, 21 in hashed blocks by this one.
The code is compiled by LLVM when the process runs, as the codec's kernels are; without llvmlite NumPy copies.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

STREAM_BYTES: Final = 8 << 20
"""Arrays of this length and more are stored past the cache, by the codec too. Arbitrary; a quarter to a half of a usual L3."""
_LINE, _STRIDE = 64, 256
"""Bytes of a cache line; bytes copied in one turn of the loop."""


class _Compiled:
    """The function, and the engine that owns its machine code; neither before `prepare`, or without llvmlite."""

    function: Any = None
    engine: Any = None


def prepare() -> bool:
    """Compile the copy for this process and for processes forked later. Return whether it is available. Blocks for about 0.05 s."""
    if _Compiled.function is None:
        try:
            from perdure.coding._llvm import compiled
        except ImportError:
            return False
        _Compiled.engine = compiled(_module())
        _Compiled.function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
            _Compiled.engine.get_function_address("stream")
        )
    return True


class StreamingCopy:
    """A copy of one array to another of the same length, (n,) uint8, contiguous and apart, piece by piece."""

    def __init__(self, target: Bytes, source: Bytes) -> None:
        if len(target) != len(source) or not (target.flags.c_contiguous and source.flags.c_contiguous):
            raise ValueError("a copy needs two contiguous arrays of one length")
        self._target, self._source = target, source
        self._to, self._from = _address(target), _address(source)

    def copy(self, start: int, stop: int) -> None:
        """target[start:stop] = source[start:stop], past the cache, 0 <= start <= stop <= n. Seen by all when it returns."""
        first = start - (self._to + start) % -_LINE
        last = first + (stop - first) // _STRIDE * _STRIDE
        if _Compiled.function is None or last <= first:
            self._target[start:stop] = self._source[start:stop]
            return
        _Compiled.function(self._to + first, self._from + first, last - first)
        if first > start:
            self._target[start:first] = self._source[start:first]
        if last < stop:
            self._target[last:stop] = self._source[last:stop]


def _address(array: Bytes) -> int:
    return int(array.__array_interface__["data"][0])


def _module() -> str:
    """stream(target, source, n): n a multiple of the stride and above zero, the target aligned to a cache line."""
    moves = [
        line
        for offset in range(0, _STRIDE, _LINE)
        for line in (
            f"  %at{offset} = add i64 %i, {offset}",
            f"  %from{offset} = getelementptr i8, ptr %source, i64 %at{offset}",
            f"  %to{offset} = getelementptr i8, ptr %target, i64 %at{offset}",
            f"  %value{offset} = load <8 x i64>, ptr %from{offset}, align 1",
            f"  store <8 x i64> %value{offset}, ptr %to{offset}, align {_LINE}, !nontemporal !0",
        )
    ]
    return "\n".join(
        [
            "define void @stream(ptr noalias %target, ptr noalias %source, i64 %n) {",
            "entry:",
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [0, %entry], [%next, %loop]",
            *moves,
            f"  %next = add i64 %i, {_STRIDE}",
            "  %more = icmp ult i64 %next, %n",
            "  br i1 %more, label %loop, label %done",
            "done:",
            "  fence seq_cst",
            "  ret void",
            "}",
            "!0 = !{i32 1}",
        ]
    )
