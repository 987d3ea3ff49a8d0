"""A class of `__main__` is sent to other ranks: each prints 3."""

from perdure import MPI


class Task:
    def __init__(self, x):
        self.x = x


c = MPI.COMM_WORLD
print(c.bcast(Task(3) if c.rank == 0 else None).x)
