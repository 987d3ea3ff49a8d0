"""The kernel's word on which pages were written. A page that it leaves out would be missing from a commit."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from perdure.runtime.dirty_pages import PAGE_BYTES, DirtyPages, is_private

HUGE = 2 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
PRIVATE, SHARED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.mremap.restype = ctypes.c_void_p
LIBC.mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p)
WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE
MAYMOVE, FIXED_PLACE, DONTUNMAP = 1, 2, 4
FIXED, DONTNEED, HUGEPAGE, NOHUGEPAGE, POPULATE_WRITE = 0x10, 4, 14, 15, 23


def can_watch() -> bool:
    try:
        DirtyPages().close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not can_watch(), reason="this kernel does not tell which pages were written")


@pytest.fixture
def pages() -> Iterator[DirtyPages]:
    one = DirtyPages()
    yield one
    one.close()


class Memory:
    """Some pages of anonymous memory, all there, that begin where a huge page can."""

    def __init__(self, pages: DirtyPages, nbytes: int = 4 * HUGE, *, advice: int = NOHUGEPAGE) -> None:
        self._mapped = mmap.mmap(-1, nbytes + HUGE, PRIVATE)
        whole = np.frombuffer(self._mapped, np.uint8)
        skip = -whole.ctypes.data % HUGE
        self.bytes = whole[skip : skip + nbytes]
        self.start = self.bytes.ctypes.data
        LIBC.madvise(self.start, nbytes, advice)
        self.bytes[:] = 1
        self.pages, self.stop = pages, self.start + nbytes
        pages.watch(self.start, self.stop)

    def taken(self) -> list[int]:
        """The numbers of the pages that were written since the last time."""
        found = (self.pages.take(self.start, self.stop) - self.start) // PAGE_BYTES
        return [number for first, last in found for number in range(first, last)]


def test_nothing_was_written_at_first_and_a_write_is_told_once(pages: DirtyPages) -> None:
    memory = Memory(pages)
    assert memory.taken() == []
    memory.bytes[5 * PAGE_BYTES] = 9
    memory.bytes[8 * PAGE_BYTES - 1 : 8 * PAGE_BYTES + 1] = 9
    assert memory.taken() == [5, 7, 8]
    assert memory.taken() == []
    assert memory.bytes[5 * PAGE_BYTES] == 9


def test_reading_is_no_write_and_writing_what_was_there_is_one(pages: DirtyPages) -> None:
    memory = Memory(pages)
    assert memory.bytes.sum() == len(memory.bytes)
    assert memory.taken() == []
    memory.bytes[0] = 1
    assert memory.taken() == [0]


@pytest.mark.parametrize("advice", [HUGEPAGE, NOHUGEPAGE])
def test_every_page_of_a_random_set(pages: DirtyPages, advice: int) -> None:
    """In huge pages, where there are any, a write splits one; more stretches than one call of the kernel answers."""
    memory = Memory(pages, 32 * HUGE, advice=advice)
    rng = np.random.default_rng(advice)
    for share in (0.001, 0.5, 0.02, 1.0):
        wanted = np.flatnonzero(rng.random(len(memory.bytes) // PAGE_BYTES) < share)
        memory.bytes[wanted * PAGE_BYTES + rng.integers(0, PAGE_BYTES, len(wanted))] += np.uint8(1)
        assert memory.taken() == wanted.tolist()


def test_what_the_kernel_writes_for_this_process_counts(pages: DirtyPages) -> None:
    memory = Memory(pages)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * 5000)
        assert ours.recv_into(memory.bytes[2 * PAGE_BYTES - 7 :].data, 5000) == 5000
    assert memory.taken() == [1, 2, 3]
    with open("/proc/self/exe", "rb", buffering=0) as file:
        assert file.readinto(memory.bytes[10 * PAGE_BYTES :][: 2 * PAGE_BYTES].data) == 2 * PAGE_BYTES
    assert memory.taken() == [10, 11]
    assert memory.bytes[2 * PAGE_BYTES] == ord("x")


def test_what_is_written_from_outside_through_the_kernel_counts(pages: DirtyPages) -> None:
    """As a debugger does, or a peer's `process_vm_writev`; here this process to itself."""
    memory = Memory(pages)
    with open("/proc/self/mem", "rb+", buffering=0) as file:
        file.seek(memory.start + 4 * PAGE_BYTES)
        file.write(b"y")
    assert memory.taken() == [4]
    source = ctypes.create_string_buffer(b"z" * 10)
    ours, theirs = (ctypes.c_size_t * 2)(ctypes.addressof(source), 10), (ctypes.c_size_t * 2)(memory.start + 9 * PAGE_BYTES - 5, 10)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    assert LIBC.process_vm_writev(os.getpid(), ours, one, theirs, one, none) == 10
    assert memory.taken() == [8, 9]
    assert memory.bytes[9 * PAGE_BYTES] == ord("z")


def test_another_thread_s_writes_count(pages: DirtyPages) -> None:
    memory = Memory(pages)
    thread = threading.Thread(target=memory.bytes.__setitem__, args=(slice(0, 1), 3))
    thread.start()
    thread.join()
    assert memory.taken() == [0]


