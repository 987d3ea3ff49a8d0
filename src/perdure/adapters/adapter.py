"""The protocols between declared values and the bytes of a snapshot: `Adapter`, `DeclaredItem`, `Taken`.

1. `job` asks the registry for the adapter of a declared value. The adapter checks the value and returns a `DeclaredItem`.
2. At a commit `items.pack` calls `take` of each item, lays all items out in the slot, and has each `Taken` value stored there.
3. After a recovery `items.unpack` calls `restore` of each item with its bytes.

To add a kind of item (tensors, objects with a state dict, device memory): write an `Adapter` with its `DeclaredItem` and `Taken`, and
register it. Neither `job` nor `items` has a case for a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from perdure.adapters.change_detection import Memo
from perdure.adapters.encoding import Encoding
from perdure.core.ids import Label
from perdure.core.snapshot_index import Form, Item, Kind

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
MISSING: Final[Any] = object()
"""Stands for a value that the program did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that an item is stored for.

    Attributes:
        memo: what earlier commits of this entry of `main` have left.
        label: of this commit; None: not known, and writes are not tracked.
        since: the label of the bytes that the slot still holds; None: it holds nothing of use.
    """

    memo: Memo
    label: Label | None = None
    since: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A value that lies in a slot.

    Attributes:
        dtype, shape: of an array; empty for anything else.
        blocks: the digests of its blocks.
        digest: of its value: equal values have equal digests on all ranks.
        written: for each block of its room, 1 if it was written.
    """

    dtype: str = ""
    shape: tuple[int, ...] = ()
    blocks: bytes
    digest: int
    written: bytes


class Taken(Protocol):
    """The value of an item at one commit, borrowed from the program until it is stored."""

    @property
    def nbytes(self) -> int:
        """The length of its bytes."""

    @property
    def room(self) -> int:
        """The bytes that are kept for it in the slot: `nbytes`, or more for what may grow. The rest holds zeros."""

    @property
    def is_elastic(self) -> bool:
        """Whether its length may differ from commit to commit, within its room."""

    @property
    def parts(self) -> Array | Encoding:
        """Return the parts of the item: items must not share parts, and variables of the program may mean them."""

    def store(self, target: Bytes, old: Item | None, commit: Commit) -> Stored:
        """Copy it to (nbytes,) uint8, and hash it. With `old`, which lies there, only what has changed need be copied."""

    def hash_in_place(self) -> Stored:
        """Hash it where it lies, for an item that lies in the slot itself (`DeclaredItem.place`)."""


class DeclaredItem(Protocol):
    """One declared item of one entry of `main`.

    Attributes:
        name: the program's name for it.
        kind: how redundant it is.
        form: the adapter's.
        live: what the program holds.
        global_shape, axis: of a sharded array, the whole array's shape and the axis that is split; otherwise () and 0.
        place: the byte of the slot at which it lies itself (tight mode); None: it is copied there.
    """

    name: str
    kind: Kind
    live: Any

    @property
    def form(self) -> Form: ...
    @property
    def global_shape(self) -> tuple[int, ...]: ...
    @property
    def axis(self) -> int: ...
    @property
    def place(self) -> int | None: ...
    @property
    def declared_nbytes(self) -> int:
        """The bytes to protect, as far as they are known before a commit: an object's are not."""

    def live_nbytes(self, item: Item) -> int:
        """The bytes that the program holds, when it was committed as `item`."""

    def take(self, memo: Memo) -> Taken:
        """Take the value apart for a commit. UsageError: something in it cannot be restored exactly."""

    def parts(self) -> Array | Encoding:
        """Return the current parts of the item."""

    def restore(self, item: Item, source: Bytes) -> bool:
        """Set the live value, in place, from the bytes of a snapshot.

        Every block has its digest before anything of it is used, for memory may have changed since the agent's check (rule R5). False: one
        has not; what was set until then is of no use.

        Raises:
            UsageError: the item is declared otherwise than it was committed, or the value cannot be restored exactly.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDeclaration:
    """One call of `job.private` or `job.replicated`.

    Attributes:
        value: what is declared: passed by the program, made by `init`, or committed before.
        is_made_now: whether `init` has been called just now.
        may_move: whether the program holds the value by no name of its own, so that a copy may take its place.
        items: those declared before, by name.
        claim: takes the memory of an array for the item of that name: (name, array, may_move) to the array, or its copy in the slot, and
            the byte of the slot at which it lies or None. UsageError: another item lies there. ConfigError: there is no memory.
    """

    name: str
    kind: Kind
    value: Any
    is_made_now: bool
    may_move: bool
    items: Mapping[str, DeclaredItem]
    claim: Callable[[str, Array, bool], tuple[Array, int | None]]


class Adapter(Protocol):
    """One kind of item."""

    @property
    def form(self) -> Form:
        """The form under which its items are committed."""

    @property
    def revives(self) -> bool:
        """Whether a committed value is restored at its declaration already (`revive`), and not at the loop's first `next()`."""

    def accepts(self, value: Any) -> bool:
        """Return whether a value is of this kind."""

    def declare(self, declaration: ItemDeclaration) -> DeclaredItem:
        """Check a value and return its item. UsageError: the value cannot be protected; the text names an alternative."""

    def revive(self, name: str, kind: Kind, source: Bytes, value: Any) -> Any:
        """Return the committed value at its declaration: `value` restored in place, or a new one if it is `MISSING`."""
