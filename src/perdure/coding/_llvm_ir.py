"""The text of the compiled kernels: LLVM's intermediate representation, one module for each set of rows.

A module has the four functions `encode`, `stream` (encode with stores past the cache), `decode` and `rest` (a byte at a time, for what
is left after whole vectors; it serves encode and decode). All have the signature

    void (i64* words, i8* tables, i64 d, i64 f, i64 start, i64 stop)

with `words` laid out as: d source addresses, d masks, r addresses of extras, r masks, f output addresses. Byte i of source t is at
address + (i & mask): a mask of 0 makes a block of zeros stand for a source that is not there, without a branch. `tables` has
`TABLE_BYTES` for each coefficient of the (f, r) matrix, row by row: the products of the sixteen low and of the sixteen high
nibbles (Plank, Greenan, Miller, Screaming fast Galois field arithmetic, 2013), and a byte 0 or 255 for each of its eight bits.

A row of exponent e is folded by Horner's rule from the last source to the first: v = v * 2^e + source, with
v * 2 = (v << 1) ^ (0x1d where the top bit was set), v / 2 = (v >> 1) ^ (0x8e where the lowest bit was set).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TABLE_BYTES: Final = 40
SIGNATURE: Final = "(ptr %words, ptr %tables, i64 %d, i64 %f, i64 %start, i64 %stop)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorShape:
    """The vector properties of a target: bytes in a vector, vectors processed together, and its instruction for a lookup of 16 entries, or
    ''."""

    lanes: int
    unroll: int
    shuffle: str

    @property
    def step(self) -> int:
        """Bytes that one turn of the loop works on."""
        return self.lanes * self.unroll


BYTEWISE: Final = VectorShape(lanes=1, unroll=1, shuffle="")


def shape_of(features: Sequence[str]) -> VectorShape:
    """The shape for a processor with these features, by LLVM's names."""
    if "avx512bw" in features:
        return VectorShape(lanes=64, unroll=2, shuffle="llvm.x86.avx512.pshuf.b.512")
    if "avx2" in features:
        return VectorShape(lanes=32, unroll=2, shuffle="llvm.x86.avx2.pshuf.b")
    if "ssse3" in features:
        return VectorShape(lanes=16, unroll=2, shuffle="llvm.x86.ssse3.pshuf.b.128")
    return VectorShape(lanes=16, unroll=2, shuffle="")


def module(exponents: Sequence[int], shape: VectorShape) -> str:
    """The module for rows of these exponents."""
    declared = f"declare <{shape.lanes} x i8> @{shape.shuffle}(<{shape.lanes} x i8>, <{shape.lanes} x i8>)" if shape.shuffle else ""
    functions = [
        _Function("encode", exponents, shape).text(),
        _Function("stream", exponents, shape, streaming=True).text(),
        _Function("decode", exponents, shape, multiplies=True).text(),
        _Function("rest", exponents, BYTEWISE, multiplies=True).text(),
    ]
    return "\n".join([declared, *functions, "!0 = !{i32 1}"])


