"""Ranks as threads of this process, each with a mesh of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from perdure.comm import Communicator, Mesh, world_of
from perdure.errors import ProgramExited

DEADLINE_S = 20.0
Body = Callable[[Communicator], Any]


class Quiet:
    """A monitor that counts."""

    def __init__(self) -> None:
        self.bytes = 0
        self.suspects: list[int] = []
        self.failures: list[BaseException] = []

    def enter(self, call: str) -> None:
        pass

    def leave(self) -> None:
        pass

    def moved(self, nbytes: int) -> None:
        self.bytes += nbytes

    def progressed(self) -> None:
        pass

    def has_company(self) -> bool:
        return False

    def waits(self, threads: Any) -> None:
        pass

    def abort(self, error: ProgramExited) -> NoReturn:
        raise error

    def suspect(self, rank: int) -> None:
        self.suspects.append(rank)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


class World:
    """`size` meshes; `run` gives every rank's result, or its exception."""

    def __init__(self, size: int, transport: Any = "unix") -> None:
        self.monitors = [Quiet() for _ in range(size)]
        job = os.urandom(16)
        self.meshes = [Mesh(job=job, rank=rank, incarnation=1, monitor=self.monitors[rank], transport=transport) for rank in range(size)]
        self.size, self.generation, self.transport = size, 0, transport
        self.woken_ms: dict[str, float] = {}
        """By call: from the agent's word until the rank was out of it, as tests have found it."""

    def start(self, body: Body) -> tuple[list[threading.Thread], list[Any]]:
        self.generation += 1
        generation = self.generation
        results: list[Any] = [None] * self.size
        addresses = [mesh.address for mesh in self.meshes]

        def rank_main(rank: int) -> None:
            comm = world_of(
                self.meshes[rank].enter(generation=generation, size=self.size, addresses=addresses, incarnations=[1] * self.size)
            )
            try:
                results[rank] = body(comm)
            except BaseException as error:
                results[rank] = error

        threads = [threading.Thread(target=rank_main, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        return threads, results

    def run(self, body: Body) -> list[Any]:
        threads, results = self.start(body)
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "a rank never came back"
        return results

    def revoke(self) -> None:
        for mesh in self.meshes:
            mesh.revoke(self.generation)

    def close(self) -> None:
        for mesh in self.meshes:
            mesh.close()


def run(size: int, body: Body, transport: Any = "threads") -> list[Any]:
    """One world for one body. Raises the first exception of a rank."""
    world = World(size, transport)
    try:
        results = world.run(body)
    finally:
        world.close()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
