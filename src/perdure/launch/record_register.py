"""The supervisor's side of the job's register, which lies in this process's memory or in the engine's record.

1. The supervisor's thread calls `read`, `create` or `note`. The call returns at once.
2. `ImmediateRegister` answers within the call. `ThreadedRegister` has a thread, which calls the record; the answer is posted to the
   supervisor's reactor.
3. If the record cannot be reached, the thread logs a warning and repeats the call with growing pauses. Until the answer the job does
   what needs no register: ranks compute and commit, and votes decide where they can (rule D0).
4. `close` lets the thread remove the job's keys, for `FORGET_TIMEOUT_S` at most. What a supervisor that is killed has written remains.

In the record the plan of each generation has a key of its own. Its value is the message `RegisterHolds` as a line (`wire.control_lines`).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final, Protocol

from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.plan import Plan
from perdure.core.register import MemoryRegister
from perdure.engines.protocol import EngineRecord
from perdure.errors import EngineFailed
from perdure.runtime.reactor import Reactor
from perdure.wire import WireError, control_lines

FIRST_PAUSE_S: Final = 0.1
"""Between a call that failed and its first repetition. Each later pause is twice as long. Arbitrary."""
MAX_PAUSE_S: Final = 5.0
"""The longest pause. Arbitrary."""
SLOW_S: Final = 5.0
"""After this time without an answer, a warning is logged. Arbitrary."""
FORGET_TIMEOUT_S: Final = 2.0
"""The end of a job waits so long until its keys are removed. Arbitrary."""
Answer = Callable[[ev.RegisterAnswered], None]
logger = logging.getLogger(__name__)


class JobRegister(Protocol):
    """The register of one job, as its supervisor uses it. All calls return at once.

    Attributes:
        newest: the newest plan that this process has seen of the register.
    """

    @property
    def newest(self) -> Plan | None: ...

    def read(self, orchestrator: int) -> None:
        """Read the newest plan; `RegisterAnswered` for this orchestrator follows."""

    def create(self, orchestrator: int, plan: Plan) -> None:
        """Store the plan of an orchestrator (see `Register.create`); `RegisterAnswered` follows."""

    def note(self, plan: Plan) -> None:
        """Store a plan that votes have chosen (see `Register.note`)."""

    def close(self) -> None:
        """Forget all plans: the job is over."""


class ImmediateRegister:
    """A register in this process's memory, which answers within each call."""

    def __init__(self, answer: Answer) -> None:
        self._register, self._answer = MemoryRegister(), answer

    @property
    def newest(self) -> Plan | None:
        """See `JobRegister`."""
        return self._register.read()

    def read(self, orchestrator: int) -> None:
        """See `JobRegister.read`."""
        self._answer(ev.RegisterAnswered(orchestrator=orchestrator, plan=self._register.read()))

    def create(self, orchestrator: int, plan: Plan) -> None:
        """See `JobRegister.create`."""
        self._answer(ev.RegisterAnswered(orchestrator=orchestrator, plan=self._register.create(plan)))

    def note(self, plan: Plan) -> None:
        """See `JobRegister.note`."""
        self._register.note(plan)

    def close(self) -> None:
        """See `JobRegister.close`: this memory ends with the process."""


class RecordRegister:
    """A `core.register.Register` in a record. Its calls block, and raise what the record's calls raise."""

    def __init__(self, record: EngineRecord, prefix: str) -> None:
        """`prefix`: of the keys of this job."""
        self._record, self._prefix = record, f"{prefix}plan/"

    def read(self) -> Plan | None:
        """See `Register.read`. WireError: the record has something else than a plan."""
        generations = [int(key.removeprefix(self._prefix)) for key in self._record.keys(self._prefix)]
        if not generations:
            return None
        key = self._key_of(max(generations))
        value = self._record.read(key)
        if value is None:
            raise EngineFailed(f"the record lists the key {key}, but has no value of it")
        return _plan_of(key, value)

    def create(self, plan: Plan) -> Plan:
        """See `Register.create`. The last look finds a newer plan that another process has stored meanwhile."""
        newest = self.read()
        if newest is not None and newest.generation >= plan.generation:
            return newest
        self._record.create(self._key_of(plan.generation), control_lines.encode(msg.RegisterHolds(plan=plan)))
        stored = self.read()
        if stored is None:
            raise EngineFailed(f"the record has lost the plan of generation {plan.generation}")
        return stored

    def note(self, plan: Plan) -> None:
        """See `Register.note`."""
        self.create(plan)

    def _key_of(self, generation: int) -> str:
        return f"{self._prefix}{generation}"


