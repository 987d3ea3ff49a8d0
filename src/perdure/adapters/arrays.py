"""NumPy arrays to bytes and back, hashed block by block while they are in the cache.

A copy waits for memory most of its time, so the digest of a block that has only just been copied costs next to nothing (measured on one
core, in CPU time, 16 to 256 MiB: 0.99 to 1.15 times the bare copy; to hash afterwards would add 0.6). That is why a rank hashes its
state itself, while it is held up, and hands on a complete offer: a digest taken later, on a thread, would read all of it again, and
compete with the program for the core and for the interpreter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from perdure.coding.copying import STREAM_BYTES, StreamingCopy
from perdure.core.snapshot_index import BLOCK_BYTES
from perdure.runtime.digests import of_block, of_blocks

Bytes = NDArray[np.uint8]
Array = NDArray[Any]


def as_bytes(array: Array) -> Bytes:
    """The bytes of a C-contiguous array as (nbytes,) uint8, without a copy."""
    return array.reshape(-1).view(np.uint8) if array.nbytes else np.empty(0, np.uint8)


def copy_hashed(target: Bytes, source: Bytes) -> bytes:
    """Copies equally long arrays; returns the block digests, 8 bytes each. A block is hashed while it is still in the cache.

    Nothing else may change the source meanwhile: what is hashed is the source, for the target of a large array is not in the cache.
    """
    digests = bytearray()
    stream = StreamingCopy(target, source) if len(source) >= STREAM_BYTES else None
    for start in range(0, len(source), BLOCK_BYTES):
        block = source[start : start + BLOCK_BYTES]
        if stream is not None:
            stream.copy(start, start + len(block))
        else:
            target[start : start + len(block)] = block
        digests += of_block(block)
    return bytes(digests)


def store(target: Bytes, array: Array) -> bytes:
    """Copies an array of any memory order to (nbytes,) uint8 in C order; returns its block digests."""
    if array.flags.c_contiguous or not array.nbytes:
        return copy_hashed(target, as_bytes(array))
    array = _whole_elements(array)
    np.copyto(target.view(array.dtype).reshape(array.shape), array)
    return of_blocks(target)


def load(array: Array, source: Bytes, blocks: bytes) -> bool:
    """Sets an array of any memory order from the bytes that `store` made of one like it. False: they do not have these block digests any
    more, and the array may hold a part of them."""
    if array.flags.c_contiguous and array.nbytes:
        return copy_hashed(as_bytes(array), source) == blocks
    if of_blocks(source) != blocks:
        return False
    if array.nbytes:
        array = _whole_elements(array)
        np.copyto(array, source.view(array.dtype).reshape(array.shape))
    return True


def _whole_elements(array: Array) -> Array:
    """A view in which structured elements are opaque: NumPy copies them field by field, and leaves out the gaps between the fields."""
    return array.view(np.dtype((np.void, array.itemsize))) if array.dtype.names else array


def value_digest(array_dtype: str, shape: tuple[int, ...], blocks: bytes) -> int:
    """The digest of an array's value: of its dtype, its shape and its block digests."""
    return xxhash.xxh3_64_intdigest(f"{array_dtype}{shape}".encode() + blocks)


def dtype_text(dtype: np.dtype[Any]) -> str:
    """A dtype in words: byte order and units, and of a structured one the offsets, if they are not the usual ones."""
    return str(dtype) if dtype.names else dtype.str
