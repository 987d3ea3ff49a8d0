"""Rank 1 sends a message before its commit of superstep 2, when rank 0 has passed its own: nobody knows by itself that it crosses.

`main` returns how many supersteps have run, and what was received. `take`: rank 0 receives the message in superstep 3, `look`: it only
looks for it there, `leave`: it does neither. `flag`: a file that does not exist yet.
"""

import pathlib

import perdure


def main(job: perdure.Job, flag: str, what: str = "leave", supersteps: int = 12) -> tuple[int, str]:
    done, found = job.private("done", [0]), job.private("found", [""])
    for superstep in job.supersteps(supersteps, commit_every=2):
        if superstep == 1 and job.rank == 1:
            while not pathlib.Path(flag).exists():
                pass
            job.comm.send("over there", 0, 3)
        if superstep == 2 and job.rank == 0:
            pathlib.Path(flag).touch()
        if superstep == 3 and job.rank == 0:
            if what == "take":
                found[0] = job.comm.recv(source=1, tag=3)
            elif what == "look":
                while not job.comm.iprobe(source=1, tag=3):
                    pass
                found[0] = "seen"
        done[0] += 1
    return done[0], found[0]
