"""NumPy arrays as items: their bytes in C order, of which only the blocks that have changed are copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import arrays
from perdure.adapters.adapter import Commit, ItemDeclaration, Stored
from perdure.adapters.change_detection import Memo, copy_changed
from perdure.adapters.declarations import plain
from perdure.adapters.tracking import Flags
from perdure.core.snapshot_index import Form, Item, Kind
from perdure.errors import UsageError
from perdure.runtime.digests import DIGEST_BYTES, of_blocks

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class ArrayItem:
    """A declared array. See `DeclaredItem`.

    Attributes:
        own: the part that is protected, a view of `live`: all of it but ghost rows.
        halo: ghost rows at each end of `axis`.
        shape: of `own`, as it was declared.
    """

    name: str
    kind: Kind
    live: Array
    own: Array
    global_shape: tuple[int, ...] = ()
    axis: int = 0
    halo: int = 0
    place: int | None = None
    shape: tuple[int, ...] = field(init=False)
    form: Form = field(init=False, default=Form.ARRAY)

    def __post_init__(self) -> None:
        self.shape = self.own.shape

    @property
    def declared_nbytes(self) -> int:
        """See `DeclaredItem`."""
        return self.own.nbytes

    def live_nbytes(self, item: Item) -> int:
        """See `DeclaredItem`: with ghost rows."""
        return self.live.nbytes

    def take(self, memo: Memo) -> TakenArray:
        """See `DeclaredItem`. UsageError: `ndarray.resize` has changed the shape in place, which could not be put back (rule P1)."""
        if self.own.shape != self.shape:
            raise UsageError(
                f"the item {self.name!r} was declared with the shape {self.shape} but has {self.own.shape} now: an array must keep its "
                "shape; put growing data into an object (a dict)"
            )
        return TakenArray(self)

    def parts(self) -> Array:
        """See `DeclaredItem`."""
        return self.live

    def restore(self, item: Item, source: Bytes) -> bool:
        """See `DeclaredItem`. Ghost rows are spoilt, so that a forgotten exchange shows."""
        if item.shape != self.own.shape or item.dtype != arrays.dtype_text(self.own.dtype):
            raise UsageError(
                f"the item {self.name!r} was committed as {item.dtype} {item.shape} and is declared as "
                f"{arrays.dtype_text(self.own.dtype)} {self.own.shape}: declare it alike at every entry"
            )
        is_right = arrays.load(self.own, source, item.blocks)
        self.spoil_ghosts()
        return is_right

    def spoil_ghosts(self) -> None:
        """Set ghost rows, which are not state, to what is never right by chance: at every entry."""
        if not self.halo:
            return
        bad = _spoilt(self.live.dtype)
        for edge in (slice(None, self.halo), slice(-self.halo, None)):
            self.live[(slice(None),) * self.axis + (edge,)] = bad


@dataclass(frozen=True, slots=True)
class TakenArray:
    """An array at a commit. See `Taken`."""

    item: ArrayItem

    is_elastic = False

    @property
    def nbytes(self) -> int:
        """See `Taken`."""
        return self.item.own.nbytes

    @property
    def room(self) -> int:
        """See `Taken`: an array keeps its length."""
        return self.item.own.nbytes

    @property
    def parts(self) -> Array:
        """See `Taken`."""
        return self.item.live

    def store(self, target: Bytes, old: Item | None, commit: Commit) -> Stored:
        """See `Taken`."""
        own = self.item.own
        candidates = self._candidates(commit)
        if old is not None and own.flags.c_contiguous:
            blocks, written = copy_changed(target, arrays.as_bytes(own), old.blocks, commit.memo, self.item.name, candidates)
        else:
            blocks = arrays.store(target, own)
            written = b"\1" * (len(blocks) // DIGEST_BYTES)
        return self._stored(blocks, written)

    def hash_in_place(self) -> Stored:
        """See `Taken`."""
        return self._stored(of_blocks(arrays.as_bytes(self.item.own)), b"")

    def _candidates(self, commit: Commit) -> Flags | None:
        """Return the blocks that can differ from what was committed as `commit.since`; None: all of them."""
        tracker = commit.memo.tracker
        if tracker is None or commit.label is None or not self.item.own.flags.c_contiguous:
            return None
        hot = commit.memo.hot.get(self.item.name, b"")
        return tracker.candidates(self.item.name, arrays.as_bytes(self.item.own), commit.label, commit.since, hot)

    def _stored(self, blocks: bytes, written: bytes) -> Stored:
        dtype, shape = arrays.dtype_text(self.item.own.dtype), self.item.own.shape
        return Stored(dtype=dtype, shape=shape, blocks=blocks, digest=arrays.value_digest(dtype, shape, blocks), written=written)


class ArrayAdapter:
    """Arrays. See `Adapter`."""

    form: Final = Form.ARRAY
    revives: Final = False

    def accepts(self, value: Any) -> bool:
        """See `Adapter`."""
        return isinstance(value, np.ndarray)

    def declare(self, declaration: ItemDeclaration) -> ArrayItem:
        """See `Adapter`."""
        name, value = declaration.name, declaration.value
        plain(name, value.dtype)
        if type(value) is not np.ndarray:
            raise UsageError(f"the item {name!r} is a {type(value).__name__}, a subclass of an array: declare a dict that holds it")
        if not value.flags.writeable:
            raise UsageError(f"the item {name!r} is a read-only array: declare a copy of it, or keep it in an object (a dict)")
        value, place = declaration.claim(name, value, declaration.may_move)
        return ArrayItem(name=name, kind=declaration.kind, live=value, own=value, place=place)

    def revive(self, name: str, kind: Kind, source: Bytes, value: Any) -> Any:
        """See `Adapter`: not called."""
        return value


def _spoilt(dtype: np.dtype[Any]) -> Any:
    """NaN, NaT, the least of the signed integers, the greatest of the unsigned ones; all ones in every byte of anything else."""
    match dtype.kind:
        case "f" | "c":
            return np.nan
        case "m" | "M":
            return np.array("NaT", dtype)
        case "i":
            return np.iinfo(dtype).min
        case "u":
            return np.iinfo(dtype).max
        case "b" | "U":
            return True
        case _:
            return np.frombuffer(b"\xff" * dtype.itemsize, dtype)[0]
