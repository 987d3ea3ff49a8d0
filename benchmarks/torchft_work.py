"""Replicas under torchft: `python torchft_work.py FOLDER MB` starts a lighthouse and four replica groups of one process each.

torchft keeps what every replica has, so the state here is the same on all: a step is the common work's, with the all-reduce (an average
of what is equal, so exact) and without the ring. The survivors go on without the lost replica, which is started again at once and copies
the state of another. The job runs on until all four have finished a step together again. Timeouts are as short as runs are stable with.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Final

import machine

machine.prioritise()  # before the imports, which are part of what is measured
from common_work import SIZE, STEPS, VICTIM, Log, begin, checksum, end, initial, must_die  # noqa: E402

HEARTBEAT_S: Final = 0.05
LIGHTHOUSE: Final = ("--min_replicas", str(SIZE - 1), "--join_timeout_ms", "200", "--quorum_tick_ms", "20", "--heartbeat_timeout_ms", "500")
TIMEOUT_S: Final = 10.0
AFTER: Final = 5
"""Steps of all four together after the loss."""


def launch(folder: str, mb: str) -> None:
    """The lighthouse, the replicas, and another one for the one that is killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    tool = pathlib.Path(sys.executable).with_name("torchft_lighthouse")
    lighthouse = subprocess.Popen([str(tool), "--bind", address, *LIGHTHOUSE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(rank: int, epoch: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TORCHFT_LIGHTHOUSE": f"http://{address}", "RANK": "0", "WORLD_SIZE": "1"}
        return subprocess.Popen([sys.executable, __file__, folder, mb, str(rank), str(epoch)], env=environment)

    replicas = [start(rank, 0) for rank in range(SIZE)]
    replicas[VICTIM].wait()
    replicas[VICTIM] = start(VICTIM, 1)
    for replica in replicas:
        replica.wait()
    lighthouse.kill()
    lighthouse.wait()


def main(folder: str, mb: str, rank: int, epoch: int) -> None:
    """One replica."""
    import torch
    import torch.distributed as dist
    from torchft import Manager, ProcessGroupGloo

    log = Log(folder, rank)
    log("imported", rank=rank, epoch=epoch)
    torch.set_num_threads(1)
    state = initial(0, int(mb))
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def load(saved: dict[str, torch.Tensor]) -> None:
        state[:] = saved["state"].numpy()

    limit = timedelta(seconds=TIMEOUT_S)
    manager = Manager(
        pg=ProcessGroupGloo(timeout=limit), load_state_dict=load, state_dict=lambda: {"state": torch.from_numpy(state)},
        min_replica_size=SIZE - 1, use_async_quorum=False, timeout=limit, quorum_timeout=limit, connect_timeout=limit,
        store_addr="127.0.0.1", store_port=store.port, replica_id=f"replica{rank}", hostname="127.0.0.1",
        heartbeat_interval=timedelta(seconds=HEARTBEAT_S), init_sync=False,
    )  # fmt: skip
    killed = pathlib.Path(folder, "killed")
    after, was_without = 0, epoch > 0
    while manager.current_step() < STEPS or after < AFTER:
        number = manager.current_step()
        if epoch == 0 and must_die(folder, log, rank, number):
            os.kill(os.getpid(), signal.SIGKILL)
        manager.start_quorum()
        number = manager.current_step()
        vector, edge = begin(state.copy(), number)
        total = torch.from_numpy(vector)
        manager.allreduce(total).wait()
        if not manager.should_commit():
            continue
        begin(state, number)
        sum_ = end(state, total.numpy(), edge)
        together = manager.num_participants() == SIZE
        was_without = was_without or (not together and killed.exists())
        again = together and was_without
        if again and not after:
            log("resume", rank=rank, epoch=1, step=number)
        after += again
        log("step", rank=rank, epoch=int(again), step=number, sum=sum_)
    log("final", rank=rank, sum=checksum(state))
    manager.shutdown(wait=False)
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        launch(*sys.argv[1:])
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
