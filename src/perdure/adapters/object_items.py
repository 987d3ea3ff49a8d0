"""Python objects as items: taken apart at each commit (`encoding`), restored in place (`decoding`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import objects
from perdure.adapters.adapter import MISSING, Commit, ItemDeclaration, Stored
from perdure.adapters.change_detection import Memo
from perdure.adapters.encoding import Encoding
from perdure.adapters.references import named_outside
from perdure.core.snapshot_index import BLOCK_BYTES, Form, Item, Kind
from perdure.errors import UsageError
from perdure.runtime.digests import of_blocks

Bytes = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class ObjectItem:
    """A declared object. See `DeclaredItem`."""

    name: str
    kind: Kind
    live: Any
    form: Form = field(init=False, default=Form.OBJECT)
    global_shape: tuple[int, ...] = field(init=False, default=())
    axis: int = field(init=False, default=0)
    place: int | None = field(init=False, default=None)
    declared_nbytes: int = field(init=False, default=0)

    def live_nbytes(self, item: Item) -> int:
        """See `DeclaredItem`: as long as what was committed."""
        return item.nbytes

    def freeze(self) -> objects.Frozen:
        """Take the object apart. UsageError: something in it cannot be restored exactly.

        Of a replicated object it does not matter which NaN is which: a broadcast makes new ones.
        """
        return objects.freeze(self.name, self.live, by_value=self.kind is Kind.REPLICATED)

    def take(self, memo: Memo) -> TakenObject:
        """See `DeclaredItem`. A restore is tried when parts of a new kind appear (`RankParameters.check_restore`)."""
        frozen = self.freeze()
        is_known = frozen.encoding.classes <= memo.restored.setdefault(self.name, set())
        if memo.check_restore == "always" or (memo.check_restore == "first" and not is_known):
            frozen.try_restore()
            memo.restored[self.name] |= frozen.encoding.classes
        memo.names.check(frozen.encoding, memo.variables.references)
        room = frozen.nbytes if self.kind is Kind.REPLICATED else memo.room(self.name, frozen.nbytes)
        return TakenObject(self.name, frozen, room)

    def parts(self) -> Encoding:
        """See `DeclaredItem`."""
        return self.freeze().encoding

    def restore(self, item: Item, source: Bytes) -> bool:
        """See `DeclaredItem`."""
        if of_blocks(source) != item.blocks:
            return False
        if not self.freeze().equals(source):
            objects.restore(self.name, source, self.live, by_value=self.kind is Kind.REPLICATED)
            if not self.freeze().equals(source):
                raise UsageError(
                    f"the item {self.name!r} cannot be restored exactly: something in it is another thing in each process, such as a "
                    "hash or an address; leave it out of the item"
                )
        return True


@dataclass(frozen=True, slots=True)
class TakenObject:
    """An object at a commit. See `Taken`."""

    name: str
    frozen: objects.Frozen
    room: int

    is_elastic = True

    @property
    def nbytes(self) -> int:
        """See `Taken`."""
        return self.frozen.nbytes

    @property
    def parts(self) -> Encoding:
        """See `Taken`."""
        return self.frozen.encoding

    def store(self, target: Bytes, old: Item | None, commit: Commit) -> Stored:
        """See `Taken`: all of it is written."""
        self.frozen.store(target)
        blocks = of_blocks(target)
        digest = commit.memo.value_digest(self.name, self.nbytes, blocks, self.frozen.digest)
        return Stored(blocks=blocks, digest=digest, written=b"\1" * -(-self.room // BLOCK_BYTES))

    def hash_in_place(self) -> Stored:
        """See `Taken`."""
        raise NotImplementedError("no object lies in a slot itself")


class ObjectAdapter:
    """Dicts, lists and dataclasses that can change, with all that they hold. See `Adapter`."""

    form: Final = Form.OBJECT
    revives: Final = True

    def accepts(self, value: Any) -> bool:
        """See `Adapter`."""
        return objects.is_object(value)

    def declare(self, declaration: ItemDeclaration) -> ObjectItem:
        """See `Adapter`."""
        name, value = declaration.name, declaration.value
        if any(item.live is value for item in declaration.items.values()):
            raise UsageError(f"the item {name!r} is the same object as another item: declare it once")
        item = ObjectItem(name=name, kind=declaration.kind, live=value)
        if declaration.is_made_now:
            _held_by_nobody(item)
        return item

    def revive(self, name: str, kind: Kind, source: Bytes, value: Any) -> Any:
        """See `Adapter`: what the program names of the object, before or after its declaration, goes on being a part of it."""
        if value is MISSING:
            return objects.thaw(name, source)
        if objects.is_object(value):
            objects.restore(name, source, value, by_value=kind is Kind.REPLICATED)
        return value


def _held_by_nobody(item: ObjectItem) -> None:
    """Refuse an object that `init` made of what the program holds by another name: `init` is not called after a loss."""
    encoding = item.parts()
    named = named_outside(encoding)
    if named:
        raise UsageError(
            f"init of the item {item.name!r} returns at {encoding.path(named[0])} an object that the program has elsewhere, and init is "
            f"not called after a loss: pass the object itself, job.{item.kind}({item.name!r}, value), or make it inside init"
        )
