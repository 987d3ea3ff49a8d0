"""Worker processes: started, loaded, unwound, gone; and whether they make progress (rules W1, W2, W4)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import restore
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Stage, WorkerPhase

_UNWOUND_LATE = "main did not end within {:g} s after the generation was revoked; raise --unwind-timeout if it computes for longer"


def start(hosted: Hosted, incarnation: int) -> list[do.AgentCommand]:
    """W2: no new worker is attached before the old one's exit was seen."""
    if hosted.worker in (WorkerPhase.GONE,):
        hosted.incarnation = incarnation
        hosted.become(WorkerPhase.STARTING)
        hosted.killed_because = ""
        hosted.stopped_since = 0.0
        hosted.calls = hosted.frames = -1
        hosted.superstep = -1
        return [do.StartWorker(rank=hosted.rank, incarnation=incarnation)]
    hosted.start_next = incarnation
    return [] if hosted.worker is WorkerPhase.KILLED else kill(hosted)


def kill(hosted: Hosted, because: str = "") -> list[do.AgentCommand]:
    """Ends the process; `ended` follows."""
    if hosted.worker in (WorkerPhase.GONE, WorkerPhase.KILLED):
        return []
    hosted.killed_because = because
    hosted.become(WorkerPhase.KILLED)
    return [do.KillWorker(rank=hosted.rank, incarnation=hosted.incarnation)]


def loaded(state: AgentState, hosted: Hosted, message: msg.Loaded) -> list[do.AgentCommand]:
    """The program is imported: the worker can enter `main`, unless it was ended meanwhile."""
    if hosted.worker is not WorkerPhase.STARTING:
        return []
    hosted.become(WorkerPhase.IDLE)
    hosted.address = message.address
    started = msg.WorkerStarted(generation=state.generation, rank=hosted.rank, incarnation=hosted.incarnation, pid=message.pid)
    return [do.TellOrchestrator(message=started), *restore.say_ready(state, hosted)]


def unwound(state: AgentState, hosted: Hosted, generation: int, *, clean: bool) -> list[do.AgentCommand]:
    """W1: a worker that left threads behind is not usable again."""
    if hosted.worker is not WorkerPhase.UNWINDING:
        return []
    if not clean:
        return kill(hosted, "threads of main are still running")
    hosted.become(WorkerPhase.IDLE)
    return restore.say_ready(state, hosted)


def link_ended(state: AgentState, hosted: Hosted, other: int) -> list[do.AgentCommand]:
    """T8: said for as long as the generation lasts."""
    return [*state.report_link(hosted.rank, other)] if hosted.worker is WorkerPhase.RUNNING else []


def raised(state: AgentState, hosted: Hosted, generation: int, error: str, text: str) -> list[do.AgentCommand]:
    """W3: the orchestrator decides whether this is the program's end or the echo of a loss. After a revoke it is the way out of `main`."""
    if hosted.worker is WorkerPhase.UNWINDING:
        hosted.become(WorkerPhase.IDLE)
        return restore.say_ready(state, hosted)
    if hosted.worker is not WorkerPhase.RUNNING or generation != state.generation:
        return []
    hosted.become(WorkerPhase.RAISED)
    return [state.report(msg.Raised(generation=state.generation, rank=hosted.rank, error=error, text=text))]


def ended(state: AgentState, event: ev.WorkerEnded, now: float) -> list[do.AgentCommand]:
    """The process is gone for certain. What it was filling is free again (rule C2)."""
    kept = state.kept.get(event.rank)
    if kept is not None and kept.incarnation == event.incarnation and kept.worker is WorkerPhase.KILLED:
        kept.become(WorkerPhase.GONE)
        if not kept.slots:
            del state.kept[event.rank]
        return []
    hosted = state.hosted.get(event.rank)
    if hosted is None or hosted.incarnation != event.incarnation:
        return []
    expected = bool(hosted.start_next)
    hosted.become(WorkerPhase.GONE)
    hosted.wants = None
    hosted.frozen_in = 0
    out: list[do.AgentCommand] = []
    for label in [slot.label for slot in hosted.slots.values() if slot.stage is Stage.FILLING]:
        del hosted.slots[label]
        out.append(do.ForgetLabel(rank=hosted.rank, label=label))
    if expected:
        incarnation, hosted.start_next = hosted.start_next, 0
        return out + start(hosted, incarnation)
    because = hosted.killed_because and hosted.killed_because + (f"; it was in {event.stack}" if event.stack else "")
    lost = msg.WorkerLost(
        generation=state.generation, rank=hosted.rank, incarnation=hosted.incarnation, reason=because or event.how
    )  # fmt: skip
    return [*out, do.TellOrchestrator(message=lost)]


