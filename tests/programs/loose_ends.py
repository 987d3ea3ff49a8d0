"""Communication that crosses a commit: it runs as it is, and a recovery from that commit would lose a message."""

import numpy as np

import perdure


def main(job: perdure.Job, what: str = "send", supersteps: int = 8) -> float:
    comm = job.comm
    total = job.private("total", np.zeros(1))
    half = comm.Split(job.rank % 2) if what == "split" else comm
    request, late = None, np.zeros(1)
    for superstep in job.supersteps(supersteps, commit_every=2):
        if superstep == 1 and job.rank == 1:
            match what:
                case "send":
                    comm.Send(np.ones(1), 0, 5)
                case "large":
                    request = comm.Isend(np.ones(100_000), 0, 5)
                case "receive":
                    request = comm.Irecv(late, 0, 9)
                case "any":
                    request = comm.irecv()
                case "collective":
                    request = comm.Iallreduce(np.ones(1), late)
        if superstep == 1 and what == "split" and job.rank == 3:
            half.send("late", 0, 6)
        if superstep == 5 and job.rank == 0:
            match what:
                case "send":
                    comm.Recv(late, 1, 5)
                case "large":
                    comm.Recv(np.empty(100_000), 1, 5)
                case "receive" | "any":
                    comm.send(1.0, 1, 9) if what == "any" else comm.Send(np.ones(1), 1, 9)
        if superstep == 5 and what == "collective" and job.rank != 1:
            comm.Iallreduce(np.ones(1), late).Wait()
        if superstep == 5 and what == "split" and job.rank == 1:
            half.recv(source=1, tag=6)
        if superstep == 6 and request is not None:
            request.wait()
        total += comm.allreduce(float(job.rank)) if what != "collective" else 1.0
    return float(total[0])
