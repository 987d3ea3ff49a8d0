"""The times and limits of the protocol, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ON_DIVERGENCE: Final = ("report", "repair", "stop")
ON_CROSSING: Final = ("stop", "warn")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
OVERLAP, TIGHT = MEMORY_MODES = ("overlap", "tight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are in seconds. The same for all processes of a job; printed by `perdure run` with its report.

    Attributes:
        heartbeat_s: between two heartbeats to each watcher; costs a few hundred bytes.
        progress_s: with more than `direct_agents_max` agents: between two words on how far the ranks of a part of the tree are.
        suspect_s: silence after which a node is suspected; and how long a watcher doubts before it calls a node silent (rules T2, T6).
        silence_s: silence after which a watcher calls a node lost (rule T2). Measured: 0.5 s gave false alarms on a loaded machine.
        late_timer_s: a watcher whose own timer fired this much late restarts its deadlines (rule T3).
        echo_s: without echoes from n - m of a group for this long, an agent pauses its workers (rule T4).
        hang_timeout_s: user code without a job call for this long may be hung (rule W4). Arbitrary: a mesh or a compiler takes minutes.
        hang_factor: but not before this many times the rank's longest superstep so far. Arbitrary.
        deadlock_timeout_s: all ranks inside calls of the communicator for this long, and no message moving: a deadlock. Arbitrary.
        unwind_timeout_s: how long `main` may compute on until its next job call lets `GenerationRevoked` pass (rule W1). Arbitrary.
        exit_timeout_s: how long a killed worker may take to exit before its node is lost (rule W0). Arbitrary.
        unreachable_timeout_s: how long a job waits for silent nodes without which it cannot be decoded (rule T5).
        orphan_timeout_s: an agent without an orchestrator ends after this (rule T7).
        direct_agents_max: with so many agents or fewer the orchestrator speaks to each of them; with more, agents pass its words on. A hop
            costs a quarter of a millisecond, a message of the orchestrator a tenth of that: a tree pays from some dozens of nodes on.
        fan_out: how many agents one passes a word on to, and the orchestrator begins with. Arbitrary: 32 reach 100,000 nodes in four hops.
        relay_s: an agent that neither answers for its part of the tree nor says that it still gathers is passed by after this.
        start_timeout_s: how long the first nodes may take to come up.
        crash_limit: the same rank gone so often from the same base ends the job (rule W5).
        mean_time_between_failures_s: of one node, for the automatic interval until failures were observed; 3.8 failures per 1,000
            node-days (Llama 3 405B, 2024) would be 260 days; ours is pessimistic: one day.
        commit_overhead: upper bound for the share of time that commits at the automatic interval may take.
        on_divergence: what follows when a replicated item differs between ranks at a commit (rule C6): "report": that is told, and the job
            goes on; "repair": all ranks go back to the commit before; "stop": the job ends.
        on_crossing: what follows when a message or a request crosses a commit (rule C11): "stop": the job ends with an error there;
            "warn": that is reported, and only a recovery from that commit ends the job.
        scrub_bytes_per_s: what each node reads of its vault in the background to find memory that changed by itself (rule S1); 0: nothing.
            8 MiB/s, 690 GB a day, costs 1 % of one core (measured: at 64 MiB/s four nodes on two cores took twice as long to catch up
            after a loss); memory controllers that scrub take a day for a pass.
        memory: "overlap": two snapshots, and ranks compute while the newer one is encoded; "tight": the live arrays lie in the vault, and
            are encoded there while the ranks wait; there is one snapshot (rules M1 to M3).
        track_writes: of arrays in private memory, ask the kernel which pages were written, and compare only those with the last commit but
            one (rule C4'). Only for programs whose state is written by their own code: writes that go past the page table of the
            process are lost from the commit. Such are those of a GPU, a network card or io_uring to memory that is registered or pinned
            for it, and asynchronous direct I/O that is under way at a commit. It costs the program a page fault, about 1 us, at its first
            write to each 4 KiB after a commit, and the huge pages that it writes to. Where the kernel cannot (before Linux 6.7), all is
            compared.
        kernel_helpers: so many threads at most, each on a core of its own, help an agent to encode and decode from two parity chunks on,
            where a machine has more cores than ranks; 0: none. Arbitrary: four cores read about as much as its memory gives.
        commit_interval_max_s: upper bound for the automatic interval: how much work a user is willing to lose.
        log_level: the processes of the job log records from this level on: one of `LOG_LEVELS`.
        log_json: they log JSON objects instead of lines for people.
    """

    heartbeat_s: float = 0.2
    progress_s: float = 1.0
    suspect_s: float = 1.0
    silence_s: float = 3.0
    late_timer_s: float = 0.5
    echo_s: float = 2.0
    hang_timeout_s: float = 600.0
    hang_factor: float = 20.0
    deadlock_timeout_s: float = 10.0
    unwind_timeout_s: float = 600.0
    exit_timeout_s: float = 10.0
    unreachable_timeout_s: float = 60.0
    orphan_timeout_s: float = 60.0
    direct_agents_max: int = 64
    fan_out: int = 32
    relay_s: float = 1.0
    start_timeout_s: float = 60.0
    crash_limit: int = 3
    mean_time_between_failures_s: float = 86_400.0
    commit_overhead: float = 0.01
    commit_interval_max_s: float = 120.0
    scrub_bytes_per_s: int = 8 << 20
    on_divergence: str = "report"
    on_crossing: str = "stop"
    memory: str = OVERLAP
    track_writes: bool = False
    kernel_helpers: int = 3
    log_level: str = "warning"
    log_json: bool = False

    @property
    def is_tight(self) -> bool:
        """Do the live arrays lie in the vault?"""
        return self.memory == TIGHT

    @property
    def snapshots(self) -> int:
        """Of each rank, beside its live items."""
        return 1 if self.is_tight else 2
