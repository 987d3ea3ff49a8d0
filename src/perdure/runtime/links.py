"""The data plane between agents: which links there are, and when they end.

A link belongs to one generation: its first bytes say which. An older one is refused; a newer one waits until this agent has installed
that generation. `shut` ends all links of the generations up to one, and `wait_quiet` waits until none of their threads runs. A link on
this machine is used again by later tasks; a thread that waits to be asked counts as quiet as long as its generation is not shut.
What is sent on a link is in `vault_protocol`, `vault_client` and `vault_server`.

Nothing vanishes on a thread of the data plane: the task whose link failed reports it if a label needs the task (`data_plane`); any other
exception is a fault of ours, and ends the agent with its traceback on standard error, so that the node counts as lost.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from perdure.comm.transports.resource_limits import check_resources
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.runtime.admission import DATA, Admission
from perdure.runtime.posix import end_process, stands_back
from perdure.runtime.rings import Rings
from perdure.runtime.vault import NotHeld, Vault
from perdure.runtime.vault_client import PeerMaps
from perdure.runtime.vault_protocol import LinkDown
from perdure.runtime.vault_server import VaultServer
from perdure.streams import Stream, connect

BUFFER_BYTES: Final = 4 << 20
"""Bytes; the kernel takes less where its limits are lower. Measured: larger ones bring nothing on loopback."""
LINK_TIMEOUT_S: Final = 60.0
"""A link without any byte for this long; a loss is known long before, and shuts the link."""
UNTIL_THE_END: Final = 1 << 31
"""The generation of work that no seal waits for."""
Work = queue.SimpleQueue[Callable[[], None]]
"""What a thread is asked to do, one after the other."""


@dataclass(slots=True)
class Sent:
    """Bytes of chunks that went to other agents so far, by purpose. What is read in place is counted by who reads it."""

    parity: int = 0
    rebuild: int = 0


class Links:
    """Takes and makes links of one generation at a time."""

    def __init__(
        self,
        vault: Vault,
        geometry_of: Callable[[int], Geometry],
        stored: Callable[[int, Label, int], None],
        admission: Admission,
        *,
        maps_peers: bool = True,
        failed: Callable[[BaseException], None] = end_process,
    ) -> None:
        """`maps_peers`: chunks of an agent on the same machine are read in place; `failed` hears of faults of threads."""
        self.vault = vault
        self.geometry_of = geometry_of
        self.stored = stored
        self.peer_maps = PeerMaps() if maps_peers else None
        self.rings = Rings()
        self._admission = admission
        self._failed = failed
        lock = threading.Lock()
        self._changed, self._quiet = threading.Condition(lock), threading.Condition(lock)
        """Of generations; and of who works. Apart: the second happens at every request, and wakes only who waits for quiet."""
        self._generation = 0
        self._shut = 0
        self._streams: dict[Stream, int] = {}
        self._idle: dict[tuple[str, int], list[Stream]] = {}
        """Links that no task uses, by address and generation."""
        self._running: Counter[int] = Counter()
        self._resting: Counter[int] = Counter()
        """Threads by generation, and how many of them wait to be asked."""
        self._threads: list[Work] = []
        """Those that have nothing to do."""
        self._is_closed = False
        self.sent = Sent()

    def open(self, generation: int) -> None:
        """From now on links of this generation are served."""
        with self._changed:
            self._generation = generation
            self._changed.notify_all()

    def shut(self, generation: int) -> None:
        """Ends all links up to `generation`; every thread that is blocked in one wakes."""
        with self._changed:
            self._shut = max(self._shut, generation)
            streams = [stream for stream, g in self._streams.items() if g <= generation]
            idle = [stream for key in list(self._idle) if key[1] <= generation for stream in self._idle.pop(key)]
            self._changed.notify_all()
            self._quiet.notify_all()
        with self.vault.changed:
            self.vault.changed.notify_all()
        for stream in streams:
            stream.shut_down()
        for stream in idle:
            self.hang_up(stream)

    def wait_quiet(self, generation: int) -> None:
        """Blocks until no thread works for generations up to `generation`."""
        with self._quiet:
            self._quiet.wait_for(lambda: not any(self._busy(g) for g in self._running if g <= generation))

    def _busy(self, generation: int) -> int:
        """Once it is shut, none may begin with what it still receives: then those that rest count as well."""
        return self._running[generation] - (0 if self.over(generation) else self._resting[generation])

    @contextlib.contextmanager
    def resting(self, generation: int) -> Iterator[None]:
        """In the block the thread waits to be asked."""
        with self._quiet:
            self._resting[generation] += 1
            self._quiet.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._resting[generation] -= 1

    def run(self, generation: int, work: Callable[[], None], name: str) -> None:
        """Runs `work` on a thread that counts as this generation's; a link that ends also ends the work."""

        def body() -> None:
            threading.current_thread().name = name
            try:
                work()
            except (LinkDown, NotHeld):
                pass  # the loss behind it is reported by whoever detects it, and a label that was given up needs no work
            except BaseException as error:
                self._failed(error)
            finally:
                with self._quiet:
                    self._running[generation] -= 1
                    if not self._running[generation]:
                        del self._running[generation], self._resting[generation]
                    self._quiet.notify_all()

        with self._changed:
            self._running[generation] += 1
            thread = self._threads.pop() if self._threads else None
        if thread is None:
            thread = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(thread,), daemon=True).start()
        thread.put(body)

    def _work(self, asked: Work) -> None:
        """The life of a thread: a commit has several pieces of work, and to start a thread takes as long as a small one."""
        while True:
            asked.get()()
            with self._changed:
                if self._is_closed or stands_back():
                    return
                self._threads.append(asked)

    def close(self) -> None:
        """After `shut`: gives back what is idle, threads too."""
        self.rings.close()
        with self._changed:
            self._is_closed = True
            for thread in self._threads:
                thread.put(lambda: None)

    def count(self, label: Label, nbytes: int) -> None:
        """Bytes of chunks that go to another agent. Those of an older generation's label can only be for a rebuild."""
        with self._changed:
            if label.generation < self._generation:
                self.sent.rebuild += nbytes
            else:
                self.sent.parity += nbytes

    def rest(self, generation: int, seconds: float) -> None:
        """Blocks for so long, or until the generation is shut."""
        with self._changed:
            self._changed.wait_for(lambda: self.over(generation), seconds)

    def over(self, generation: int) -> bool:
        """Has the generation been shut?"""
        return generation <= self._shut

    def dial(self, address: str, generation: int) -> Stream:
        """A link to the agent that listens at `address`. Blocks until it is there; `shut` ends that too. ConfigError: this process has no
        means for it."""
        try:
            with self._changed:
                if generation <= self._shut:
                    raise LinkDown("the generation is over")
                if self._idle.get((address, generation)):
                    return self._idle[address, generation].pop()
            stream = connect(address, lambda: self.over(generation))
        except OSError as error:
            check_resources("no link can be made", error)
            raise LinkDown(str(error)) from None
        try:
            self._note(stream, generation)
            stream.set_timeout(LINK_TIMEOUT_S)
            stream.send(self._admission.hello(DATA, generation))
        except OSError as error:  # LinkDown too
            self.hang_up(stream)
            raise LinkDown(str(error)) from None
        return stream

    def _note(self, stream: Stream, generation: int) -> None:
        stream.set_bulk(BUFFER_BYTES)
        with self._changed:
            self._streams[stream] = generation
            if generation <= self._shut:
                raise LinkDown("the generation is over")

    def hang_up(self, stream: Stream) -> None:
        """The task is done with its link."""
        with self._changed:
            self._streams.pop(stream, None)
        stream.close()

    def keep(self, stream: Stream, address: str) -> None:
        """The task is done with a link on which nothing is under way: the next one may have it. A link between machines may break unseen
        while nothing goes over it, so it ends here."""
        with self._changed:
            generation = self._streams.get(stream, self._shut)
            if stream.is_local and generation > self._shut:
                self._idle.setdefault((address, generation), []).append(stream)
                return
        self.hang_up(stream)

    def serve(self, stream: Stream, generation: int) -> None:
        """Answers one link until it ends; runs on a thread of its own, started by `run`."""
        try:
            self._note(stream, generation)
            with self._changed:
                self._changed.wait_for(lambda: self._generation >= generation or generation <= self._shut)
                if self._generation != generation or generation <= self._shut:
                    return
            served = VaultServer(self, stream, generation)
            while True:
                served.answer()
        finally:
            self.hang_up(stream)

    def wait_for_memory(self, generation: int, rank: int, label: Label) -> None:
        """Blocks until the label has its group's offers, so its chunks have their places; woken by `shut`.

        Members learn of one another's offers at different moments, so a chunk may be asked for, or come, before its place is known.
        """

        def there() -> bool:
            try:
                return self.vault.held(rank, label).parity is not None or self.over(generation)
            except NotHeld:
                return self.over(generation)

        with self.vault.changed:
            self.vault.changed.wait_for(there)
        if self.over(generation):
            raise LinkDown("the generation is over")
