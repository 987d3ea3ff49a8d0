"""The interface of a program: `Job`, with the declarations of state and the loop that commits it.

A `Job` lives for one entry into `main`. `KeptMemory` lives as long as the process and passes buffers and derived values from one entry to
the next. The loop's first `next()` sets every item to the committed state, so what a program writes before the loop is harmless.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import numpy.random  # NumPy imports it at its first use, which would be in the middle of a recovery
from numpy.typing import NDArray

from perdure.adapters import items, sharing
from perdure.adapters.adapter import MISSING, DeclaredItem, ItemDeclaration
from perdure.adapters.array_items import ArrayItem
from perdure.adapters.change_detection import Memo
from perdure.adapters.declarations import gigabytes, plain, split
from perdure.adapters.encoding import Encoding
from perdure.adapters.kept_memory import KeptMemory
from perdure.adapters.loop_frames import loop_frames
from perdure.adapters.memory_claims import MemoryClaims
from perdure.adapters.object_items import ObjectItem
from perdure.adapters.places import Items
from perdure.adapters.random_items import RandomItem
from perdure.adapters.rebinding import Rebinding
from perdure.adapters.registry import adapter_of, adapter_of_form
from perdure.adapters.sharing import RANDOM
from perdure.adapters.tracking import tracker
from perdure.comm import Communicator
from perdure.comm.mpi import in_transit
from perdure.comm.mpi.communicator import bound
from perdure.comm.mpi.scoped import Scoped
from perdure.core.channel_sums import NOTHING, refusal
from perdure.core.ids import END, Label
from perdure.core.snapshot_index import Item, Kind
from perdure.errors import UsageError
from perdure.runtime.digests import of_blocks
from perdure.runtime.session import GenerationSession

Array = NDArray[Any]
Index = tuple[slice, ...]
RESERVED = "__"
"""Begins the names of items that are not the program's."""
RESULT = "__result__"
RESULT_BYTES_MAX = 1 << 30
"""A result is copied by each process that it goes through."""

_running: Scoped[Job] = Scoped()


def current() -> Job:
    """The running job: for code that is not handed one, and for scripts that have no `main`."""
    running = _running.get()
    if running is None:
        raise UsageError("no job is running in this process: start the program with `perdure run`")
    return running


