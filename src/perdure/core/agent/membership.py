"""From one generation to the next, at one agent (rules D1, D4, D6, D7, R4)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import commit, custody, relay, restore, tight, workers
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, WorkerPhase, is_of_use, kept_reports, reports
from perdure.core.ids import Ballot
from perdure.core.plan import Plan


def greet(state: AgentState, message: msg.Greet) -> list[do.AgentCommand]:
    """D7. What agents still pass on of an older orchestrator's seals comes too late from now on: the new one would not know of it."""
    state.promised = max(state.promised, Ballot(message.round, 0))
    return greeted(state)


def greeted(state: AgentState) -> list[do.AgentCommand]:
    """D7: a new orchestrator counts the facts anew: everything that was said before is said again."""
    ready = tuple((hosted.rank, hosted.address) for hosted in state.hosted.values() if hosted.told_ready)
    silent = tuple(agent for agent, peer in state.peers.items() if peer.silent)
    status = msg.AgentStatus(
        generation=state.generation,
        phase=state.phase,
        resumed=state.current.resumed,
        ranks=reports(state),
        ready=ready,
        silent=silent,
        holds=state.current.hold_after is not None,
    )
    out: list[do.AgentCommand] = [do.TellOrchestrator(message=status)]
    if state.current.installed:
        out.append(do.TellOrchestrator(message=msg.Installed(generation=state.generation)))
    for hosted in state.hosted.values():
        out += commit.say_copied_again(state, hosted)
    out += [do.TellOrchestrator(message=fact) for facts in state.current.prepared.values() for fact in facts.values()]
    return out + [do.TellOrchestrator(message=word) for word in state.current.to_repeat]


def seal(state: AgentState, message: msg.Seal, source: int, now: float) -> list[do.AgentCommand]:
    """D1: promise, revoke, shut the links, freeze. The answer follows when the links are quiet: to the orchestrator, or by the tree."""
    if state.plan is None or state.is_outside:
        return []
    if message.generation < state.generation:
        return [_newer(state)]
    if message.ballot < state.promised or message.generation > state.generation:
        return []
    _promise(state, message.ballot)
    out = relay.pass_on(state, state.plan, message, source, now)
    if message.reach is None:
        state.current.seal_to_answer = message.ballot
    return [*out, *_stop_generation(state, now), *_answer_seal(state)]


def _promise(state: AgentState, ballot: Ballot) -> None:
    """Older seals that are not answered yet never will be."""
    if ballot > state.promised:
        state.promised = ballot
        state.current.seal_to_answer = None
        state.current.gatherings.clear()


def _newer(state: AgentState) -> do.AgentCommand:
    """D1, D7: what is installed was chosen."""
    return do.TellOrchestrator(message=msg.Newer(generation=state.generation))


def tell_plan(state: AgentState) -> list[do.AgentCommand]:
    """D7."""
    return [do.TellOrchestrator(message=msg.InstalledPlan(plan=state.plan))] if state.plan else []


def accept(state: AgentState, message: msg.Accept, source: int, now: float) -> list[do.AgentCommand]:
    """D4: the votes of the ranks that live here, for those who are members of the generation before; not against an older promise."""
    if state.plan is None or state.is_outside or message.generation > state.generation + 1:
        return []
    if message.generation <= state.generation:
        return [_newer(state)]
    if message.ballot < state.promised:
        return []
    _promise(state, message.ballot)
    state.current.accepted = msg.Vote(ballot=message.ballot, change=message.change)
    out = [*relay.pass_on(state, state.plan, message, source, now), *_stop_generation(state, now)]
    if message.reach is None:
        out.append(do.TellOrchestrator(message=msg.Accepted(ballot=message.ballot)))
    return out