class _Function:
    """Writes one function, line by line."""

    def __init__(
        self, name: str, exponents: Sequence[int], shape: VectorShape, *, multiplies: bool = False, streaming: bool = False
    ) -> None:
        self._name, self._exponents, self._shape = name, exponents, shape
        self._multiplies, self._streaming = multiplies, streaming
        self._type = f"<{shape.lanes} x i8>"
        self._lines: list[str] = []
        self._count = 0

    def text(self) -> str:
        """The whole function: blocks of vectors outside, sources from the last to the first inside."""
        rows, unroll = range(len(self._exponents)), range(self._shape.unroll)
        values = [f"%v{row}_{part}" for row in rows for part in unroll]
        self._say(
            f"define void @{self._name}{SIGNATURE} {{",
            *("entry:", "br label %block"),
            *("block:", "%i = phi i64 [ %start, %entry ], [ %next, %done ]", "%more = icmp slt i64 %i, %stop"),
            *("br i1 %more, label %begin, label %end", "begin:", "br label %fold"),
            *("fold:", "%t = phi i64 [ %d, %begin ], [ %t1, %take ]"),
            *(f"{value} = phi {self._type} [ zeroinitializer, %begin ], [ {value}n, %take ]" for value in values),
            *("%any = icmp sgt i64 %t, 0", "br i1 %any, label %take, label %folded"),
            *("take:", "%t1 = sub i64 %t, 1"),
        )
        source = self._address("%t1", "%d")
        for part in unroll:
            loaded = self._load(source, part)
            for row, exponent in zip(rows, self._exponents, strict=True):
                value = f"%v{row}_{part}"
                self._say(f"{value}n = xor {self._type} {self._times_power(value, exponent)}, {loaded}")
        self._say("br label %fold", "folded:", "%d2 = mul i64 %d, 2")
        sums = [[self._with_extra(row, part) for part in unroll] for row in rows]
        if self._multiplies:
            self._multiply_out(sums)
        else:
            self._store_out(sums)
        self._say("br label %done", "done:", f"%next = add i64 %i, {self._shape.step}", "br label %block", "end:")
        if self._streaming:  # such stores are ordered with nothing else
            self._say("fence seq_cst")
        self._say("ret void", "}")
        return "\n".join(self._lines)

    def _say(self, *lines: str) -> None:
        self._lines += lines

    def _new(self, operation: str) -> str:
        """Assign the result of an operation to a fresh name, and return the name."""
        self._count += 1
        self._say(f"%x{self._count} = {operation}")
        return f"%x{self._count}"

    def _splat(self, value: int) -> str:
        return f"splat (i8 {value})" if value else "zeroinitializer"

    def _word(self, index: str) -> str:
        return self._new(f"load i64, ptr {self._new(f'getelementptr i64, ptr %words, i64 {index}')}")

    def _address(self, index: str, to_mask: str) -> str:
        """The address of byte i of the source whose address is word `index`; its mask lies `to_mask` words further."""
        base = self._word(index)
        mask = self._word(self._new(f"add i64 {index}, {to_mask}"))
        return self._new(f"add i64 {base}, {self._new(f'and i64 %i, {mask}')}")

    def _pointer(self, address: str, part: int) -> str:
        moved = self._new(f"add i64 {address}, {part * self._shape.lanes}")
        return self._new(f"inttoptr i64 {moved} to ptr")

    def _load(self, address: str, part: int) -> str:
        return self._new(f"load {self._type}, ptr {self._pointer(address, part)}, align 1")

    def _store(self, value: str, address: str, part: int) -> None:
        how = f"align {self._shape.lanes}, !nontemporal !0" if self._streaming else "align 1"
        self._say(f"store {self._type} {value}, ptr {self._pointer(address, part)}, {how}")

    def _times_power(self, value: str, exponent: int) -> str:
        """Times 2^exponent, for an exponent of -1, 0 or 1."""
        if exponent == 0:
            return value
        if exponent == 1:
            shifted, reduction = self._new(f"shl {self._type} {value}, {self._splat(1)}"), 0x1D
            spread = self._new(f"ashr {self._type} {value}, {self._splat(7)}")
        else:
            shifted, reduction = self._new(f"lshr {self._type} {value}, {self._splat(1)}"), 0x8E - 256
            lowest = self._new(f"and {self._type} {value}, {self._splat(1)}")
            spread = self._new(f"sub {self._type} zeroinitializer, {lowest}")
        return self._new(f"xor {self._type} {shifted}, {self._new(f'and {self._type} {spread}, {self._splat(reduction)}')}")

    def _with_extra(self, row: int, part: int) -> str:
        address = self._address(self._new(f"add i64 %d2, {row}"), str(len(self._exponents)))
        return self._new(f"xor {self._type} %v{row}_{part}, {self._load(address, part)}")

    def _output(self, index: str) -> str:
        first = self._new(f"add i64 %d2, {2 * len(self._exponents)}")
        return self._new(f"add i64 {self._word(self._new(f'add i64 {first}, {index}'))}, %i")

    def _store_out(self, sums: list[list[str]]) -> None:
        for row, parts in enumerate(sums):
            address = self._output(str(row))
            for part, value in enumerate(parts):
                self._store(value, address, part)

    def _multiply_out(self, sums: list[list[str]]) -> None:
        """A loop over the f outputs: each is a row of the matrix times the folded rows."""
        rows = len(sums)
        self._say(
            *("br label %product", "product:", "%o = phi i64 [ 0, %folded ], [ %o1, %one ]", "%left = icmp slt i64 %o, %f"),
            *("br i1 %left, label %one, label %all", "one:", "%o1 = add i64 %o, 1"),
        )
        first = self._new(f"mul i64 %o, {rows * TABLE_BYTES}")
        results = ["zeroinitializer"] * self._shape.unroll
        for row, parts in enumerate(sums):
            table = self._new(f"getelementptr i8, ptr %tables, i64 {self._new(f'add i64 {first}, {row * TABLE_BYTES}')}")
            multiplied = self._by_nibbles(parts, table) if self._shape.shuffle else self._by_bits(parts, table)
            results = [self._new(f"xor {self._type} {a}, {b}") for a, b in zip(results, multiplied, strict=True)]
        address = self._output("%o")
        for part, value in enumerate(results):
            self._store(value, address, part)
        self._say("br label %product", "all:")

    def _by_nibbles(self, values: list[str], table: str) -> list[str]:
        spread = ", ".join(f"i32 {lane % 16}" for lane in range(self._shape.lanes))
        tables = []
        for offset in (0, 16):
            loaded = self._new(f"load <16 x i8>, ptr {self._new(f'getelementptr i8, ptr {table}, i64 {offset}')}, align 1")
            tables.append(self._new(f"shufflevector <16 x i8> {loaded}, <16 x i8> zeroinitializer, <{self._shape.lanes} x i32> <{spread}>"))
        results = []
        for value in values:
            low = self._new(f"and {self._type} {value}, {self._splat(15)}")
            high = self._new(f"lshr {self._type} {value}, {self._splat(4)}")
            found = [
                self._new(f"call {self._type} @{self._shape.shuffle}({self._type} {entries}, {self._type} {nibbles})")
                for entries, nibbles in zip(tables, (low, high), strict=True)
            ]
            results.append(self._new(f"xor {self._type} {found[0]}, {found[1]}"))
        return results

    def _by_bits(self, values: list[str], table: str) -> list[str]:
        """By Horner's rule over the coefficient's bits, for targets without a lookup among sixteen."""
        results = ["zeroinitializer"] * len(values)
        lanes = ", ".join(["i32 0"] * self._shape.lanes)
        for bit in range(7, -1, -1):
            mask = self._new(f"load <1 x i8>, ptr {self._new(f'getelementptr i8, ptr {table}, i64 {32 + bit}')}, align 1")
            wide = self._new(f"shufflevector <1 x i8> {mask}, <1 x i8> zeroinitializer, <{self._shape.lanes} x i32> <{lanes}>")
            for part, value in enumerate(values):
                doubled = self._times_power(results[part], 1)
                results[part] = self._new(f"xor {self._type} {doubled}, {self._new(f'and {self._type} {value}, {wide}')}")
        return results
