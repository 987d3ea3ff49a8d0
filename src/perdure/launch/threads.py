"""The engine `threads`: all ranks are threads of this process, for notebooks and debuggers. No loss is survived, and nothing is protected.

`main` is called as it is, so breakpoints in it are met, and its module's globals are one for all ranks. The first rank that raises ends the
job: the others are woken out of whatever they wait in.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import cloudpickle

from perdure import job
from perdure.adapters.kept_memory import KeptMemory
from perdure.comm import Mesh, world_of
from perdure.comm.mpi import singleton
from perdure.core.job_events import FinishedEvent, GenerationStartedEvent, JobEvent, ResumedEvent, TimedEvent
from perdure.core.settings import Settings
from perdure.errors import Deadlock, GenerationRevoked, PerdureError, ProgramFailed
from perdure.launch.import_hook import lend, take_back
from perdure.launch.program import Program, Raw, arguments_of, describe, load, pickled_arguments, split_raw
from perdure.launch.thread_rendezvous import Declared, Rendezvous, ThreadMonitor, ThreadSession
from perdure.runtime.program_errors import as_raised
from perdure.runtime.session import RankParameters

OnEvent = Callable[[TimedEvent], None]
LOOK_EVERY_S: Final = 0.1
"""Between two looks whether anything moves."""
UNWIND_TIMEOUT_S: Final = 2.0
"""For a rank that computes and makes no job call: then the interrupt is put into its thread. Arbitrary."""


def run_threads(
    main: Callable[..., Any] | str,
    arguments: Mapping[str, Any] | None,
    raw: Raw | None,
    *,
    parameters: RankParameters,
    settings: Settings,
    on_event: OnEvent,
    declared: Declared | None = None,
    lends: bool = True,
) -> Any:
    """Blocks until all ranks are through; returns what `main` returned on rank 0. Raises what `perdure.run` raises.

    `declared` is called by one of the ranks' threads; what it raises ends the job.
    """
    try:
        with singleton.forbidden():
            if callable(main):
                options, words = split_raw(raw)
                function, program = main, Program(raw=options, words=words, arguments=pickled_arguments(arguments))
            else:
                program = describe(main, arguments, raw, lends=lends)
                lend(size=parameters.ranks_on_machine, lent=lends)
                function = load(program)[0]
            arguments_of(function, program)
            return _Threads(function, program, parameters, settings, on_event, declared).run()
    finally:
        take_back()


class _Threads:
    """One job. Events are handed to the thread that called `run`, which is the one that a Ctrl-C reaches."""

    def __init__(
        self, function: Callable[..., Any], program: Program, parameters: RankParameters, settings: Settings, on_event: OnEvent,
        declared: Declared | None,
    ) -> None:  # fmt: skip
        self._function, self._program, self._parameters, self._settings, self._on_event = function, program, parameters, settings, on_event
        self._size = parameters.ranks_on_machine
        self._began = time.monotonic()
        self._events: queue.SimpleQueue[TimedEvent | None] = queue.SimpleQueue()
        self._rendezvous = Rendezvous(self._size, self._publish, declared, parameters.on_crossing)
        self._monitors = [ThreadMonitor(self._fail) for _ in range(self._size)]
        name = os.urandom(16)
        self._meshes = [
            Mesh(job=name, rank=rank, incarnation=1, monitor=self._monitors[rank], transport="threads") for rank in range(self._size)
        ]
        self._threads = [threading.Thread(target=self._rank, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(self._size)]
        self._left = self._size
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._result = b""
        self._frames, self._moved_at = -1, self._began

    def run(self) -> Any:
        """See `run_threads`."""
        placement = dict.fromkeys(range(self._size), 0)
        self._publish(GenerationStartedEvent(generation=1, placement=placement, degraded=False, why="", risk=""))
        self._publish(ResumedEvent(generation=1, superstep=0))
        try:
            for monitor, own in zip(self._monitors, self._threads, strict=True):
                monitor.others = {*threading.enumerate(), *self._threads} - {own}
            for thread in self._threads:
                thread.start()
            while self._left and self._error is None:
                self._take_event(LOOK_EVERY_S)
                self._look_for_a_deadlock()
        finally:
            self._stop()
        self._publish(FinishedEvent(status="ok" if self._error is None else as_raised(1, self._error).error))
        while not self._events.empty():
            self._take_event(0.0)
        if self._error is not None:
            self._raise(self._error)
        return pickle.loads(self._result)

    def _publish(self, event: JobEvent) -> None:
        self._events.put(TimedEvent(t=round(time.monotonic() - self._began, 6), event=event))

    def _take_event(self, timeout_s: float) -> None:
        try:
            event = self._events.get(timeout=timeout_s) if timeout_s else self._events.get_nowait()
        except queue.Empty:
            return
        if event is not None:
            self._on_event(event)

    def _rank(self, rank: int) -> None:
        """The life of a rank's thread."""
        try:
            self._rendezvous.check()
            addresses = [mesh.address for mesh in self._meshes]
            engine = self._meshes[rank].enter(generation=1, size=self._size, addresses=addresses, incarnations=[1] * self._size)
            session = ThreadSession(
                self._rendezvous, self._monitors[rank], world_of(engine), self._parameters, self._publish, tight=self._settings.is_tight
            )
            arguments = arguments_of(self._function, self._program)
            job.run_main(self._function, arguments, session, KeptMemory(), self._keep_result)
        except GenerationRevoked:
            pass  # another rank's error, or an interrupt, is the reason
        except BaseException as error:
            self._fail(error)
        with self._lock:
            self._left -= 1
        self._events.put(None)

    def _keep_result(self, result: Any) -> bytes:
        self._result = cloudpickle.dumps(result)
        return self._result

    def _fail(self, error: BaseException) -> None:
        """The first error is the job's."""
        with self._lock:
            self._error = self._error or error
        self._wake_all()

    def _wake_all(self) -> None:
        self._rendezvous.end()
        for mesh in self._meshes:
            mesh.revoke(1)

    def _look_for_a_deadlock(self) -> None:
        """All ranks inside job calls, at least one of them for a message, and nothing moves: nobody can ever go on."""
        calls, frames, now = [one.inside for one in self._monitors], sum(one.frames for one in self._monitors), time.monotonic()
        if frames != self._frames or not all(calls) or not any(call.startswith("comm.") for call in calls):
            self._frames, self._moved_at = frames, now
        limit_s = self._settings.deadlock_timeout_s
        if now - self._moved_at >= limit_s:
            where = "; ".join(f"rank {rank} in {call}" for rank, call in enumerate(calls))
            self._fail(Deadlock(f"all ranks wait and no message moved for {limit_s:g} s: {where}"))

    def _stop(self) -> None:
        """No rank runs any more, unless it does nothing but compute in code that is not Python."""
        if self._left:
            self._wake_all()
        for thread in self._join():
            assert thread.ident is not None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(GenerationRevoked))
        self._join()
        for mesh in self._meshes:
            mesh.close()

    def _join(self) -> list[threading.Thread]:
        """Waits for all that were started; returns those that go on. One whose start was interrupted comes to life a little later."""
        deadline = time.monotonic() + UNWIND_TIMEOUT_S
        for thread in set(self._threads).intersection(threading.enumerate()):
            while not thread.is_alive() and thread in threading.enumerate() and time.monotonic() < deadline:
                os.sched_yield()
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]

    def _raise(self, error: BaseException) -> None:
        """Raise the error of a rank as with processes, with the rank's traceback for a debugger."""
        if isinstance(error, PerdureError):
            raise error
        raise ProgramFailed(as_raised(1, error).text) from error