def _stop_generation(state: AgentState, now: float) -> list[do.AgentCommand]:
    """Workers unwind and links are shut; once."""
    if state.phase is MembershipPhase.SEALED:
        return []
    state.become(MembershipPhase.SEALED)
    state.current.quiet = False
    state.current.to_repeat.clear()
    out: list[do.AgentCommand] = []
    for hosted in state.hosted.values():
        hosted.told_ready = False
        hosted.wants = None
        if hosted.worker in (WorkerPhase.RUNNING, WorkerPhase.RAISED):
            if hosted.worker is WorkerPhase.RAISED:
                hosted.become(WorkerPhase.IDLE)
                continue
            if tight.is_frozen(state, hosted):
                tight.hold(state, hosted)
                continue
            hosted.become(WorkerPhase.UNWINDING)
            hosted.unwind_by = now + state.settings.unwind_timeout_s
            out.append(do.TellWorker(rank=hosted.rank, message=msg.Revoke(generation=state.generation)))
    out.append(do.ShutLinks(generation=state.generation))
    return out


def links_quiet(state: AgentState, generation: int, now: float) -> list[do.AgentCommand]:
    """Nothing moves any more: the seal is answered, an install that waited goes on."""
    if generation < state.generation or state.current.quiet:
        return []
    state.current.quiet = True
    out = _answer_seal(state) if state.current.seal_to_answer else []
    if state.current.waiting_install:
        install_now, state.current.waiting_install = state.current.waiting_install, None
        return out + _install(state, install_now, now)
    for hosted in state.hosted.values():
        out += tight.release(state, hosted, now)
    return out


def link_failed(state: AgentState, event: ev.LinkFailed) -> list[do.AgentCommand]:
    """T8: nobody repeats the work in this generation. A label that is committed needs it no more."""
    committed = state.current.committed
    if state.phase is not MembershipPhase.MEMBER or event.generation != state.generation:
        return []
    if committed is not None and event.label <= committed:
        return []
    return [*state.report_link(event.rank, event.other, event.label)]


def _answer_seal(state: AgentState) -> list[do.AgentCommand]:
    if not state.current.quiet or state.current.seal_to_answer is None:
        return []
    ballot, state.current.seal_to_answer = state.current.seal_to_answer, None
    sealed = msg.Sealed(
        ballot=ballot,
        generation=state.generation,
        ranks=reports(state),
        positions=state.current.positions,
        accepted=state.current.accepted,
        kept=kept_reports(state),
    )
    return [do.TellOrchestrator(message=sealed)]


def install(state: AgentState, message: msg.Install, source: int, now: float) -> list[do.AgentCommand]:
    """D6: the whole plan."""
    out = relay.pass_on(state, message.plan, message, source, now) if _may_pass_on(state, message.plan.generation) else []
    return out + _install(state, message, now)


def amend(state: AgentState, message: msg.Amend, source: int, now: float) -> list[do.AgentCommand]:
    """D6, for a member of the generation before; others were sent the whole plan."""
    if state.plan is None or state.generation < message.generation - 1:
        return []
    if state.generation > message.generation:
        return [_newer(state)]
    plan = state.plan.amended(message.change) if state.generation < message.generation else state.plan
    out = relay.pass_on(state, plan, message, source, now) if _may_pass_on(state, plan.generation) else []
    return out + _install(state, msg.Install(plan=plan, restore=message.restore, reach=message.reach), now)


def _may_pass_on(state: AgentState, generation: int) -> bool:
    """A plan whose generation was sealed here is of no use to anybody any more."""
    return state.generation < generation or (state.generation == generation and state.phase is MembershipPhase.MEMBER)


def _install(state: AgentState, message: msg.Install, now: float) -> list[do.AgentCommand]:
    """One that it missed the seal for is installed after the same stop. A plan that this agent has already is confirmed with all that was
    said since: it may come from an orchestrator that did not know then that it was chosen."""
    plan = message.plan
    if plan.generation < state.generation:
        return [_newer(state)]
    if state.plan is not None and plan.generation == state.generation:
        if message.reach is not None:
            return []
        if state.is_outside:
            return custody.say(state)
        state.current.by_tree = False
        return greeted(state)
    if state.plan is not None:
        out = _stop_generation(state, now)
        if not state.current.quiet:
            state.current.waiting_install = message
            return out
    if not plan.ranks_of(state.me):
        return custody.become(state, plan)
    return _enter_generation(state, message, now)


