"""The list of mistakes. Each is one that somebody could make, and that most runs would survive."""

from __future__ import annotations

from dataclasses import replace

from perdure.core import changes, commit_intervals, holdings, layout, multicast_tree, planner, seating, votes
from perdure.core.agent import AgentState, commit, custody, membership, peers, relay, restore, scrub, tight, workers
from perdure.core.orchestrator import broadcast, commits, consensus, exclusion, facts, failure_detector, moves, plan_catchup, recovery
from perdure.core.orchestrator.state import OrchestratorState
from perdure.sim.repairs import _has_its_digest
from perdure.sim.scenario import Scenario, SimFault, draw, with_flips, with_moves
from tests.mutations.planting import Mutation


def with_a_flipped_bit(seed: int) -> Scenario:
    """Memory fails, and a crash a moment later makes everybody look at theirs."""
    faults = (
        SimFault(kind="flip", phase="Committed", nth=3 + seed % 8, victim=seed),
        SimFault(kind="crash", phase="Committed", nth=3 + seed % 8),
    )
    return Scenario(ranks=4, parity=1, seed=seed, count=6, faults=faults)


def with_an_uncounted_end(seed: int) -> Scenario:
    """A node ends when its ranks have prepared the end, or are about to: often before the orchestrator has counted that."""
    kill = SimFault(kind="kill", phase="ParityStored", nth=15 + seed * 7 % 25, victim=seed, cut=seed % 2 == 0)
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, count=6, faults=(kill,))


def with_a_hand_over(seed: int) -> Scenario:
    """A worker ends, and the orchestrator at about the moment when it hears of that."""
    crash = SimFault(kind="crash", phase="Prepared", nth=3 + seed % 17, victim=seed)
    hand_over = SimFault(kind="orchestrator", phase="WorkerEnded", delay=seed // 3 % 4)
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, faults=(crash, hand_over))