def test_a_forked_process_writes_to_its_own_copy_and_has_no_say(pages: DirtyPages) -> None:
    memory = Memory(pages)
    child = os.fork()
    if not child:
        memory.bytes[:PAGE_BYTES] = 7
        try:
            pages.take(memory.start, memory.stop)
        except OSError:
            os._exit(0)
        os._exit(1)
    memory.bytes[3 * PAGE_BYTES] = 7
    assert os.waitpid(child, 0)[1] == 0
    assert memory.taken() == [3]
    assert memory.bytes[0] == 1


@pytest.mark.parametrize("advice", [HUGEPAGE, NOHUGEPAGE])
def test_pages_that_were_dropped_count_as_written(pages: DirtyPages, advice: int) -> None:
    """They read as zeros."""
    memory = Memory(pages, advice=advice)
    LIBC.madvise(memory.start + HUGE, HUGE, DONTNEED)
    dropped = list(range(HUGE // PAGE_BYTES, 2 * HUGE // PAGE_BYTES))
    assert memory.taken() == dropped
    assert not memory.bytes[HUGE : 2 * HUGE].any()
    assert memory.taken() == []
    memory.bytes[HUGE] = 5
    assert memory.taken() == dropped[:1]


def test_memory_that_was_never_touched_can_be_watched(pages: DirtyPages) -> None:
    mapped = mmap.mmap(-1, HUGE, PRIVATE)
    array = np.frombuffer(mapped, np.uint8)
    start, stop = array.ctypes.data, array.ctypes.data + HUGE
    pages.watch(start, stop)
    array[7 * PAGE_BYTES] = 1
    LIBC.madvise(start, HUGE, POPULATE_WRITE)
    found = pages.take(start, stop)
    assert any(first <= start + 7 * PAGE_BYTES < last for first, last in found)
    assert len(pages.take(start, stop)) == 0


def replace(start: int, nbytes: int, how: str) -> None:
    """The memory there goes, and other memory comes to its place."""
    match how:
        case "mapped anew":
            LIBC.mmap(start, nbytes, WRITABLE, PRIVATE | FIXED, -1, 0)
        case "unmapped":
            LIBC.munmap(start, nbytes)
            assert not is_private(start - PAGE_BYTES, start + nbytes)
            LIBC.mmap(start, nbytes, WRITABLE, PRIVATE | FIXED, -1, 0)
        case "moved":
            assert LIBC.mremap(start + 2 * HUGE, nbytes, nbytes, MAYMOVE | FIXED_PLACE, start) == start


@pytest.mark.parametrize("how", ["mapped anew", "unmapped", "moved"])
def test_memory_at_the_same_address_is_not_the_same_memory(pages: DirtyPages, how: str) -> None:
    """An allocator gives an address out again, and `realloc` moves pages: nothing is known of what is there now."""
    memory = Memory(pages)
    replace(memory.start + HUGE, PAGE_BYTES, how)
    with pytest.raises(OSError, match="not permitted"):
        memory.taken()
    pages.forget(memory.start, memory.stop)
    memory.stop = memory.start + 2 * HUGE
    pages.watch(memory.start, memory.stop)
    memory.bytes[HUGE] = 2
    assert HUGE // PAGE_BYTES in memory.taken()
    assert HUGE // PAGE_BYTES not in memory.taken()


def test_pages_that_were_moved_away_count_as_written(pages: DirtyPages) -> None:
    """Their place reads as zeros (MREMAP_DONTUNMAP)."""
    memory = Memory(pages)
    LIBC.mremap(memory.start, PAGE_BYTES, PAGE_BYTES, MAYMOVE | DONTUNMAP, None)
    assert memory.taken() == [0]
    assert memory.bytes[0] == 0


def test_shared_and_file_backed_memory_is_refused(pages: DirtyPages, tmp_path: os.PathLike[str]) -> None:
    """Others write to it through page tables of their own."""
    path = os.path.join(tmp_path, "file")
    with open(path, "wb+") as file:
        file.truncate(HUGE)
        mappings = [
            mmap.mmap(-1, HUGE, SHARED),
            mmap.mmap(file.fileno(), HUGE),
            mmap.mmap(file.fileno(), HUGE, mmap.MAP_PRIVATE),
        ]
    for mapped in mappings:
        array = np.frombuffer(mapped, np.uint8)
        with pytest.raises(OSError, match="only private memory"):
            pages.watch(array.ctypes.data, array.ctypes.data + HUGE)


def test_forgotten_memory_is_not_known_and_can_be_watched_again(pages: DirtyPages) -> None:
    memory = Memory(pages)
    pages.forget(memory.start, memory.stop)
    memory.bytes[0] = 4
    with pytest.raises(OSError, match="not permitted"):
        memory.taken()
    other = DirtyPages()
    other.watch(memory.start, memory.stop)
    with pytest.raises(OSError, match="busy"):
        pages.watch(memory.start, memory.stop)
    other.close()
    pages.watch(memory.start, memory.stop)