def _plan_of(key: str, value: bytes) -> Plan:
    message = control_lines.to_orchestrator(value)
    if not isinstance(message, msg.RegisterHolds) or message.plan is None:
        raise WireError(f"the key {key} of the record has {message} in place of a plan")
    return message.plan


class ThreadedRegister:
    """A register in a record, which a thread of its own calls. All methods are for the supervisor's thread."""

    def __init__(self, record: EngineRecord, job: str, reactor: Reactor, answer: Answer) -> None:
        """`answer` is called on the thread that turns the reactor."""
        self._record, self._prefix = record, f"{job}/"
        self._register = RecordRegister(record, self._prefix)
        self._reactor, self._answer = reactor, answer
        self._newest: Plan | None = None
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._unanswered: set[object] = set()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record of the engine", daemon=True)
        self._thread.start()

    @property
    def newest(self) -> Plan | None:
        """See `JobRegister`."""
        return self._newest

    def read(self, orchestrator: int) -> None:
        """See `JobRegister.read`."""
        self._call(orchestrator, self._register.read)

    def create(self, orchestrator: int, plan: Plan) -> None:
        """See `JobRegister.create`."""
        self._call(orchestrator, lambda: self._register.create(plan))

    def note(self, plan: Plan) -> None:
        """See `JobRegister.note`."""
        self._see(plan)
        self._calls.put(lambda: self._register.note(plan))

    def close(self) -> None:
        """See `JobRegister.close`. Blocks for `FORGET_TIMEOUT_S` at most."""
        self._is_closing.set()
        self._calls.put(lambda: None)
        self._thread.join(FORGET_TIMEOUT_S)
        if self._thread.is_alive():
            logger.warning(
                "the engine's record has not answered for %g s: keys that begin with %s may remain", FORGET_TIMEOUT_S, self._prefix
            )

    def _call(self, orchestrator: int, call: Callable[[], Plan | None]) -> None:
        question = object()
        self._unanswered.add(question)

        def answered(plan: Plan | None) -> None:
            self._unanswered.discard(question)
            self._see(plan)
            self._answer(ev.RegisterAnswered(orchestrator=orchestrator, plan=plan))

        def on_thread() -> None:
            plan = call()
            self._reactor.post(lambda: answered(plan))

        self._calls.put(on_thread)
        self._reactor.after(SLOW_S, lambda: self._warn_if_unanswered(question))

    def _warn_if_unanswered(self, question: object) -> None:
        if question in self._unanswered:
            logger.warning("the engine's record has not answered for %g s: the job waits for it at its next recovery or start", SLOW_S)

    def _see(self, plan: Plan | None) -> None:
        if plan is not None and (self._newest is None or plan.generation > self._newest.generation):
            self._newest = plan

    # ---- on the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closing.is_set():
            self._repeat(self._calls.get())
        try:
            self._record.forget(self._prefix)
        except (OSError, EngineFailed) as error:
            logger.warning("the engine's record cannot be reached (%s): keys that begin with %s may remain", error, self._prefix)

    def _repeat(self, call: Callable[[], None]) -> None:
        """Call it until it returns, or the job is over. An error of another kind than an unreachable record ends the job."""
        pause_s = FIRST_PAUSE_S
        while not self._is_closing.is_set():
            try:
                call()
            except (OSError, EngineFailed) as error:
                if pause_s == FIRST_PAUSE_S:
                    logger.warning("the engine's record cannot be reached (%s): trying again", error)
                self._is_closing.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except Exception as error:
                self._reactor.post(_raising(error))
                return
            else:
                if pause_s > FIRST_PAUSE_S:
                    logger.info("the engine's record can be reached again")
                return


def _raising(cause: Exception) -> Callable[[], None]:
    def fail() -> None:
        text = f"the engine's record failed ({type(cause).__name__}: {cause}): does it pass perdure.testing.RecordTests?"
        raise EngineFailed(text) from cause

    return fail
