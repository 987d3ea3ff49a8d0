"""Threads of each rank call the communicator at the same time, or one after the other: see `WAYS`.

perdure run threads.py --ranks 2 --spares 0 -- pairs
"""

import concurrent.futures
import queue
import sys
import threading
import time

import numpy as np

from perdure import MPI

comm = MPI.COMM_WORLD.Dup()
rank, other = comm.rank, 1 - comm.rank


def handed_over():
    """A framework's thread makes all calls after the first."""
    comm.Barrier()
    work, results = queue.SimpleQueue(), queue.SimpleQueue()

    def device():
        while (task := work.get()) is not None:
            results.put(task())

    thread = threading.Thread(target=device, daemon=True)
    thread.start()
    for step in range(100):
        work.put(lambda step=step: comm.allreduce(step))
        assert results.get() == 2 * step
    work.put(None)
    thread.join()
    return comm.allreduce(1)


def pairs(threads=4, messages=200):
    """Each thread speaks with its counterpart, in messages of many sizes, while the main thread is in collectives of its own."""
    sums = [0] * threads

    def speak(tag):
        for number in range(messages):
            size = (1, 1000, 200_000)[number % 3]
            sent = comm.Isend(np.full(size, number), other, tag)
            got = np.empty(size, int)
            comm.Recv(got, other, tag)
            sent.Wait()
            assert (got == number).all()
            sums[tag] += number

    started = [threading.Thread(target=speak, args=(tag,)) for tag in range(threads)]
    for thread in started:
        thread.start()
    own = comm.Dup()
    for number in range(messages):
        assert own.allreduce(number) == 2 * number
        own.Ibarrier().Wait()
    for thread in started:
        thread.join()
    return sums


def shared(threads=3, messages=300):
    """Several threads take messages from any source; each comes once."""
    taken = []

    def take():
        while (value := comm.mprobe().recv()) >= 0:
            taken.append(value)

    started = [threading.Thread(target=take) for _ in range(threads)]
    for thread in started:
        thread.start()
    for number in [*range(messages), *[-1] * threads]:
        comm.send(number, other)
        while number == messages - 1 and len(taken) < messages:
            comm.iprobe(tag=5)
    for thread in started:
        thread.join()
    return sorted(taken) == list(range(messages))


def own_thread():
    """A thread waits for what another thread of the same rank sends after a long while, to itself and to the other rank."""
    waiter = concurrent.futures.ThreadPoolExecutor(1)
    mine, theirs = waiter.submit(comm.recv, source=rank), None
    time.sleep(3)
    comm.send("mine", rank)
    theirs = waiter.submit(comm.recv, source=other)
    time.sleep(3)
    comm.send("theirs", other)
    return mine.result(), theirs.result()


def stuck():
    """All threads wait for messages that nobody sends, or for one another."""
    threads = [threading.Thread(target=comm.recv, kwargs={"source": rank, "tag": tag}, daemon=True) for tag in range(2)]
    for thread in threads:
        thread.start()
    concurrent.futures.ThreadPoolExecutor(2).submit(int).result()
    for thread in threads:
        thread.join()


WAYS = {"handed_over": handed_over, "pairs": pairs, "shared": shared, "own_thread": own_thread, "stuck": stuck}
assert MPI.Query_thread() == MPI.THREAD_MULTIPLE
assert MPI.Is_thread_main()
sys.stdout.write(f"{WAYS[sys.argv[1]]()}\n")