def _enter_generation(state: AgentState, message: msg.Install, now: float) -> list[do.AgentCommand]:
    plan = message.plan
    state.take_up(plan)
    state.current.by_tree = message.reach is not None
    state.become(MembershipPhase.MEMBER)
    for peer in state.peers.values():
        peer.heard_at = peer.echoed_at = now
    out: list[do.AgentCommand] = [do.OpenLinks(plan=plan)]
    mine = plan.ranks_of(state.me)
    out += custody.leave(state, plan)
    for place in (plan.placements[rank] for rank in mine):
        hosted = state.hosted.setdefault(place.rank, Hosted(rank=place.rank, incarnation=0, worker=WorkerPhase.GONE))
        out += _forget_all_but(hosted, plan)
        if hosted.incarnation != place.incarnation:
            out += workers.start(hosted, place.incarnation)
        out += restore.begin(state, hosted, message.restore, now)
        out += tight.release(state, hosted, now)
    out += custody.checks(state)
    out += restore.say_installed(state)
    for hosted in state.hosted.values():
        out += restore.say_ready(state, hosted)
    return out


def slot_copied(state: AgentState, event: ev.SlotCopied, now: float) -> list[do.AgentCommand]:
    """M2: live may change. The rank goes on after a commit, or unwinds, and enters `main` again once the copy was checked."""
    hosted = tight.copied(state, event)
    if hosted is None:
        return []
    move = do.MoveLabel(rank=event.rank, label=event.label, index=tight.SNAPSHOT)
    out: list[do.AgentCommand] = [move, *tight.release(state, hosted, now)]
    if tight.may_go_on(state, event.label):
        return out + commit.tell_committed(state, hosted, event.label)
    return out + restore.kept(state, hosted, event.label)


def _forget_all_but(hosted: Hosted, plan: Plan) -> list[do.AgentCommand]:
    """D6: every label but the base becomes free; so does a base that is not whole and was not being rebuilt."""
    doomed = [slot.label for slot in hosted.slots.values() if slot.label != plan.base or not is_of_use(slot)]
    for label in doomed:
        del hosted.slots[label]
    return [do.ForgetLabel(rank=hosted.rank, label=label) for label in doomed]


def resume(state: AgentState, message: msg.Resume, source: int, now: float) -> list[do.AgentCommand]:
    """R4: every rank is ready, so `main` may be entered; by workers that still live: the end of another was told, and a seal follows."""
    if state.plan is None or message.generation != state.generation or state.phase is not MembershipPhase.MEMBER:
        return []
    out = relay.pass_on(state, state.plan, message, source, now)
    return out if state.current.resumed else out + _resume(state, state.plan, message, now)


def _resume(state: AgentState, plan: Plan, message: msg.Resume, now: float) -> list[do.AgentCommand]:
    if message.since not in (0, state.addresses_of):
        return [do.TellOrchestrator(message=msg.AskAddresses(generation=message.generation))]
    addresses = list(message.whole or (state.addresses if message.since else [""] * plan.size))
    for rank, address in message.addresses:
        addresses[rank] = address
    state.current.resumed = True
    state.addresses, state.addresses_of = tuple(addresses), message.generation
    out: list[do.AgentCommand] = []
    for hosted in state.hosted.values():
        if hosted.worker is not WorkerPhase.IDLE:
            continue
        slot = hosted.slots.get(plan.base) if plan.base else None
        geometry = plan.geometry(plan.group_index(hosted.rank))
        hosted.become(WorkerPhase.RUNNING)
        hosted.superstep = -1
        hosted.moved_at = now
        enter = msg.Enter(
            generation=plan.generation,
            size=plan.size,
            addresses=state.addresses,
            incarnations=plan.incarnations(),
            base=plan.base,
            slot=slot.index if slot else 0,
            offer=slot.offers[plan.member_of(hosted.rank)] if slot else None,
            positions=plan.positions,
            protection=state.settings.snapshots + 2 * geometry.m / geometry.d,
        )
        out.append(do.TellWorker(rank=hosted.rank, message=enter))
    return out + restore.decode_later(state)
