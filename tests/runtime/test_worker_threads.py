"""Which threads that live after `main` cost a healthy survivor its process? Those of the program, and no others."""

from __future__ import annotations

import _thread
import concurrent.futures
import multiprocessing.pool
import queue
import threading

from perdure.runtime.program_threads import is_of_the_program


def _wait(started: threading.Event, end: threading.Event) -> None:
    started.set()
    end.wait()


def test_a_thread_of_the_program_counts_daemon_or_not() -> None:
    for daemon in (True, False):
        started, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=_wait, args=(started, end), daemon=daemon)
        thread.start()
        started.wait()
        assert is_of_the_program(thread)
        end.set()
        thread.join()


def test_an_idle_daemon_thread_of_a_library_does_not_count() -> None:
    with multiprocessing.pool.ThreadPool(1) as pool:
        assert pool.apply(int, ("7",)) == 7
        workers = [thread for thread in threading.enumerate() if "worker" in thread.name or "handle" in thread.name]
        assert workers
        assert not any(map(is_of_the_program, workers))


def test_one_that_runs_the_program_does() -> None:
    started, end = threading.Event(), threading.Event()
    with multiprocessing.pool.ThreadPool(1) as pool:
        task = pool.apply_async(_wait, (started, end))
        started.wait()
        assert any(is_of_the_program(thread) for thread in threading.enumerate() if thread.daemon)
        end.set()
        task.get()


def test_a_pool_that_ends_with_the_process_counts() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(int, "7").result()
        assert any(is_of_the_program(thread) for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name)


def test_a_thread_of_c_code_does_not_count() -> None:
    found: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    end = threading.Event()

    def live() -> None:
        found.put(threading.current_thread())
        end.wait()

    _thread.start_new_thread(live, ())
    thread = found.get()
    assert isinstance(thread, threading._DummyThread)
    assert not is_of_the_program(thread)
    end.set()