def with_a_second_loss(seed: int) -> Scenario:
    """A node ends, and while its ranks come back, or just after, another one."""
    first = SimFault(kind="kill", phase="Prepared", nth=3 + seed % 19, victim=seed)
    phase = ("Assign", "Rebuilt", "Ready", "Enter", "SlotRestored", "ChunkStored")[seed % 6]
    second = SimFault(kind="kill", phase=phase, nth=1 + seed // 6 % 4 + (4 if phase in ("Ready", "Enter") else 0), victim=seed // 5)
    return Scenario(ranks=5, parity=2, seed=seed, spares=2, group_size=5, superstep_ms=30, faults=(first, second))


def with_two_stopped(seed: int) -> Scenario:
    """More nodes are stopped than may be lost, for longer than silence is forgiven; then they go on."""
    faults = tuple(SimFault(kind="stun", phase="Prepared", nth=4 + seed % 9, victim=victim) for victim in (1, 2))
    return Scenario(ranks=4, parity=1, seed=seed, faults=faults)


def with_a_loss_at_the_end(seed: int) -> Scenario:
    """A node ends while the last commit is being made, and perhaps the orchestrator when it is asked for the result."""
    loss = SimFault(kind="kill", phase="Prepared", nth=61 + seed % 15, victim=seed)
    return Scenario(ranks=3, parity=1, seed=seed, faults=(loss,))


def with_a_long_stop(seed: int) -> Scenario:
    """A node is stopped for longer than silence is forgiven, and goes on when its ranks live elsewhere."""
    stop = SimFault(kind="stun", phase="Prepared", nth=3 + seed % 17, victim=seed)
    return Scenario(ranks=4, parity=1, seed=seed, superstep_ms=2000, faults=(stop,))


def with_a_custodian(seed: int, *more: SimFault) -> Scenario:
    """A node is stopped, and called silent; while its rank is rebuilt another node of its group ends, so what is there is too little
    until the first one goes on."""
    stop = SimFault(kind="stun", phase="Committed", nth=4 + seed % 3, victim=1)
    phase = ("Decode", "Restore", "Assign", "SlotRestored", "Amend")[seed // 3 % 5]
    kill = SimFault(kind="kill", phase=phase, victim=0)
    ranks = 2 + seed % 2
    return Scenario(ranks=ranks, parity=1, seed=seed, spares=2, group_size=ranks, superstep_ms=2000, faults=(stop, kill, *more))


def with_a_wrong_custodian(seed: int) -> Scenario:
    """The same, and a bit of it has changed while it was stopped."""
    return with_a_custodian(seed, SimFault(kind="flip", phase="Seal", victim=1))


def with_all_nodes_lost(seed: int) -> Scenario:
    """Both nodes of a mirrored pair end at once, and no engine tells of it."""
    faults = tuple(SimFault(kind="kill", phase="Prepared", nth=3 + seed % 9, victim=victim) for victim in (0, 0))
    return Scenario(ranks=2, parity=1, seed=seed, engine="never", faults=faults)


def with_a_tree(seed: int) -> Scenario:
    """A node ends, and while its loss goes through a tree of agents another one ends or is stopped for a while."""
    first = SimFault(kind="kill", phase="Prepared", nth=3 + seed % 29, victim=seed)
    phase = ("Seal", "Gathered", "Amend", "Ready", "Resume", "ShutLinks")[seed % 6]
    second = SimFault(kind=("kill", "pause", "stun", "crash")[seed // 6 % 4], phase=phase, nth=1 + seed % 5, victim=seed // 3)
    return Scenario(ranks=9, parity=2, seed=seed, spares=2, fan_out=2, superstep_ms=30, faults=(first, second))


def with_a_dead_group(seed: int) -> Scenario:
    """A group ends with its watcher in the next one, and no engine tells of it; words go by a tree."""
    faults = tuple(SimFault(kind="kill", phase="Prepared", nth=3 + seed % 29, victim=victim) for victim in (0, 0, 0, 0))
    return Scenario(ranks=9, parity=1, seed=seed, group_size=3, fan_out=2, engine="never", faults=faults)


def with_a_dead_job(seed: int) -> Scenario:
    """All nodes end at once, and nobody is left to say so; words went by a tree."""
    faults = tuple(SimFault(kind="kill", phase="Prepared", nth=3 + seed % 29, victim=0) for _ in range(6))
    return Scenario(ranks=6, parity=1, seed=seed, group_size=3, fan_out=2, engine="never", faults=faults)


def with_a_rack_lost(seed: int) -> Scenario:
    """All nodes of a rack end at once; the groups were laid out for that."""
    loss = SimFault(kind="rack", phase="Prepared", nth=9 + seed % 31, victim=seed)
    return Scenario(ranks=8, parity=1, seed=seed, spares=4, racks=4, group_size=4, faults=(loss,))


def with_a_start_cut_short(seed: int) -> Scenario:
    """A worker ends, and when its successor starts another one ends; on one node everything takes its time."""
    first = SimFault(kind="crash", phase="Prepared", nth=3 + seed % 17, victim=seed)
    second = SimFault(kind="crash", phase="StartWorker", nth=5, delay=1, victim=seed // 4)
    return Scenario(ranks=4, parity=1, seed=seed, slow=1, faults=(first, second))


def with_failing_memory(seed: int) -> Scenario:
    """The usual scenarios, in memory in which bits change by themselves."""
    return with_flips(draw(seed))


def with_wrong_bytes_to_repair_from(seed: int) -> Scenario:
    """Two bits of a stripe change, and the scrub finds one of them after the other."""
    flips = tuple(SimFault(kind="flip", phase="Committed", nth=3 + seed % 8, victim=victim) for victim in (0, 1))
    return Scenario(ranks=2, parity=1, seed=seed, superstep_ms=500, scrub=True, faults=flips)


def with_rivals(seed: int) -> Scenario:
    """A node ends, and one of the others is not heard by the orchestrator for a while. When it is, a second one has the promises of
    all but one. A worker has ended between, so their plans differ."""
    faults = (
        SimFault(kind="kill", phase="Committed", nth=6 + seed % 5, victim=4),
        SimFault(kind="deaf", phase="Seal", victim=seed % 4),
        SimFault(kind="rival", phase="Sealed", nth=4, delay=2),
        SimFault(kind="crash", phase="Sealed", nth=4, delay=1, victim=seed // 4),
        SimFault(kind="pause", phase="Sealed", nth=5, victim=seed // 4 % 4),
    )
    return Scenario(ranks=5, parity=2, seed=seed, group_size=5, superstep_ms=30, rivals=True, faults=faults)


def with_nobody_left_of_the_first(seed: int) -> Scenario:
    """All nodes of the first plan end, one after the other, then the orchestrator; and the register was never told of later plans."""
    losses = tuple(SimFault(kind="kill", phase="Rebuilt", nth=nth, delay=20 + seed % 9) for nth in (2, 4))
    away = SimFault(kind="orchestrator", phase="Rebuilt", nth=6, delay=20 + seed % 11)
    first = SimFault(kind="kill", phase="Committed", nth=7)
    return Scenario(ranks=3, parity=1, seed=seed, spares=3, count=12, superstep_ms=30, notes="never", faults=(first, *losses, away))


def with_a_hand_over_of_votes(seed: int) -> Scenario:
    """A node ends, and the orchestrator when some of the others have voted; before its successor asks, another node ends."""
    first = SimFault(kind="kill", phase="Prepared", nth=3 + seed % 19, victim=seed)
    away = SimFault(kind="orchestrator", phase=("Accept", "Accepted", "Note")[seed % 3], nth=1 + seed // 3 % 4 * (seed % 3 < 2))
    second = SimFault(kind=("kill", "crash")[seed % 2], phase=away.phase, nth=away.nth, delay=1 + seed % 3, victim=seed // 5)
    notes = ("never", "prompt")[seed % 2]
    return Scenario(ranks=5, parity=2, seed=seed, spares=2, group_size=5, notes=notes, faults=(first, away, second))


def with_a_hand_over_of_groups(seed: int) -> Scenario:
    """The same, in two groups."""
    scenario = with_a_hand_over_of_votes(seed)
    return replace(scenario, ranks=6, parity=1, group_size=3)


def with_two_votes(seed: int) -> Scenario:
    """One node has voted when the orchestrator ends, and is not heard of while the next one has another plan chosen, and ends too."""
    first = SimFault(kind="kill", phase="Committed", nth=6 + seed % 5, victim=4)
    away = SimFault(kind="orchestrator", phase="Sealed", nth=4, cut=True)
    doze = SimFault(kind="doze", phase="Accepted")
    again = SimFault(kind="orchestrator", phase="Accepted", nth=4)
    return Scenario(ranks=5, parity=2, seed=seed, spares=2, group_size=5, engine="late", faults=(first, away, doze, again))


def with_votes_by_a_tree(seed: int) -> Scenario:
    """As `with_a_hand_over_of_votes`, and heads of the tree are stopped or end while it is voted."""
    scenario = with_a_hand_over_of_votes(seed)
    stopped = SimFault(kind=("kill", "stun", "pause")[seed % 3], phase="Accept", nth=1 + seed % 4, victim=seed // 7)
    return replace(scenario, ranks=10, fan_out=2, superstep_ms=30, faults=(*scenario.faults, stopped))


def with_nobody_left_of_the_first_tree(seed: int) -> Scenario:
    """As `with_nobody_left_of_the_first`, by a tree."""
    return replace(with_nobody_left_of_the_first(seed), fan_out=2)


def with_late_words_of_the_stopped(seed: int) -> Scenario:
    """Nodes are stopped for ever, and no engine tells of it; what they had said before is heard seconds later."""
    faults = (
        SimFault(kind="row", phase="MoveLabel", nth=129, delay=1, victim=28),
        SimFault(kind="pause", phase="WorkerEnded", nth=8, delay=20, victim=50),
        SimFault(kind="spare", phase="Prepared", nth=133, delay=20, victim=1),
    )
    return Scenario(
        ranks=54, parity=1, seed=1249 + seed, ranks_per_node=2, group_size=3, slow=1, repeats=True, fan_out=2, engine="never",
        notes="late", memory="tight", faults=faults,
    )  # fmt: skip


def with_a_hangup(seed: int) -> Scenario:
    """A connection between two ranks ends, and the orchestrator a moment later."""
    hangup = SimFault(kind="hangup", phase="Committed", nth=3 + seed % 19, victim=seed)
    away = SimFault(kind="orchestrator", phase="Committed", nth=3 + seed % 19, delay=3 + seed % 7)
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, faults=(hangup, away))


def with_a_stop_after_a_hand_over(seed: int) -> Scenario:
    """A node is greeted late by a new orchestrator, which forgets what others reported of it, and stops before they receive anything."""
    away = SimFault(kind="orchestrator", phase="Loaded", nth=2, delay=1, victim=3)
    stop = SimFault(kind="row", phase="Loaded", nth=12, delay=seed % 4, victim=11)
    return Scenario(ranks=6, parity=1, seed=10 + seed, count=3, skew=True, engine="never", messages="racing", faults=(stop, away))


def with_a_failed_link(seed: int) -> Scenario:
    """A link between two vaults fails while a label is encoded, or while a lost rank is rebuilt. The orchestrator may end then."""
    phase = ("Protect", "Decode", "Restore")[seed % 3]
    nth = 1 + seed // 3 % 20 if phase == "Protect" else 1
    loss = [SimFault(kind="kill", phase="Committed", nth=4 + seed % 7, victim=seed)] if phase != "Protect" else []
    failed = SimFault(kind="unlink", phase=phase, nth=nth, delay=seed % 4, victim=seed)
    away = [SimFault(kind="orchestrator", phase="LinkFailed", delay=seed % 5)] if seed % 2 else []
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, faults=(*loss, failed, *away))


def with_a_hand_over_in_the_dark(seed: int) -> Scenario:
    """A node ends, the next plan is chosen by votes, and the register never hears of it; the orchestrator ends while facts are told."""
    loss = SimFault(kind="kill", phase="Prepared", nth=2 + seed % 9, victim=seed)
    away = SimFault(kind="orchestrator", phase="Prepared", nth=12 + seed % 23, delay=seed // 3 % 7)
    return Scenario(ranks=4, parity=1, seed=seed, fan_out=2, notes="never", faults=(loss, away))


def with_racing_senders(seed: int) -> Scenario:
    """Ranks send to rank 0 and do not wait for it; the usual faults."""
    return replace(draw(seed), messages="racing")


def with_a_crossing_message(seed: int) -> Scenario:
    """A message is received after the commit that its sender sent it before."""
    return replace(draw(seed), messages="crossing")


def with_a_message_that_is_left(seed: int) -> Scenario:
    """A message is sent before a commit and never received, and a node or the orchestrator ends at about that commit."""
    away = SimFault(kind=("orchestrator", "kill")[seed % 2], phase="Prepared", nth=10 + seed // 2 % 12, delay=seed // 5 % 4, victim=seed)
    return Scenario(ranks=3, parity=1, seed=seed, messages="left", faults=(away,))


def with_a_loss_after_a_crossing_message(seed: int) -> Scenario:
    """A message may cross a commit, and a loss makes the job start from there; perhaps the orchestrator ends while all get ready."""
    loss = SimFault(kind="kill", phase="Committed", nth=9 + 5 * seed % 20, victim=seed)
    away = SimFault(kind="orchestrator", phase="Ready", nth=4 + seed // 8 % 4)
    fan_out = (0, 0, 2)[seed // 3 % 3]
    return Scenario(ranks=4, parity=1, seed=seed, messages="warned", fan_out=fan_out, faults=(loss, away) if seed % 2 else (loss,))


def _with_a_move(seed: int, fault: SimFault, superstep_ms: int = 30, fan_out: int = 0) -> Scenario:
    """A node ends, so a survivor hosts two ranks; a node comes up, and what strikes when the ranks are asked to hold is `fault`."""
    loss = SimFault(kind="kill", phase="Committed", nth=9, victim=seed)
    arrival = SimFault(kind="arrive", phase="Committed", nth=16)
    return Scenario(
        ranks=4, parity=1, seed=seed, spares=0, group_size=4, count=8, superstep_ms=superstep_ms, fan_out=fan_out,
        faults=(loss, arrival, fault),
    )  # fmt: skip


def with_a_loss_during_a_move(seed: int) -> Scenario:
    """Ranks move to a node that has come up, and while they are rebuilt there another node of their group ends."""
    return _with_a_move(seed, SimFault(kind="kill", phase="Hold", delay=40 + seed % 80, victim=seed // 3), fan_out=(0, 2)[seed // 7 % 2])


def with_a_hand_over_during_a_move(seed: int) -> Scenario:
    """The orchestrator ends when it has asked the ranks to hold."""
    return _with_a_move(seed, SimFault(kind="orchestrator", phase="Hold", delay=seed % 60))


def with_a_spare_that_ends(seed: int) -> Scenario:
    """Ranks are asked to hold for a node that has come up, and it ends."""
    return _with_a_move(seed, SimFault(kind="spare", phase="Hold", delay=seed % 25), superstep_ms=(30, 500)[seed % 2])


def with_a_loss_before_a_move(seed: int) -> Scenario:
    """Two nodes end, so a survivor hosts several ranks; three nodes come up, and that survivor ends before the next commit."""
    faults = (
        SimFault(kind="kill", phase="Committed", nth=13, victim=seed),
        SimFault(kind="kill", phase="Committed", nth=18, victim=seed // 3),
        *(SimFault(kind="arrive", phase="Committed", nth=26 + number) for number in range(3)),
        SimFault(kind="kill", phase="Hold", nth=1, delay=180 + seed % 100, victim=seed),
    )
    return Scenario(ranks=6, parity=2, seed=seed, spares=0, group_size=6, count=8, superstep_ms=4000, faults=faults)


MISTAKES = (
    Mutation(
        name="the new home of a moved rank is the only one that is asked for its chunks", rule="E10, R2", function=consensus.value,
        right="(*exclusion.kept(state), *broadcast.kept(state))", wrong="exclusion.kept(state)",
        scenario=with_a_loss_during_a_move,
    ),
    Mutation(
        name="a node gives up the chunks of a rank at once when it moves away", rule="E10", function=custody.leave,
        right="out += _keep(state, hosted, plan.base)", wrong="out += _keep(state, hosted, None)", scenario=with_moves,
    ),
    Mutation(
        name="what a member keeps is lost on its way up the tree", rule="E10, D8", function=relay._answer,
        right="kept=tuple((agent, report) for (agent, _), report in gathering.sum.kept.items()),", wrong="",
        scenario=with_a_loss_during_a_move,
    ),
    Mutation(
        name="what is kept of a moved rank is never given up", rule="E10", function=commit.committed,
        right="out = custody.drop(state)", wrong="out = []", scenario=with_moves,
    ),
    Mutation(
        name="ranks hold at a commit, and nobody seals", rule="E3", function=moves.is_due,
        right="state.phase is GenerationPhase.COUNTING", wrong="False", scenario=with_moves,
    ),
    Mutation(
        name="ranks hold at a label that was committed before they were asked to", rule="E3", function=moves.hold,
        right="newest = committed if", wrong="newest = Label(generation, -1) if", scenario=with_moves,
    ),
    Mutation(
        name="a new orchestrator waits for a commit of ranks that hold already", rule="E3, D7", function=moves.must_seal_at_once,
        right="bool(wish(state))", wrong="False", scenario=with_a_hand_over_during_a_move,
    ),
    Mutation(
        name="ranks go on holding when the spare is gone", rule="E3", function=commit.hold,
        right="if label is None or state.current.hold_after is not None:", wrong="if True:", scenario=with_a_spare_that_ends,
    ),
    Mutation(
        name="a spare that has come up is left without ranks", rule="D3, E10", function=seating.relieve,
        right="while len(here) > most and", wrong="while False and", scenario=with_moves,
    ),
    Mutation(
        name="a plan that needs a member's kept chunks is taken for one that reads in vain", rule="E10, R1",
        function=planner.custodians_read, right=" if not plan.ranks_of(custodian.agent)", wrong="", scenario=with_moves,
    ),
    Mutation(
        name="a receive takes a message of a later commit interval", rule="C11", function=commit_intervals.match,
        right="return Match.HELD if", wrong="return Match.NOW if",
        scenario=with_racing_senders,
    ),
    Mutation(
        name="a receive takes a message of an earlier commit interval", rule="C11", function=commit_intervals.match,
        right="else Match.REFUSED", wrong="else Match.NOW",
        scenario=with_a_crossing_message,
    ),
    Mutation(
        name="a label is committed although a message is in transit", rule="C11", function=commits.prepared,
        right="if crossing and state", wrong="if False and state", scenario=with_a_message_that_is_left,
    ),
    Mutation(
        name="agents take a label for committed although a message is in transit", rule="C11", function=commit.told_prepared,
        right='if state.settings.on_crossing == "stop" and', wrong="if False and", scenario=with_a_message_that_is_left,
    ),
    Mutation(
        name="a job goes on from a label at which a message is in transit", rule="C11", function=recovery._rebuild_or_resume,
        right="if plan.base is not None and (crossing", wrong="if False and (crossing", scenario=with_a_loss_after_a_crossing_message,
    ),
    Mutation(
        name="what crosses the base is lost on its way up the tree", rule="C11, D8", function=relay._answer,
        right="transits=tuple(gathering.sum.transits.items()),", wrong="", scenario=with_a_loss_after_a_crossing_message,
    ),
    Mutation(
        name="an agent takes a label for committed before the last rank has prepared it", rule="C6", function=commit.told_prepared,
        right="len(known) < state.plan.size or", wrong="len(known) < state.plan.size - 1 or",
    ),
    Mutation(
        name="the orchestrator takes a label for committed before the last rank has prepared it", rule="C6", function=commits.prepared,
        right="len(known) < state.plan.size or", wrong="len(known) < state.plan.size - 1 or",
    ),
    Mutation(
        name="what was told to an orchestrator that did not know the plan yet is not asked for again", rule="D7, C6",
        function=recovery._chosen, right="out + _greet_again(state)", wrong="out", scenario=with_a_hand_over_in_the_dark,
    ),
    Mutation(
        name="a slot is reused although nothing newer is committed", rule="C7", function=commit._superseded,
        right="slot.label < state.current.committed", wrong="slot.label <= state.current.committed",
    ),
    Mutation(
        name="in tight mode a rank goes on when its own label is prepared", rule="M1", function=commit._prepare,
        right="out + told_prepared(state, fact, now)",
        wrong="out + told_prepared(state, fact, now) + (tell_committed(state, hosted, slot.label) if tight.is_live(state, slot) else [])",
    ),
    Mutation(
        name="the snapshot is overwritten before the next one is committed", rule="M2, C7", function=commit._prepare,
        right="out + told_prepared(state, fact, now)",
        wrong="out + told_prepared(state, fact, now) + (tight.keep(state, hosted, slot.label) if tight.is_live(state, slot) else [])",
    ),
    Mutation(
        name="a committed label is not copied before its rank goes on", rule="M2", function=commit.committed,
        right="tight.keep(state, hosted, label) if is_kept else tell_committed(", wrong="tell_committed(",
    ),
    Mutation(
        name="a rank unwinds although its live slot may be the base", rule="M1, D1", function=tight.is_frozen,
        right="slot.stage in stages", wrong="slot.stage is Stage.SNAPPED",
    ),
    Mutation(
        name="main is entered while the base lies where it computes", rule="M2", function=restore.begin,
        right="if tight.is_live(state, slot):", wrong="if False:",
    ),
    Mutation(
        name="parity is taken over although one rank does not say since when it is the same", rule="C4'", function=changes.common_since,
        right="labels.pop() if len(labels) == 1 else None", wrong="next((label for label in labels if label), None)",
    ),
    Mutation(
        name="one data chunk of a stripe counts as unchanged without comparison", rule="C4'", function=changes.columns,
        right="range(geometry.d)", wrong="range(geometry.d - 1)",
    ),
    Mutation(
        name="the label in the other slot is named as the one to take over from", rule="C4'", function=commit.allow_copy,
        right="next((slot.label for slot in given_up if", wrong="next((state.current.committed for slot in given_up if",
    ),
    Mutation(
        name="a label counts as prepared with its first parity chunk", rule="C5", function=commit.parity_stored,
        right="slot.parity == full_masks(state.plan, event.rank)[1] and", wrong="slot.parity and",
    ),
    Mutation(
        name="a label is encoded before all offers of the group are in", rule="C3", function=commit.offered,
        right="len(slot.offers) == len(state.plan.group_of(offer.rank))",
        wrong="len(slot.offers) >= len(state.plan.group_of(offer.rank)) - 1",
    ),
    Mutation(
        name="facts of another generation are counted", rule="C6, I7", function=commit.told_prepared,
        right="state.plan is None or fact.label.generation != state.generation", wrong="state.plan is None",
    ),
    Mutation(
        name="the base is a label that only some have prepared", rule="D3", function=planner.choose_base,
        right="held.common(held.kept_by_homes(plan) if with_kept else ())",
        wrong="[one.label for report in held.reports.values() for one in report.labels]",
    ),
    Mutation(
        name="the base is the oldest label instead of the newest", rule="D3", function=planner.choose_base,
        right="return max(", wrong="return min(",
    ),
    Mutation(
        name="the first answer to a seal decides", rule="D2", function=recovery._decide,
        right="absent = broadcast.absent(state)\n    if absent is None or any(not state.nodes[agent].silent for agent in absent):",
        wrong="absent = [agent for agent in state.members() if agent not in state.seal.sealed]\n    if not state.seal.sealed:",
    ),
    Mutation(
        name="silent nodes are not waited for", rule="T5", function=recovery._decide,
        right="if away and patient:", wrong="if not away and patient:", scenario=with_two_stopped,
    ),
    Mutation(
        name="labels of the old generation are kept", rule="D6", function=membership._forget_all_but,
        right="slot.label != plan.base or not is_of_use(slot)", wrong="False",
    ),
    Mutation(
        name="the new process of a lost rank keeps the old one's incarnation", rule="G3", function=planner.next_plan,
        right="incarnation=place.incarnation + 1)", wrong="incarnation=place.incarnation)",
    ),
    Mutation(
        name="all ranks of a lost node go to one spare, however many they are", rule="D3", function=seating.loads,
        right="_split(plan, ranks, ranks_per_node)", wrong="[ranks]", scenario=with_a_loss_before_a_move,
    ),
    Mutation(
        name="commit positions are forgotten in a recovery", rule="C1", function=planner._positions_after,
        right="return (first, later[1] if len(later) > 1 else first + 1)", wrong="return (0, 1)",
    ),
    Mutation(
        name="a decoder writes to the neighbour of the member that lost the chunk", rule="R1", function=planner.decode_tasks,
        right="wanted=tuple((position, group[geometry.member(stripe, position)])",
        wrong="wanted=tuple((position, group[geometry.member(stripe + 1, position)])",
    ),
    Mutation(
        name="a decoder takes a missing chunk for a source", rule="R1", function=planner.decode_tasks,
        right="if position not in positions]\n        near", wrong="]\n        near",
    ),
    Mutation(
        name="missing parity is taken for present", rule="R2", function=planner.lacking_chunks,
        right="(holder.parity, position - geometry.d)", wrong="(-1, 0)", scenario=with_a_second_loss,
    ),
    Mutation(
        name="parity is not rebuilt after a recovery", rule="R4", function=restore.decode_later,
        right="[do.Decode(tasks=tasks)] if tasks else []", wrong="[]",
    ),
    Mutation(
        name="data is used before it was verified", rule="R3", function=restore.say_ready,
        right="hosted.slots[base].verified", wrong="hosted.slots[base].replicated",
    ),
    Mutation(
        name="a wrong digest is not looked at", rule="R5", function=restore._verified,
        right="if wrong:", wrong="if False:", scenario=with_a_flipped_bit,
    ),
    Mutation(
        name="a chunk that the scrub found wrong counts as present", rule="S2", function=scrub.scrubbed,
        right="slot.erase(wrong)", wrong="pass", scenario=with_failing_memory,
    ),
    Mutation(
        name="a repaired chunk is not verified", rule="S3", function=_has_its_digest,
        right="    if position >= d:", wrong="    return True\n    if position >= d:", scenario=with_wrong_bytes_to_repair_from,
    ),
    Mutation(
        name="a repair that failed counts as one that did not", rule="S4", function=scrub.repaired,
        right="slot.wrong.without(event.wrong)", wrong="slot.wrong", scenario=with_wrong_bytes_to_repair_from,
    ),
    Mutation(
        name="main is entered before the last rank is ready", rule="R4", function=recovery._rebuild_or_resume,
        right="not broadcast.all_ready(state)", wrong="not state.current.ready",
    ),
    Mutation(
        name="replicated items are copied from a rank that has none", rule="R1", function=holdings.Holdings.with_replicated,
        right="if (held := self.report(rank, label)) and held.replicated}", wrong="if (held := self.report(rank, label))}",
        scenario=with_a_second_loss,
    ),
    Mutation(
        name="after a loss at the end nobody says what is prepared", rule="C10", function=commit.facts_of_base,
        right="if state.plan is None or state.plan.base != label:", wrong="if True:", scenario=with_an_uncounted_end,
    ),
    Mutation(
        name="what is prepared of the end of an older generation is not counted", rule="C10", function=commits.prepared,
        right="state.phase is GenerationPhase.ENDING and", wrong="False and", scenario=with_an_uncounted_end,
    ),
    Mutation(
        name="the result is asked for while the next generation is being made", rule="C10", function=recovery.end_if_committed,
        right="state.phase is not GenerationPhase.COUNTING or", wrong="", scenario=with_a_loss_at_the_end,
    ),
    Mutation(
        name="a worker's end during a hand-over is forgotten", rule="D7", function=recovery._after_greeting,
        right="undisturbed and workers_live and not (state.current.workers_gone or silent or state.divergences or state.chunk_losses)",
        wrong="undisturbed and not silent", scenario=with_a_hand_over,
    ),
    Mutation(
        name="the word of a killed process is believed", rule="W2", function=workers.loaded,
        right="if hosted.worker is not WorkerPhase.STARTING:",
        wrong="if hosted.worker is WorkerPhase.GONE:", scenario=with_a_start_cut_short,
    ),
    Mutation(
        name="nodes that fall silent together wait for each other's complaint", rule="T2", function=failure_detector._is_silent,
        right="able = [other for other in able if not _is_quiet(state, other, now)]", wrong="pass", scenario=with_all_nodes_lost,
    ),
    Mutation(
        name="who stands around a silent node is not asked", rule="T2", function=failure_detector._in_question,
        right="found.union(*(_neighbours(state, state.plan, agent) for agent in found))", wrong="found", scenario=with_a_dead_group,
    ),
    Mutation(
        name="the heads of the tree may fall silent", rule="T2", function=failure_detector._in_question,
        right="(*_speakers(state), *_heads(state))", wrong="_speakers(state)", scenario=with_a_dead_job,
    ),
    Mutation(
        name="a node that is called lost is not fenced", rule="T1, G3", function=exclusion.ended,
        right="[do.KillAgent(agent=agent)]", wrong="[]", scenario=with_a_long_stop,
    ),
    Mutation(
        name="custodians are kept when a newer label is committed", rule="D6", function=commits._committed,
        right="    out += exclusion.release(state, state.plan)\n", wrong="", scenario=with_a_long_stop,
    ),
    Mutation(
        name="a node that the job goes on without is still a member", rule="D6, G3", function=OrchestratorState.give_up,
        right="self.lost.add(agent)", wrong="how is NodeState.EXCLUDED or self.lost.add(agent)", scenario=with_a_long_stop,
    ),
    Mutation(
        name="an agent goes on as a member of a plan that has no rank for it", rule="D6, G3", function=membership._install,
        right="if not plan.ranks_of(state.me):", wrong="if False:", scenario=with_a_custodian,
    ),
    Mutation(
        name="the workers of a custodian run on", rule="D6, G3", function=custody._keep,
        right="out = workers.kill(hosted)", wrong="out = []", scenario=with_a_custodian,
    ),
    Mutation(
        name="nobody waits for nodes that were excluded", rule="T5", function=recovery._decide,
        right="[*absent, *exclusion.away(state)]", wrong="absent", scenario=with_a_custodian,
    ),
    Mutation(
        name="a custodian drops the base and counts all the same", rule="R2", function=custody._keep,
        right=" if slot is None or label != slot.label", wrong="", scenario=with_a_custodian,
    ),
    Mutation(
        name="a custodian is read at the home of its rank", rule="R1", function=planner.decode_tasks,
        right="kept=tuple((position, kept[position]) for position in far)", wrong="kept=()", scenario=with_a_custodian,
    ),
    Mutation(
        name="a custodian does not check what it keeps", rule="R5", function=custody.verified,
        right="slot.erase(event.wrong)", wrong="pass", scenario=with_a_wrong_custodian,
    ),
    Mutation(
        name="a part of the tree answers for ranks that were passed by", rule="D2", function=relay._answer,
        right="missing=tuple(sorted(gathering.missing))", wrong="missing=()", scenario=with_a_tree,
    ),
    Mutation(
        name="a part of the tree answers before its parts have", rule="D2, R4", function=relay.settle,
        right="not asked.gathering.asked and ", wrong="", scenario=with_a_tree,
    ),
    Mutation(
        name="nobody passes by a head that says nothing", rule="D1", function=relay.tick,
        right="out += _pass_by(state, asked, now)", wrong="pass", scenario=with_a_tree,
    ),
    Mutation(
        name="the labels of the tree are those that any rank has prepared", rule="D3", function=multicast_tree.Sum.add_labels,
        right="_joined(known[label], found[label]) for label in known.keys() & found.keys()",
        wrong="(found | known)[label] for label in found | known", scenario=with_a_tree,
    ),
    Mutation(
        name="who was passed by is not spoken to", rule="D8", function=broadcast._speak_to_the_missing,
        right="sorted(missing - state.directly)", wrong="()", scenario=with_a_tree,
    ),
    Mutation(
        name="a vote is lost on its way up the tree", rule="D3, D8", function=multicast_tree.Sum.add,
        right="self.add_vote(answer.accepted)", wrong="pass", scenario=with_votes_by_a_tree,
    ),
    Mutation(
        name="who has not answered in the tree counts as a vote", rule="D5, D8", function=broadcast.unanswered,
        right="sorted(gathering.missing)", wrong="()", scenario=with_votes_by_a_tree,
    ),
    Mutation(
        name="a plan is chosen before the tree has answered", rule="D5, D8", function=broadcast.unanswered,
        right="gathering is not None and gathering.asked", wrong="False", scenario=with_votes_by_a_tree,
    ),
    Mutation(
        name="nobody is asked for a plan that is newer", rule="D7", function=plan_catchup.told,
        right="state.newer[agent] = generation", wrong="pass", scenario=with_nobody_left_of_the_first_tree,
    ),
    Mutation(
        name="what is heard of a stopped node shows that it lives", rule="T6", function=failure_detector._broken_link,
        right="sure.issuperset((one, other))", wrong="True", scenario=with_late_words_of_the_stopped,
    ),
    Mutation(
        name="a new orchestrator is not told of a connection that ended", rule="T8, D7", function=membership.greeted,
        right="for word in state.current.to_repeat", wrong="for word in ()", scenario=with_a_hangup,
    ),
    Mutation(
        name="a watcher reports a silent node once, and never again", rule="T2", function=peers._silences,
        right="not peer.silent or now - peer.reported_at > settings.silence_s", wrong="not peer.silent",
        scenario=with_a_stop_after_a_hand_over,
    ),
    Mutation(
        name="an agent does not report that a link failed while a label was encoded", rule="T8", function=membership.link_failed,
        right="event.generation != state.generation", wrong="event.label != state.plan.base", scenario=with_a_failed_link,
    ),
    Mutation(
        name="an agent does not report that a link failed in a rebuild", rule="T8", function=membership.link_failed,
        right="event.generation != state.generation", wrong="event.label == state.plan.base", scenario=with_a_failed_link,
    ),
    Mutation(
        name="a new orchestrator does not learn of a link that failed", rule="T8, D7", function=membership.greeted,
        right="for word in state.current.to_repeat", wrong="for word in ()", scenario=with_a_failed_link,
    ),
    Mutation(
        name="a link that failed in a rebuild is of no interest, for the base is committed", rule="T8", function=facts._is_missed,
        right="link.label is None or state.phase is GenerationPhase.REBUILDING", wrong="link.label is None", scenario=with_a_failed_link,
    ),
    Mutation(
        name="agents are asked to end before the supervisor has the result", rule="C10", function=recovery.finish,
        right="[do.Finish(error=error, text=text, payload=payload), *to_agents]",
        wrong="[*to_agents, do.Finish(error=error, text=text, payload=payload)]",
    ),
    Mutation(
        name="a connection that ended in an older generation counts", rule="T8", function=recovery._chosen,
        right="GenerationState(plan=plan,", wrong="GenerationState(plan=plan, lost_links=state.current.lost_links,", scenario=with_a_hangup,
    ),
    Mutation(
        name="votes decide where two quorums need not meet", rule="D0", function=votes.decide_after,
        right="2 * plan.parity < plan", wrong="2 * plan.parity <= plan",
    ),
    Mutation(
        name="a quorum is one vote too small", rule="D0, D5", function=votes.are_quorum,
        right="<= plan.parity", wrong="<= plan.parity + 1",
    ),
    Mutation(
        name="a plan is chosen by the members of one group", rule="D0, D5", function=votes.are_quorum,
        right="return max(", wrong="return min(", scenario=with_a_hand_over_of_groups,
    ),
    Mutation(
        name="a vote is cast although a higher ballot has the promise", rule="D4", function=membership.accept,
        right="if message.ballot < state.promised:", wrong="if False:", scenario=with_rivals,
    ),
    Mutation(
        name="the accepted plan of a lower ballot is taken", rule="D3", function=votes.newest,
        right="return max(", wrong="return min(", scenario=with_two_votes,
    ),
    Mutation(
        name="an accepted plan is not looked at", rule="D3", function=consensus.value,
        right="if answered and vote is not None and not waits:", wrong="if False:", scenario=with_a_hand_over_of_votes,
    ),
    Mutation(
        name="a vote for this generation counts for the next one", rule="D4", function=AgentState.take_up,
        right="AgentGenerationState(plan=plan,", wrong="AgentGenerationState(plan=plan, accepted=self.current.accepted,",
    ),
    Mutation(
        name="another orchestrator's plan is carried out by what this one knows", rule="D5, D7", function=recovery._chosen,
        right="before is None or (seal.holdings is not None and (plan is seal.proposal or plan == seal.proposal))", wrong="True",
        scenario=with_two_votes,
    ),
    Mutation(
        name="members of a group share a node", rule="G1", function=layout.parity_groups,
        right="key=lambda rank: (rank % ranks_per_node, rank // ranks_per_node)", wrong="",
    ),
    Mutation(
        name="members of a group share a rack", rule="G1", function=layout.dealt_groups,
        right="order[index::count]", wrong="order[index * -(-len(order) // count) : (index + 1) * -(-len(order) // count)]",
        scenario=with_a_rack_lost,
    ),
)  # fmt: skip
