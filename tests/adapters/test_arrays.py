"""An array of any dtype and memory order comes back from a slot with the bits it went in with, and its digests say so."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from perdure.adapters import arrays
from perdure.coding import copying
from perdure.core.snapshot_index import BLOCK_BYTES
from perdure.runtime.digests import of_blocks

STRUCTURED = np.dtype([("position", "f8", (3,)), ("name", "U4"), ("at", "M8[ms]"), ("inner", [("flag", "?"), ("count", "<i2")])])
ALIGNED = np.dtype([("flag", "u1"), ("value", "f8")], align=True)
OUT_OF_ORDER = np.dtype({"names": ["late", "early"], "formats": ["i4", "i4"], "offsets": [4, 0]})
DTYPES = ["?", "u1", "<i2", ">i4", "f2", ">f8", "g", "c8", "c16", "S3", "U2", "M8[ns]", "m8[D]", "V5", STRUCTURED, ALIGNED, OUT_OF_ORDER]


def filled(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Arbitrary bits that every dtype can hold: bytes 0 and 1, never an invalid character or boolean."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(count).integers(0, 2, count, np.uint8)
    return bits.view(dtype).reshape(shape) if count else np.empty(shape, dtype)


def there_and_back(array: np.ndarray, into: np.ndarray) -> bytes:
    slot = np.full(array.nbytes, 0xEE, np.uint8)
    blocks = arrays.store(slot, array)
    assert slot.tobytes() == array.tobytes(), "a slot holds an array in C order, whatever its own order is"
    assert blocks == of_blocks(slot)
    assert arrays.load(into, slot, blocks)
    assert into.tobytes() == array.tobytes()
    if array.nbytes:
        slot[array.nbytes // 2] ^= 1
        assert not arrays.load(into, slot, blocks), "what is set is what has its digest"
    return blocks


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0, 2), (4, 3, 2)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_dtype_and_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    array = filled(shape, dtype)
    there_and_back(array, np.zeros_like(array))


@pytest.mark.parametrize("dtype", ["u1", "f8", STRUCTURED, OUT_OF_ORDER], ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda a: np.asfortranarray(a), lambda a: a.T, lambda a: a[::2, 1:], lambda a: a[::-1], lambda a: a[:, ::-3],
        lambda a: a[:0], lambda a: a[2:3, 4],
    ],
    ids=["fortran", "transposed", "strided", "backwards", "backwards in steps", "empty view", "a single element"],
)  # fmt: skip
def test_any_memory_order_on_both_sides(dtype: Any, view: Any) -> None:
    array = view(filled((6, 8), dtype))
    untouched = np.zeros((6, 8), dtype)
    into = view(untouched)
    blocks = there_and_back(array, into)
    assert blocks == there_and_back(np.ascontiguousarray(array), np.zeros(array.shape, dtype)), "digests depend on values, not on strides"


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::2]], ids=["whole", "strided"])
def test_the_gaps_between_fields_are_state_like_any_other(view: Any) -> None:
    array = view(filled((8,), ALIGNED))
    slot, again = np.empty((2, array.nbytes), np.uint8)
    blocks = arrays.store(slot, array)
    into = view(np.full(8 * ALIGNED.itemsize, 0xEE, np.uint8).view(ALIGNED))
    assert arrays.load(into, slot, blocks)
    arrays.store(again, into)
    assert (slot == again).all(), "the same program would have another digest after a recovery"


@given(arrays_of.arrays(arrays_of.scalar_dtypes(), arrays_of.array_shapes(min_dims=0, min_side=0, max_dims=4)), st.data())
def test_any_view_of_any_array(array: np.ndarray, data: st.DataObject) -> None:
    view = array[data.draw(arrays_of.basic_indices(array.shape, allow_ellipsis=True, allow_newaxis=True))]
    there_and_back(np.asarray(view), np.zeros(np.shape(view), array.dtype))


@pytest.mark.parametrize("length", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17])
def test_there_is_one_digest_a_block_and_a_short_one_at_the_end(length: int) -> None:
    source = np.random.default_rng(length).integers(0, 256, length, np.uint8)
    target = np.empty_like(source)
    expected = [xxhash.xxh3_64_intdigest(source[at : at + BLOCK_BYTES].tobytes()) for at in range(0, length, BLOCK_BYTES)]
    digests = np.frombuffer(arrays.copy_hashed(target, source), "<u8")
    assert digests.tolist() == expected
    assert target.tobytes() == source.tobytes()


def test_a_changed_bit_changes_the_digest_of_its_block_only() -> None:
    data = np.zeros(3 * BLOCK_BYTES, np.uint8)
    before = np.frombuffer(of_blocks(data), "<u8")
    data[BLOCK_BYTES + 5] ^= 1
    assert (before != np.frombuffer(of_blocks(data), "<u8")).tolist() == [False, True, False]


def test_bytes_are_those_of_the_array_and_not_a_copy() -> None:
    array = np.arange(6.0).reshape(2, 3)
    view = arrays.as_bytes(array)
    assert np.shares_memory(view, array)
    assert view.tobytes() == array.tobytes()
    assert arrays.as_bytes(np.empty((3, 0))).shape == (0,)
    assert arrays.as_bytes(np.empty(3, "V0")).shape == (0,)


def test_the_value_digest_tells_dtype_and_shape_apart() -> None:
    blocks = of_blocks(np.zeros(16, np.uint8))
    kinds = {arrays.value_digest(dtype, shape, blocks) for dtype in ("<f8", "<i8") for shape in ((2,), (2, 1))}
    assert len(kinds) == 4


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dtype_in_words_tells_it_from_all_others(dtype: Any) -> None:
    words = [arrays.dtype_text(np.dtype(other)) for other in DTYPES]
    assert words.count(arrays.dtype_text(np.dtype(dtype))) == 1


def test_a_large_array_is_stored_and_loaded_past_the_cache() -> None:
    copying.prepare()
    array = np.random.default_rng(5).random((copying.STREAM_BYTES // 8 + 1001,))
    slot = np.zeros(array.nbytes, np.uint8)
    blocks = arrays.store(slot, array)
    assert blocks == of_blocks(slot)
    again = np.zeros_like(array)
    assert arrays.load(again, slot, blocks)
    assert (again == array).all()
