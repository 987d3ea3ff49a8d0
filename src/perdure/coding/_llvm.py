"""Kernels compiled when the process runs, by LLVM through llvmlite: no compiler and no cache directory on the node.

Importing llvmlite and compiling take about a tenth of a second together, most of it outside the interpreter lock, so nothing is written
to disk and each process compiles for its own processor. Calls release the interpreter lock.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Sequence
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois
from perdure.coding._llvm_ir import TABLE_BYTES, VectorShape, module, shape_of
from perdure.coding.copying import STREAM_BYTES

if llvm.llvm_version_info < (19,):
    raise ImportError("the compiled kernels need llvmlite 0.45 or newer")

Bytes = NDArray[np.uint8]

_PROTOTYPE: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 4)


def compiled(ir: str) -> Any:
    """The engine that owns the machine code of a module, for this process's processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2)
    parsed = llvm.parse_assembly(ir)
    parsed.verify()
    engine = llvm.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    return engine


class LlvmKernel:
    """`Kernel` by compiled code. May be used from any thread; a set of rows is compiled at its first use."""

    def __init__(self, shape: VectorShape | None = None) -> None:
        features = llvm.get_host_cpu_features()
        self._shape = shape or shape_of([name for name, there in features.items() if there])
        self._lock = threading.Lock()
        self._engines: dict[tuple[int, ...], Any] = {}
        self._functions: dict[tuple[int, ...], dict[str, Any]] = {}
        self._zeros = np.zeros(self._shape.step, np.uint8)
        self._nothing = _address(self._zeros)
        lookup = "lookups" if self._shape.shuffle else "shifts"
        processor = f"{llvm.get_host_cpu_name()}, {8 * self._shape.lanes}-bit vectors"
        self.name = f"LLVM {'.'.join(map(str, llvm.llvm_version_info))} for {processor}, {lookup}"

    def warm(self, exponents: Sequence[int]) -> None:
        """Compiles what rows of these exponents need."""
        key = tuple(exponents)
        with self._lock:
            if key not in self._functions:
                self._engines[key] = engine = compiled(module(key, self._shape))
                names = ("encode", "stream", "decode", "rest")
                self._functions[key] = {name: _PROTOTYPE(engine.get_function_address(name)) for name in names}

    def fold(
        self,
        exponents: Sequence[int],
        sources: Sequence[Bytes | None],
        extras: Sequence[Bytes | None],
        matrix: galois.Matrix | None,
        outs: Sequence[Bytes],
    ) -> None:
        """See `Kernel.fold`."""
        key = tuple(exponents)
        if key not in self._functions:
            self.warm(key)
        length, rows = len(outs[0]), len(key)
        tables = _identity(rows) if matrix is None else _tables(matrix)
        at, added = [self._place(source) for source in sources], [self._place(extra) for extra in extras]
        targets = [_address(out) for out in outs]
        start = 0
        for stop in sorted({min(nbytes, length) for _, nbytes in at if nbytes} | {length}):
            words = [*self._words(at, start), *self._words(added, start), *targets]
            self._run(key, words, tables, len(at), targets, start, stop, plain=matrix is None)
            start = stop

    def _place(self, array: Bytes | None) -> tuple[int, int]:
        """Address and length."""
        return (self._nothing, 0) if array is None else (_address(array), len(array))

    def _words(self, places: Sequence[tuple[int, int]], start: int) -> list[int]:
        """Addresses, then masks. An array that has ended before `start` counts as zeros."""
        addresses = [address if nbytes > start else self._nothing for address, nbytes in places]
        return addresses + [-1 if nbytes > start else 0 for _, nbytes in places]

    def _run(
        self, key: tuple[int, ...], words: list[int], tables: bytes, d: int, targets: list[int], start: int, stop: int, *, plain: bool
    ) -> None:
        packed = struct.pack(f"{len(words)}q", *words)
        functions = self._functions[key]
        whole = start + (stop - start) // self._shape.step * self._shape.step
        name = "decode"
        if plain:
            aligned = all((address + start) % self._shape.lanes == 0 for address in targets)
            name = "stream" if aligned and stop - start >= STREAM_BYTES else "encode"
        functions[name](packed, tables, d, len(targets), start, whole)
        if whole < stop:
            functions["rest"](packed, tables, d, len(targets), whole, stop)


def _address(array: Bytes) -> int:
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous, "kernels need contiguous arrays of bytes"
    return int(array.__array_interface__["data"][0])


def _tables(matrix: galois.Matrix) -> bytes:
    """f * r * TABLE_BYTES: what the kernels need of each coefficient."""
    return b"".join(_TABLE[factor] for row in matrix for factor in row)


@functools.cache
def _identity(rows: int) -> bytes:
    return _tables([[int(row == column) for column in range(rows)] for row in range(rows)])


def _table(factor: int) -> bytes:
    low = bytes(galois.multiply(factor, value) for value in range(16))
    high = bytes(galois.multiply(factor, value << 4) for value in range(16))
    return low + high + bytes(255 if factor >> bit & 1 else 0 for bit in range(8))


_TABLE: Final = [_table(factor) for factor in range(256)]
assert len(_TABLE[0]) == TABLE_BYTES
