"""The list of mistakes. Each is one that somebody could make, and that most runs would survive."""

from __future__ import annotations

from perdure.core import changes, holdings, layout, planner, tree
from perdure.core.agent import commit, membership, relaying, restore, scrub, workers
from perdure.core.orchestrator import counting, deciding, fanning, watching
from perdure.sim.repairs import _has_its_digest
from perdure.sim.scenario import Fault, Scenario, draw, with_flips
from tests.mutations.planting import Mutation


def with_a_flipped_bit(seed: int) -> Scenario:
    """Memory fails, and a crash a moment later makes everybody look at theirs."""
    faults = (
        Fault(kind="flip", phase="Committed", nth=3 + seed % 8, victim=seed),
        Fault(kind="crash", phase="Committed", nth=3 + seed % 8),
    )
    return Scenario(ranks=4, parity=1, seed=seed, count=6, faults=faults)


def with_a_hand_over(seed: int) -> Scenario:
    """A worker ends, and the orchestrator at about the moment when it hears of that."""
    crash = Fault(kind="crash", phase="Prepared", nth=3 + seed % 17, victim=seed)
    hand_over = Fault(kind="orchestrator", phase="WorkerEnded", delay=seed // 3 % 4)
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, faults=(crash, hand_over))


def with_a_second_loss(seed: int) -> Scenario:
    """A node ends, and while its ranks come back, or just after, another one."""
    first = Fault(kind="kill", phase="Prepared", nth=3 + seed % 19, victim=seed)
    phase = ("Assign", "Rebuilt", "Ready", "Enter", "SlotRestored", "ChunkStored")[seed % 6]
    second = Fault(kind="kill", phase=phase, nth=1 + seed // 6 % 4 + (4 if phase in ("Ready", "Enter") else 0), victim=seed // 5)
    return Scenario(ranks=5, parity=2, seed=seed, spares=2, group_size=5, superstep_ms=30, faults=(first, second))


def with_two_stopped(seed: int) -> Scenario:
    """More nodes are stopped than may be lost, for longer than silence is forgiven; then they go on."""
    faults = tuple(Fault(kind="stun", phase="Prepared", nth=4 + seed % 9, victim=victim) for victim in (1, 2))
    return Scenario(ranks=4, parity=1, seed=seed, faults=faults)


def with_a_loss_at_the_end(seed: int) -> Scenario:
    """A node ends while the last commit is being made, and perhaps the orchestrator when it is asked for the result."""
    loss = Fault(kind="kill", phase="Prepared", nth=61 + seed % 15, victim=seed)
    return Scenario(ranks=3, parity=1, seed=seed, faults=(loss,))


def with_a_long_stop(seed: int) -> Scenario:
    """A node is stopped for longer than silence is forgiven, and goes on when its ranks live elsewhere."""
    stop = Fault(kind="stun", phase="Prepared", nth=3 + seed % 17, victim=seed)
    return Scenario(ranks=4, parity=1, seed=seed, superstep_ms=2000, faults=(stop,))


def with_all_nodes_lost(seed: int) -> Scenario:
    """Both nodes of a mirrored pair end at once, and no engine tells of it."""
    faults = tuple(Fault(kind="kill", phase="Prepared", nth=3 + seed % 9, victim=victim) for victim in (0, 0))
    return Scenario(ranks=2, parity=1, seed=seed, engine="never", faults=faults)


def with_a_tree(seed: int) -> Scenario:
    """A node ends, and while its loss goes through a tree of agents another one ends or is stopped for a while."""
    first = Fault(kind="kill", phase="Prepared", nth=3 + seed % 29, victim=seed)
    phase = ("Seal", "Gathered", "Amend", "Ready", "Resume", "ShutLinks")[seed % 6]
    second = Fault(kind=("kill", "pause", "stun", "crash")[seed // 6 % 4], phase=phase, nth=1 + seed % 5, victim=seed // 3)
    return Scenario(ranks=9, parity=2, seed=seed, spares=2, fan_out=2, superstep_ms=30, faults=(first, second))


def with_a_start_cut_short(seed: int) -> Scenario:
    """A worker ends, and when its successor starts another one ends."""
    first = Fault(kind="crash", phase="Prepared", nth=3 + seed % 17, victim=seed)
    return Scenario(ranks=4, parity=1, seed=seed, faults=(first, Fault(kind="crash", phase="StartWorker", nth=5, victim=seed // 4)))


def with_failing_memory(seed: int) -> Scenario:
    """The usual scenarios, in memory in which bits change by themselves."""
    return with_flips(draw(seed))


def with_wrong_bytes_to_repair_from(seed: int) -> Scenario:
    """Two bits of a stripe change, and the scrub finds one of them after the other."""
    flips = tuple(Fault(kind="flip", phase="Committed", nth=3 + seed % 8, victim=victim) for victim in (0, 1))
    return Scenario(ranks=2, parity=1, seed=seed, superstep_ms=500, scrub=True, faults=flips)


MISTAKES = (
    Mutation(
        name="an agent takes a label for committed before the last rank has prepared it", rule="C6", function=commit.told_prepared,
        right="len(known) < state.plan.size or", wrong="len(known) < state.plan.size - 1 or",
    ),
    Mutation(
        name="the orchestrator takes a label for committed before the last rank has prepared it", rule="C6", function=counting._prepared,
        right="len(known) < state.plan.size or", wrong="len(known) < state.plan.size - 1 or",
    ),
    Mutation(
        name="a slot is reused although nothing newer is committed", rule="C7", function=commit._superseded,
        right="slot.label < state.committed", wrong="slot.label <= state.committed",
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
        right="next((slot.label for slot in given_up if", wrong="next((state.committed for slot in given_up if",
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
        right="in held.common() if", wrong="in [one.label for report in held.reports.values() for one in report.labels] if",
    ),
    Mutation(
        name="the base is the oldest label instead of the newest", rule="D3", function=planner.choose_base,
        right="return max(", wrong="return min(",
    ),
    Mutation(
        name="the first answer to a seal decides", rule="D2", function=deciding._decide,
        right="absent = fanning.absent(state)\n    if absent is None or any(not state.nodes[agent].silent for agent in absent):",
        wrong="absent = [agent for agent in state.members() if agent not in state.sealed]\n    if not state.sealed:",
    ),
    Mutation(
        name="silent nodes are not waited for", rule="T5", function=deciding._decide,
        right="if absent and now - state.sealing_since", wrong="if not absent and now - state.sealing_since", scenario=with_two_stopped,
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
        name="missing parity is taken for present", rule="R2", function=planner.erased_chunks,
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
        name="main is entered before the last rank is ready", rule="R4", function=deciding._rebuild_or_resume,
        right="not fanning.all_ready(state)", wrong="not state.ready",
    ),
    Mutation(
        name="replicated items are copied from a rank that has none", rule="R1", function=holdings.Holdings.with_replicated,
        right="if (held := self.report(rank, label)) and held.replicated}", wrong="if (held := self.report(rank, label))}",
        scenario=with_a_second_loss,
    ),
    Mutation(
        name="the result is asked for while the next generation is being made", rule="C10", function=deciding.end_if_committed,
        right="state.phase is not Phase.COUNTING or", wrong="", scenario=with_a_loss_at_the_end,
    ),
    Mutation(
        name="a worker's end during a hand-over is forgotten", rule="D7", function=deciding._after_greeting,
        right="undisturbed and workers_live and not state.workers_gone and not silent and not state.divergences",
        wrong="undisturbed and not silent", scenario=with_a_hand_over,
    ),
    Mutation(
        name="the word of a killed process is believed", rule="W2", function=workers.loaded,
        right="if hosted.worker is not WorkerPhase.STARTING:",
        wrong="if hosted.worker is WorkerPhase.GONE:", scenario=with_a_start_cut_short,
    ),
    Mutation(
        name="an old complaint excludes a node that was only stopped", rule="T6", function=counting._heard_again,
        right="watched.update(dict.fromkeys(watched, now))", wrong="pass", scenario=with_two_stopped,
    ),
    Mutation(
        name="nodes that fall silent together wait for each other's complaint", rule="T2", function=watching._is_silent,
        right="able = [other for other in able if not _is_quiet(state, other, now)]", wrong="pass", scenario=with_all_nodes_lost,
    ),
    Mutation(
        name="a node that is called lost is not fenced", rule="T1, G3", function=deciding.agent_lost,
        right="        do.KillAgent(agent=agent),\n", wrong="", scenario=with_a_long_stop,
    ),
    Mutation(
        name="a part of the tree answers for ranks that were passed by", rule="D2", function=relaying._answer,
        right="missing=tuple(sorted(gathering.missing))", wrong="missing=()", scenario=with_a_tree,
    ),
    Mutation(
        name="a part of the tree answers before its parts have", rule="D2, R4", function=relaying.settle,
        right="not asked.gathering.asked and ", wrong="", scenario=with_a_tree,
    ),
    Mutation(
        name="nobody passes by a head that says nothing", rule="D1", function=relaying.tick,
        right="out += _pass_by(state, asked, now)", wrong="pass", scenario=with_a_tree,
    ),
    Mutation(
        name="the labels of the tree are those that any rank has prepared", rule="D3", function=tree.Sum.add_labels,
        right="_joined(known[label], found[label]) for label in known.keys() & found.keys()",
        wrong="(found | known)[label] for label in found | known", scenario=with_a_tree,
    ),
    Mutation(
        name="who was passed by is not spoken to", rule="D8", function=fanning._speak_to_the_missing,
        right="sorted(missing - state.directly)", wrong="()", scenario=with_a_tree,
    ),
    Mutation(
        name="members of a group share a node", rule="G1", function=layout.parity_groups,
        right="key=lambda rank: (rank % ranks_per_node, rank // ranks_per_node)", wrong="",
    ),
)  # fmt: skip
