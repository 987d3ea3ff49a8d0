"""Kernels compiled when the process runs, by LLVM through llvmlite: no compiler and no cache directory on the node.

Importing llvmlite and compiling take about a tenth of a second together, most of it outside the interpreter lock, so nothing is written
to disk and each process compiles for its own processor. Calls release the interpreter lock.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois
from perdure.coding._llvm_ir import TABLE_BYTES, Shape, module, shape_of
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

    def __init__(self, shape: Shape | None = None) -> None:
        features = llvm.get_host_cpu_features()
        self._shape = shape or shape_of([name for name, there in features.items() if there])
        self._lock = threading.Lock()
        self._engines: dict[tuple[int, ...], Any] = {}
        self._functions: dict[tuple[int, ...], dict[str, Any]] = {}
        self._zeros = np.zeros(self._shape.step, np.uint8)
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
        self.warm(exponents)
        length = len(outs[0])
        rows = len(exponents)
        tables = _tables(matrix if matrix else [[int(row == column) for column in range(rows)] for row in range(rows)])
        ends = sorted({min(len(source), length) for source in sources if source is not None} | {length})
        start = 0
        for stop in ends:
            words = [*self._words(sources, start), *self._words(extras, start), *map(_address, outs)]
            self._run(tuple(exponents), words, tables, len(sources), len(outs), start, stop, plain=matrix is None)
            start = stop

    def _words(self, arrays: Sequence[Bytes | None], start: int) -> list[int]:
        """Addresses, then masks. An array that has ended before `start` counts as zeros."""
        there = [array is not None and len(array) > start for array in arrays]
        addresses = [
            _address(array) if array is not None and has else _address(self._zeros) for array, has in zip(arrays, there, strict=True)
        ]
        return addresses + [-1 if has else 0 for has in there]

    def _run(self, key: tuple[int, ...], words: list[int], tables: Bytes, d: int, f: int, start: int, stop: int, *, plain: bool) -> None:
        packed = np.array(words, np.int64)
        functions = self._functions[key]
        whole = start + (stop - start) // self._shape.step * self._shape.step
        aligned = all((address + start) % self._shape.lanes == 0 for address in words[len(words) - f :])
        name = ("stream" if aligned and stop - start >= STREAM_BYTES else "encode") if plain else "decode"
        functions[name](packed.ctypes.data, tables.ctypes.data, d, f, start, whole)
        if whole < stop:
            functions["rest"](packed.ctypes.data, tables.ctypes.data, d, f, whole, stop)


def _address(array: Bytes) -> int:
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous, "kernels work on contiguous bytes"
    return int(array.__array_interface__["data"][0])


def _tables(matrix: galois.Matrix) -> Bytes:
    """(f * r * TABLE_BYTES,) uint8: what the kernels need of each coefficient."""
    return np.frombuffer(b"".join(_TABLE[factor] for row in matrix for factor in row), np.uint8)


def _table(factor: int) -> bytes:
    low = bytes(galois.multiply(factor, value) for value in range(16))
    high = bytes(galois.multiply(factor, value << 4) for value in range(16))
    return low + high + bytes(255 if factor >> bit & 1 else 0 for bit in range(8))


_TABLE: Final = [_table(factor) for factor in range(256)]
assert len(_TABLE[0]) == TABLE_BYTES
