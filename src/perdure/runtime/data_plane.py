"""An agent's data plane: the vault, the links to other vaults, and the core's commands on both.

The loop of the agent calls `execute`. Short commands run at once; copying, encoding, decoding, checking and touching memory run on threads
of `Links`, which post their results as events for the loop. It decides nothing, and holds no connection of the control plane.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence

from perdure.coding import kernels
from perdure.coding.cores import to_spare
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.plan import Plan
from perdure.errors import ConfigError
from perdure.runtime import exchange
from perdure.runtime.admission import Admission
from perdure.runtime.injector import Injector
from perdure.runtime.links import UNTIL_THE_END, Links
from perdure.runtime.posix import stand_back
from perdure.runtime.rank_restore import restore
from perdure.runtime.scrub import Scrubber, flip, repair
from perdure.runtime.tasks import Task
from perdure.runtime.vault import Vault
from perdure.runtime.vault_protocol import LinkDown
from perdure.streams.addresses import on_one_host

logger = logging.getLogger(__name__)

VaultCommand = (
    do.BindSlot | do.CopySlot | do.MoveLabel | do.ExposeSlot | do.ForgetLabel | do.DropRank | do.Protect | do.Restore | do.Decode
    | do.VerifySlot | do.Scrub | do.Repair
)  # fmt: skip
"""The commands that `DataPlane.execute` carries out."""


class DataPlane:
    """The vault and the links of one agent."""

    def __init__(self, state: AgentState, admission: Admission, injector: Injector, post: Callable[[ev.AgentEvent], None]) -> None:
        """`post` puts an event into the agent's loop, from any thread. `state` is only read."""
        self._state, self._injector, self._post = state, injector, post
        self.vault = Vault()
        self.links = Links(self.vault, self._geometry_of, self._chunk_stored, admission)
        self._scrubber = Scrubber(post)

    def execute(self, command: VaultCommand) -> None:
        """Carry out a command on the vault, at once or on a thread of the links."""
        match command:
            case do.BindSlot(rank=rank, label=label, index=index, since=since):
                self.vault.bind(rank, label, index, since)
            case do.CopySlot():
                self._copy_slot(command)
                self._injector.at("keeping", command.label.superstep)
            case do.MoveLabel(rank=rank, label=label, index=index):
                self.vault.move(rank, label, index)
            case do.ExposeSlot():
                self.vault.expose(command.rank, command.label, command.offer)
            case do.ForgetLabel(rank=rank, label=label):
                self.vault.forget(rank, label)
            case do.DropRank(rank=rank):
                self.vault.drop(rank)
            case do.Protect():
                self._protect(command)
                self._injector.at("encoding", command.label.superstep)
            case do.Restore():
                self._on_links(lambda task: restore(task, command, self._post), "restore", command.rank, needed_by=command.label)
                self._injector.at("restoring", command.label.superstep)
            case do.Decode(tasks=tasks):
                self._decode(tasks)
                self._injector.at("rebuilding", tasks[0].label.superstep)
            case do.VerifySlot():
                self._verify(command)
            case do.Scrub():
                if self._scrubber.order(self._plan().generation, command):
                    self._on_links(self._scrubber.work, "scrub", command.rank)
            case do.Repair():
                self._on_links(lambda task: repair(task, command, self._post), "repair", command.rank)

    def open(self, plan: Plan) -> None:
        """Serve links of the generation of `plan`, and share the machine's cores with its other agents."""
        self.links.open(plan.generation)
        kernels.share(self._cores_to_spare(plan))

    def shut(self, generation: int) -> None:
        """End the links up to `generation`, and post `LinksQuiet` when none of their threads runs any more."""
        self.links.shut(generation)

        def wait() -> None:
            self.links.wait_quiet(generation)
            self._post(ev.LinksQuiet(generation=generation))

        self.links.run(UNTIL_THE_END, wait, "quiet")

    def reserve(self, command: do.ReserveMemory, prepare: Callable[[int, Sequence[int]], None]) -> None:
        """Touch memory for ranks that may come, on a thread, for it can take seconds.

        `prepare` is called when the memory is there, with the bytes of live arrays and the memory files: it
        starts workers that have mapped them.
        """

        def touch() -> None:
            live_bytes = 0 if self._state.settings.is_tight else command.snapshot_bytes  # in tight mode a slot is live
            ready = functools.partial(prepare, live_bytes)
            self.vault.reserve(command.ranks, command.snapshot_bytes, command.parity_bytes, ready)

        self.links.run(UNTIL_THE_END, touch, "reserve")

    def flip(self, rank: int, label: Label) -> None:
        """Carry out the injected bit flips in what `rank` holds of `label`."""
        for fault in self._injector.flips(rank, label.superstep):
            flip(self.vault, rank, label, self._geometry_of(rank), fault.where, fault.seed)

    def _on_links(self, work: Callable[[Task], None], name: str, rank: int, needed_by: Label | None = None) -> None:
        """Run work that needs links of this generation on a thread of its own.

        `needed_by`: the label that the job waits for, and that has no other chance in this generation (rule T8).
        """
        plan = self._plan()

        def body() -> None:
            task = Task(self.links, self.vault, plan, self._state.me)
            try:
                work(task)
            except LinkDown as error:
                if needed_by is not None and not self.links.over(plan.generation):
                    other = task.failed_rank()
                    logger.info("%s of %s for rank %d: the link to rank %d failed: %s", name, needed_by, rank, other, error)
                    self._post(ev.LinkFailed(generation=plan.generation, rank=rank, other=other, label=needed_by))
            except (ConfigError, MemoryError) as error:
                self._post(ev.NoMemory(rank=rank, text=str(error) or "no memory is available for buffers"))
            finally:
                task.close()

        self.links.run(plan.generation, body, name)

    def _protect(self, command: do.Protect) -> None:
        """Having memory for parity can take long, so it is for the thread; without parity there is nothing to have."""
        plan = self._plan()
        geometry = plan.geometry(plan.group_index(command.rank))

        def note() -> None:
            self.vault.with_offers(command.rank, command.label, command.member_offers, plan.member_of(command.rank), geometry)

        def work(task: Task) -> None:
            note()
            if command.label.superstep == 0:
                self.vault.touch_parity(command.rank, command.label)
            exchange.protect(task, command)

        if geometry.m:
            self._on_links(work, "protect", command.rank, needed_by=command.label)
        else:
            note()

    def _copy_slot(self, command: do.CopySlot) -> None:
        def work(task: Task) -> None:
            self.vault.copy_slot(command.rank, command.label)
            self._post(ev.SlotCopied(rank=command.rank, label=command.label, generation=command.generation))

        self._on_links(work, "keep", command.rank)

    def _decode(self, tasks: tuple[msg.DecodeTask, ...]) -> None:
        """Stripes are decoded one after the other, in the order of the assignment. Those that no rank waits for stand back: the ranks that
        they protect compute meanwhile."""
        is_urgent = any(task.urgent for task in tasks)

        def work(task: Task) -> None:
            if not is_urgent:
                stand_back()
            for one in tasks:
                exchange.decode(task, one)

        self._on_links(work, "decode", tasks[0].wanted[0][1], needed_by=tasks[0].label if is_urgent else None)

    def _verify(self, command: do.VerifySlot) -> None:
        geometry = self._geometry_of(command.rank)

        def work(task: Task) -> None:
            wrong = self.vault.wrong_chunks(command.rank, command.label, geometry, parity=command.parity)
            self._post(ev.SlotVerified(rank=command.rank, label=command.label, wrong=wrong))

        self._on_links(work, "verify", command.rank)

    def _chunk_stored(self, rank: int, label: Label, position: int) -> None:
        """A chunk came in complete: part of a commit, or of a rebuild."""
        d = self._geometry_of(rank).d
        if label == self._plan().base:
            self._post(ev.ChunkStored(rank=rank, label=label, position=position))
        else:
            self._post(ev.ParityStored(rank=rank, label=label, p=position - d))

    def _cores_to_spare(self, plan: Plan) -> tuple[int, ...]:
        """Those of this machine that help to encode and decode in this process. A custodian, which is in no plan, does neither."""
        if not plan.ranks_of(self._state.me):
            return ()
        here = on_one_host(plan.addresses, plan.address_of(self._state.me))
        ranks = sum(len(plan.ranks_of(agent)) for agent in here)
        return to_spare(sorted(os.sched_getaffinity(0)), ranks, len(here), self._state.settings.kernel_helpers)

    def _geometry_of(self, rank: int) -> Geometry:
        plan = self._plan()
        return plan.geometry(plan.group_index(rank))

    def _plan(self) -> Plan:
        assert self._state.plan is not None
        return self._state.plan
