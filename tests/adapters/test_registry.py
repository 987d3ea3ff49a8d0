"""A kind of item that perdure does not know goes through a commit and a restore without a change anywhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from perdure.adapters import items, registry
from perdure.adapters.adapter import Commit, ItemDeclaration, Stored
from perdure.adapters.array_items import ArrayAdapter
from perdure.adapters.change_detection import Memo
from perdure.adapters.object_items import ObjectAdapter
from perdure.core.snapshot_index import BLOCK_BYTES, Form, Item, Kind
from perdure.errors import UsageError
from perdure.runtime.digests import of_blocks

Bytes = NDArray[np.uint8]


class Tape:
    """A value that only its adapter can read: it is on another device, so to say."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(slots=True, kw_only=True)
class TapeItem:
    name: str
    kind: Kind
    live: Tape
    form: Form = Form.OBJECT
    global_shape: tuple[int, ...] = ()
    axis: int = 0
    place: int | None = None
    declared_nbytes: int = field(init=False, default=0)

    def live_nbytes(self, item: Item) -> int:
        return item.nbytes

    def take(self, memo: Memo) -> TakenTape:
        return TakenTape(np.frombuffer(self.live.text.encode(), np.uint8))

    def parts(self) -> NDArray[Any]:
        return np.empty(0)

    def restore(self, item: Item, source: Bytes) -> bool:
        if of_blocks(source) != item.blocks:
            return False
        self.live.text = source.tobytes().decode()
        return True


@dataclass(frozen=True, slots=True)
class TakenTape:
    data: Bytes

    is_elastic = True

    @property
    def nbytes(self) -> int:
        return len(self.data)

    @property
    def room(self) -> int:
        return len(self.data)

    @property
    def parts(self) -> NDArray[Any]:
        return self.data

    def store(self, target: Bytes, old: Item | None, commit: Commit) -> Stored:
        target[:] = self.data
        return Stored(blocks=of_blocks(target), digest=hash(target.tobytes()), written=b"\1" * -(-len(target) // BLOCK_BYTES))

    def hash_in_place(self) -> Stored:
        raise NotImplementedError


class TapeAdapter:
    form: Final = Form.OBJECT
    revives: Final = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Tape)

    def declare(self, declaration: ItemDeclaration) -> TapeItem:
        return TapeItem(name=declaration.name, kind=declaration.kind, live=declaration.value)

    def revive(self, name: str, kind: Kind, source: Bytes, value: Any) -> Any:
        return value


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> TapeAdapter:
    monkeypatch.setattr(registry, "_ADAPTERS", list(registry._ADAPTERS))
    adapter = TapeAdapter()
    registry.register(adapter)
    return adapter


def test_a_registered_kind_is_committed_and_restored(tapes: TapeAdapter) -> None:
    tape = Tape("one")
    assert registry.adapter_of("tape", tape) is tapes
    made: list[Bytes] = []

    def slot(nbytes: int) -> Bytes:
        made.append(np.zeros(nbytes, np.uint8))
        return made[0]

    item = TapeItem(name="tape", kind=Kind.PRIVATE, live=tape)
    offer = items.pack([item], slot, rank=0, next_position=-1, ended_at=-1)
    tape.text = "another"
    assert items.unpack([item], offer, made[0])
    assert tape.text == "one"
    made[0][0] ^= 1
    assert not items.unpack([item], offer, made[0]), "a damaged block was used"


def test_arrays_and_objects_have_an_adapter_each_and_other_values_none() -> None:
    assert isinstance(registry.adapter_of("a", np.zeros(2)), ArrayAdapter)
    assert isinstance(registry.adapter_of("a", {}), ObjectAdapter)
    assert isinstance(registry.adapter_of_form(Form.ARRAY), ArrayAdapter)
    assert isinstance(registry.adapter_of_form(Form.OBJECT), ObjectAdapter)
    with pytest.raises(UsageError, match="the item 'a' is a int, which cannot change in place"):
        registry.adapter_of("a", 3)