def sampled(state: AgentState, samples: tuple[ev.Sample, ...], now: float) -> list[do.AgentCommand]:
    """W4: a worker in user code without a job call for too long, or stopped, is hung: it is ended and so counts as crashed. One that is
    stopped inside a call does not wait there; one that is stopped before `main` is entered, or on its way out, is hung as well."""
    out: list[do.AgentCommand] = []
    is_late = now - state.sampled_at > state.settings.silence_s / 2  # this agent may have been stopped itself, with its workers
    state.sampled_at = now
    for sample in samples:
        hosted = state.hosted.get(sample.rank)
        if hosted is None or hosted.incarnation != sample.incarnation:
            continue
        if not sample.stopped or not hosted.stopped_since or is_late:
            hosted.stopped_since = now if sample.stopped else 0.0
        if sample.stopped and now - hosted.stopped_since > state.settings.silence_s:
            out += kill(hosted, f"stopped for {state.settings.silence_s:g} s")
        if hosted.worker is not WorkerPhase.RUNNING:
            continue
        if sample.calls != hosted.calls or sample.frames != hosted.frames or hosted.moved_at == 0.0:
            hosted.moved_at = now
        hosted.calls, hosted.frames = sample.calls, sample.frames
        hosted.inside = "" if sample.stopped else sample.inside
        if sample.superstep != hosted.superstep:
            hosted.longest_s = max(hosted.longest_s, now - hosted.superstep_at if hosted.superstep >= 0 else 0.0)
            hosted.superstep_at = now
        hosted.superstep, hosted.count = sample.superstep, sample.count
        limit = _patience_s(state, hosted)
        if now - hosted.moved_at > limit and not sample.inside and not sample.stopped:
            hung = f"hung: no job call for {limit:g} s after superstep {hosted.superstep}; raise --hang-timeout if it computes for longer"
            out += kill(hosted, hung)
    return out


def _patience_s(state: AgentState, hosted: Hosted) -> float:
    """W4: a rank whose supersteps take long may be without a job call for longer."""
    return max(state.settings.hang_timeout_s, state.settings.hang_factor * hosted.longest_s)


def tick(state: AgentState, now: float) -> list[do.AgentCommand]:
    """W1: `main` that does not let the revocation pass in time is ended with its process; a node that cannot start or end one is lost."""
    out: list[do.AgentCommand] = []
    for hosted in state.hosted.values():
        if hosted.worker is WorkerPhase.UNWINDING and not hosted.frozen_in and now > hosted.unwind_by:
            out += kill(hosted, _UNWOUND_LATE.format(state.settings.unwind_timeout_s))
        stuck = _is_stuck(state, hosted, now)
        if stuck:
            state.become(MembershipPhase.ENDED)
            return [do.EndAgent(reason=stuck)]
    return out


def _is_stuck(state: AgentState, hosted: Hosted, now: float) -> str:
    """Why this node is of no use: the process of a rank neither starts nor ends. Empty if all is well."""
    limits = {WorkerPhase.STARTING: state.settings.start_timeout_s, WorkerPhase.KILLED: state.settings.exit_timeout_s}
    limit = limits.get(hosted.worker)
    now_is = (hosted.worker, hosted.incarnation)
    if limit is None or hosted.awaits != now_is:
        hosted.awaits, hosted.awaits_since = now_is, now
        return ""
    verb = "start" if hosted.worker is WorkerPhase.STARTING else "end"
    return f"the worker of rank {hosted.rank} did not {verb} within {limit:g} s" if now - hosted.awaits_since > limit else ""