class Job:
    """One entry of `main` on one rank. Every call may raise `GenerationRevoked`, which is to be let through."""

    def __init__(self, session: GenerationSession, memory: KeptMemory) -> None:
        self._session, self._memory = session, memory
        self._superstep = session.base.superstep if session.base else 0
        self._entries: dict[str, DeclaredItem] = {}
        self._memo = Memo(tracker=tracker() if session.tracks_writes else None, check_restore=session.parameters.check_restore)
        self._claims = MemoryClaims(session, self._entries)
        self._loop = "before"
        self._ended_at = 0
        self._is_over = False
        self._every: int | None = None
        self._rebound = Rebinding()
        seeds = np.random.SeedSequence(session.parameters.seed).spawn(session.size)[session.rank]
        self._rng = np.random.default_rng(seeds)
        self._random = RandomItem(RANDOM, self._rng)
        if session.alone:
            random.seed(int(seeds.generate_state(1)[0]))
            np.random.seed(seeds.generate_state(4))

    @property
    def rank(self) -> int:
        """The number of this rank, from 0 on. It stays the same after a loss."""
        return self._session.rank

    @property
    def size(self) -> int:
        """The number of ranks of the job."""
        return self._session.size

    @property
    def generation(self) -> int:
        """The number of the membership: 1, and one more after each loss."""
        return self._session.generation

    @property
    def superstep(self) -> int:
        """The superstep that runs now, or comes next."""
        return self._superstep

    @property
    def rng(self) -> np.random.Generator:
        """A generator of this rank's own, independent of the others', protected like every item, with the children that it spawns."""
        return self._rng

    @property
    def comm(self) -> Communicator:
        """All ranks of this generation, with mpi4py's calls."""
        self._session.check()
        return self._session.comm

    # ---- declarations -----------------------------------------------------------------------------------------------------

    def sharded(
        self, name: str, shape: int | tuple[int, ...], dtype: Any = float, axis: int = 0, init: Any = 0, halo: int = 0, recover: Any = None
    ) -> Array:
        """Declares one global array, split along `axis` over the ranks as `numpy.array_split` does.

        Args:
            name: of the item, the same on all ranks.
            shape: of the whole array.
            dtype: any but object.
            init: a scalar, or a function that gets the block's global index (see `index`) and gives the block or a scalar. It is called
                at the first entry only, on all ranks.
            halo: so many ghost rows on each side of the local block along `axis`. They are no state: NaN at every entry.

        Returns:
            This rank's block (with ghost rows), to be changed in place. It holds the committed state from the first superstep on.

        Raises:
            UsageError: the name is taken, or the loop has begun. ConfigError: this machine has not memory enough.
        """
        self._may_declare(name, recover)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = plain(name, np.dtype(dtype))
        if not -len(shape) <= axis < len(shape):
            raise UsageError(f"the item {name!r} of shape {shape} has no axis {axis}: use axis 0 to {len(shape) - 1}")
        axis %= len(shape)
        index = split(shape, axis, self.size, self.rank)
        rows = index[axis].stop - index[axis].start
        local = (*shape[:axis], rows + 2 * halo, *shape[axis + 1 :])
        inner = (slice(None),) * axis + (slice(halo, halo + rows),)
        is_resident = self._claims.residence.takes(local, rows, axis if halo else 0)
        live, start = self._claims.make(name, local, dtype, self._memory, is_resident=is_resident)
        own = live[inner] if halo else live
        place = None if start is None else start + halo * live.strides[axis]
        entry = ArrayItem(name=name, kind=Kind.SHARDED, live=live, own=own, global_shape=shape, axis=axis, halo=halo, place=place)
        self._entries[name] = entry
        if self._session.base is None:
            own[...] = init(index) if callable(init) else init
        entry.spoil_ghosts()
        return live

    def replicated(self, name: str, value: Any = MISSING, *, init: Any = MISSING, recover: Any = None) -> Any:
        """Declare an array or an object that is the same on every rank: it costs no parity, and a lost rank gets it from any other.

        Args:
            value: a NumPy array (not read-only), or an object: a dict, a list or a dataclass with all that it holds.
            init: instead of `value`, a function that makes it. For an object it is called at the first entry only.

        Returns:
            The array or the object itself. An object has its committed contents already, in place: what the program names of it, before or
            after the declaration, goes on being a part of it.

        Raises:
            UsageError: something in the object cannot be restored exactly; the text has the path to it. Here, or at a commit.
        """
        self._may_declare(name, recover)
        return self._declare(name, Kind.REPLICATED, value, init)

    def private(self, name: str, value: Any = MISSING, *, init: Any = MISSING, resize: Any = None, recover: Any = None) -> Any:
        """Declares an array or an object of this rank's own; protected by parity. Arguments as of `replicated`."""
        self._may_declare(name, recover)
        if resize is not None:
            raise UsageError(f"the item {name!r}: resize= is not supported yet, because a job cannot change its size; leave it out")
        return self._declare(name, Kind.PRIVATE, value, init)

    def derived(self, name: str, make: Callable[[], Any]) -> Any:
        """A value that `make()` computes again in a new process and that survivors keep. It must not communicate."""
        self._may_declare(name, None)
        if name not in self._memory.derived:
            with self._session.forbid_comm(
                f"make of the derived item {name!r} must not communicate, because after a loss only replaced ranks call it"
            ):
                self._memory.derived[name] = make()
        return self._memory.derived[name]

    def index(self, name: str) -> Index:
        """Return the place of this rank's block of a sharded item in the whole array, without ghost rows."""
        entry = self._entries.get(name)
        if entry is None or entry.kind is not Kind.SHARDED:
            raise UsageError(f"index: no sharded item is named {name!r}")
        return split(entry.global_shape, entry.axis, self.size, self.rank)

    def gather(self, name: str) -> Array | None:
        """The whole array of a sharded item, on rank 0; None elsewhere. All ranks call it; it blocks."""
        self.index(name)
        entry = self._entries[name]
        assert isinstance(entry, ArrayItem)
        blocks = self.comm.gather(np.ascontiguousarray(entry.own))
        return None if blocks is None else np.concatenate(blocks, axis=entry.axis)

    def emit(self, channel: str, record: Any) -> NoReturn:
        """Comes later."""
        raise UsageError("job.emit is not supported yet: return the data from main, or declare it")

    def once(self, name: str, make: Callable[[], Any]) -> NoReturn:
        """Comes later."""
        raise UsageError("job.once is not supported yet: a program has one supersteps loop")

    def _may_declare(self, name: str, recover: Any) -> None:
        self._session.check()
        if recover is not None:
            raise UsageError(f"the item {name!r}: recover= is not supported yet; leave it out, parity rebuilds the item")
        if not isinstance(name, str) or not name or name.startswith(RESERVED):
            raise UsageError(f"an item's name must be a non-empty string that does not begin with two underscores, not {name!r}")
        if self._loop != "before":
            raise UsageError(
                f"the item {name!r} is declared after the supersteps loop began (superstep {self.superstep}): declare it before the loop"
            )
        if name in self._entries:
            raise UsageError(f"the item {name!r} is declared twice: give each item its own name")

    def _declare(self, name: str, kind: Kind, value: Any, init: Any) -> Any:
        if (value is MISSING) == (init is MISSING):
            raise UsageError(f"the item {name!r} needs either a value or init=, not both")
        is_made_here = value is MISSING
        committed = self._committed(name, kind)
        if committed is not None:
            value = adapter_of_form(committed[0].form).revive(name, kind, committed[1], value)
        if value is MISSING:
            value = init() if callable(init) else init
        adapter = adapter_of(name, value)
        may_move = init is not MISSING and kind is Kind.PRIVATE and self._claims.residence.takes_over(value)
        item = adapter.declare(
            ItemDeclaration(
                name=name, kind=kind, value=value, is_made_now=is_made_here and callable(init) and committed is None, may_move=may_move,
                items=self._entries, claim=self._claims.claim,
            )
        )  # fmt: skip
        self._entries[name] = item
        return item.live

    def _committed(self, name: str, kind: Kind) -> tuple[Item, Array] | None:
        """Return the item of that name that was committed, and its bytes, which were checked; None: there is none to be revived now."""
        base = self._session.base
        if base is None:
            return None
        item = next((one for one in base.offer.items if one.name == name and one.kind is kind), None)
        if item is None or not adapter_of_form(item.form).revives:
            return None
        source = items.bytes_of(item, base.offer, base.slot)
        if of_blocks(source) != item.blocks:
            self._session.base_is_wrong()
        return item, source

    # ---- the loop ---------------------------------------------------------------------------------------------------------

    def supersteps(self, count: int | None = None, commit_every: int | str = "auto") -> Iterator[int]:
        """The loop: `for superstep in job.supersteps(1000): ...`. Its `next()` is the only commit point.

        Args:
            count: how many; None: until `break`, which all ranks take in the same superstep.
            commit_every: supersteps between two commits, or "auto": by the cost of a commit and the rate of failures.

        Yields:
            The superstep's number; after a recovery it goes on from the committed one.
        """
        if self._loop != "before":
            raise UsageError("a program has only one supersteps loop: put both parts into one loop")
        every = self._session.parameters.commit_every or commit_every
        if every != "auto" and not (isinstance(every, int) and every >= 1):
            raise UsageError(f"commit_every must be a number of supersteps, at least 1, or 'auto', not {every!r}")
        if count is not None and (not isinstance(count, int | np.integer) or count < 0):
            raise UsageError(f"supersteps needs a number that is not negative, not {count!r}")
        self._every = every if isinstance(every, int) else None
        self._loop = "declared"
        return self._run_loop(count, sys._getframe(1))

    def _run_loop(self, count: int | None, caller: FrameType) -> Iterator[int]:
        frames = loop_frames(sys._getframe(1), caller)
        self._begin(frames)
        self._rebound.note(frames, self._entries)
        first = self.superstep
        for superstep in itertools.count(first):
            self._superstep = superstep
            self._ended_at = superstep
            if count is not None and superstep >= count:
                break
            if superstep != first and self._is_position(superstep):
                self._rebound.check(self._entries, superstep)
                self._commit(superstep)
            self._session.superstep_reached(superstep, count)
            yield superstep
            self._session.check()
        self._loop = "over"

    def _begin(self, frames: list[FrameType] | None = None) -> None:
        """The first `next()`: every item becomes the committed state; there is none yet: this state is committed."""
        self._loop = "running"
        self._session.comm.engine.allows_crossing = self._session.parameters.on_crossing == "warn"
        base = self._session.base
        self._entries[RANDOM] = self._random
        if base is None:
            self._commit(0)
        elif not items.unpack(self._entries.values(), base.offer, base.slot):
            self._session.base_is_wrong()
        else:
            self._session.comm.engine.pass_commit(base.superstep)
        self._note_names(frames)

    def _note_names(self, frames: list[FrameType] | None) -> None:
        """Record the parts that variables of the program mean now; each commit checks them."""
        found: list[tuple[str, Array | Encoding]] = []
        for entry in self._entries.values():
            found.append((entry.name, entry.parts()))
            if isinstance(encoding := found[-1][1], Encoding) and entry.name != RANDOM:
                self._memo.names.note(encoding)
        sharing.check_derived(self._memory.derived, found)
        if frames is not None:
            self._memo.variables.note(frames, Items(found), owns_modules=self._session.alone)

    def _is_position(self, superstep: int) -> bool:
        if self._every is not None:
            return superstep % self._every == 0
        return self._session.is_position(superstep)

    def _commit(self, superstep: int) -> None:
        session = self._session
        transit = NOTHING if superstep == END or self._is_over else in_transit.transit(session.comm.engine)
        if transit.unfinished and session.parameters.on_crossing == "stop":
            raise UsageError(refusal(transit.unfinished, superstep))
        session.begin_snapshot(superstep)
        position = session.next_position(superstep) if self.rank == 0 and self._every is None and superstep != END else -1
        ended_at = self._ended_at if superstep == END else -1
        offer = items.pack(
            self._entries.values(), self._slot, rank=self.rank, next_position=position, ended_at=ended_at,
            previous=session.previous, memo=self._memo, resident_bytes=self._claims.residence.nbytes,
            label=Label(self.generation, superstep), transit=transit,
        )  # fmt: skip
        programs = [one for one in offer.items if not one.name.startswith(RESERVED)]
        live = sum(self._entries[one.name].live_nbytes(one) for one in programs)
        resident = sum(self._entries[one.name].live_nbytes(one) for one in programs if self._entries[one.name].place is not None)
        session.comm.engine.pass_commit(superstep)
        session.finish_snapshot(superstep, offer, live, resident)

    def _slot(self, nbytes: int) -> Array:
        """Return the slot for the next snapshot. At the first commit, when the sizes of objects are known, check that they fit."""
        if self._session.base is None and self.superstep == 0:
            self._claims.check_objects(nbytes)
        return self._session.slot(nbytes)

    def _finish(self, result: bytes) -> None:
        """After `main` returned: commits the end, with `result` on rank 0. Blocks until it is committed (rule C10)."""
        self._is_over = True
        self._memo.variables.forget()
        self._rebound.forget()
        if len(result) > RESULT_BYTES_MAX:
            raise UsageError(
                f"main returned {gigabytes(len(result))} on rank 0, but a result has at most {gigabytes(RESULT_BYTES_MAX)}: return less, "
                "or write it to a file"
            )
        if self._loop in ("before", "declared"):
            self._begin()
        self._loop = "over"
        self._entries[RESULT] = ObjectItem(name=RESULT, kind=Kind.PRIVATE, live={"result": result} if self.rank == 0 else {})
        self._commit(END)

    def _keep(self) -> None:
        """Leaves the arrays to the next generation of this process; notes writes to them, and looks at the caller's variables, no more."""
        self._memo.variables.forget()
        self._rebound.forget()
        if self._memo.tracker is not None:
            self._memo.tracker.close()
        kept = [entry for entry in self._entries.values() if entry.kind is Kind.SHARDED and entry.place is None]
        self._memory.buffers = {entry.name: entry.live for entry in kept}


def run_main(
    main: Callable[..., Any], arguments: dict[str, Any], session: GenerationSession, memory: KeptMemory, dump: Callable[[Any], bytes]
) -> None:
    """Enters `main` once, and commits the end when it returns. Every exception passes through."""
    job = Job(session, memory)
    try:
        with _running.bound(job, to_thread=not session.alone), bound(session.comm, to_thread=not session.alone):
            result = main(job, **arguments)
        job._finish(dump(result) if job.rank == 0 else b"")
    except Exception as error:
        why = job._memo.variables.explain(error)
        if why is None:
            raise
        raise UsageError(why) from error
    finally:
        job._keep()
