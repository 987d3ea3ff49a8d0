"""A whole job in virtual time: it commits and ends with its result, whatever is killed, crashed, silenced or handed over, and whenever."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from tests.core.cluster import SETTINGS, Cluster, Fault

SHAPES = ((2, 1), (4, 1), (4, 2), (3, 0))
KINDS = ("kill", "crash", "silence", "stun", "pause", "orchestrator")
PHASES = (
    # the start
    "Loaded", "Propose", "RegisterHolds", "Install", "Installed", "Ready", "Resume", "Enter",
    # a commit
    "AtPosition", "MayCopy", "Snapped", "Offered", "GroupOffer", "Protect", "ParityStored", "Prepared", "Committed", "LabelCommitted",
    # a decision and a rebuild: reached after a first fault only
    "Seal", "ShutLinks", "LinksQuiet", "Sealed", "Restore", "SlotRestored", "Assign", "Decode", "ChunkStored", "VerifySlot",
    "SlotVerified", "Rebuilt", "Unwound", "StartWorker", "WorkerEnded", "WorkerLost",
    # the end
    "AskResult", "Traffic", "Result",
)  # fmt: skip
SEEDS = 300
RESULT = b"0 True "


def judge(cluster: Cluster, end: do.Finish) -> None:
    """The result of the committed end; or Unrecoverable, if the parity cannot give back what was lost."""
    if not end.error:
        assert end.payload.startswith(RESULT), cluster.story(f"a wrong result: {end.payload!r}")
        assert any(label.superstep > 1 << 60 for label in cluster.past.committed), cluster.story("a result before the end was committed")
    else:
        assert end.error == "Unrecoverable", cluster.story(f"{end.error}: {end.text}")
        assert cluster.excused(), cluster.story(f"{end.error}: {end.text}, but no more than m ranks of a group are lost")


def faults_of(seed: int) -> tuple[Fault, ...]:
    """Every kind at every phase comes up; every other seed has a second fault while the first is dealt with."""
    kind, phase = KINDS[seed % len(KINDS)], PHASES[seed // len(KINDS) % len(PHASES)]
    first_kind = KINDS[seed // 7 % len(KINDS)]
    late = PHASES.index(phase) >= PHASES.index("Seal") and phase not in ("AskResult", "Traffic", "Result")
    wanted = Fault(
        kind=kind, phase=phase, nth=1 + seed // 11 % (3 if late else 9), delay=seed // 3 % 5, victim=seed // 2 % 12, cut=seed // 13 % 3 == 0
    )
    if not late and seed % 2:
        return (wanted,)
    first_kind = "kill" if first_kind in ("pause", "orchestrator") else first_kind
    first = Fault(kind=first_kind, phase="Prepared", nth=1 + seed // 5 % 17, delay=seed % 4, victim=seed // 17 % 8)
    return (first, wanted)


@pytest.mark.parametrize(("ranks", "parity"), SHAPES)
def test_an_undisturbed_job_ends_with_its_result(ranks: int, parity: int) -> None:
    for seed in range(10):
        cluster = Cluster(ranks=ranks, parity=parity, seed=seed, count=6)
        end = cluster.run()
        assert (end.error, end.payload[: len(RESULT)]) == ("", RESULT), cluster.story(end.text)
        assert len(cluster.chosen) == 1, cluster.story("nothing was lost, and there is a second generation")
        assert len(cluster.past.committed) > 3, cluster.story("too few commits")


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize(("ranks", "parity"), SHAPES)
def test_whatever_happens_whenever_the_job_ends_with_its_result_or_says_why_not(ranks: int, parity: int, block: int) -> None:
    """If it fails, the message ends with the schedule; the second line of it runs it again."""
    for seed in range(block, SEEDS, 4):
        cluster = Cluster(ranks=ranks, parity=parity, seed=seed, spares=seed % 3, faults=faults_of(seed))
        judge(cluster, cluster.run())


def test_t5_more_silent_nodes_than_the_parity_gives_back_are_waited_for() -> None:
    """Two of four nodes are stopped for a while, and one chunk of a stripe is all that may be missing."""
    for seed in range(20):
        faults = tuple(Fault(kind="stun", phase="Prepared", nth=10, delay=0, victim=victim) for victim in (1, 2))
        cluster = Cluster(ranks=4, parity=1, seed=seed, faults=faults)
        end = cluster.run()
        assert end.payload.startswith(RESULT), cluster.story(end.text)


def test_t5_patience_ends() -> None:
    faults = tuple(Fault(kind="silence", phase="Prepared", nth=10, delay=0, victim=victim) for victim in (1, 2))
    cluster = Cluster(ranks=4, parity=1, seed=1, faults=faults)
    assert cluster.run().error == "Unrecoverable"
    assert cluster.now > SETTINGS.unreachable_timeout_s
