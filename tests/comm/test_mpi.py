"""`perdure.MPI`: what a program that was written for mpi4py relies on, and what it is told where perdure differs."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from perdure import MPI, UsageError
from perdure.comm import Communicator
from perdure.comm.mpi import singleton
from tests.comm.worlds import World, run

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs" / "communicator.md"


def test_a_script_for_mpi4py_runs_as_it_is_and_is_told_that_it_is_unprotected(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        "import sys\nfrom perdure import MPI\ncomm = MPI.COMM_WORLD\n"
        "total = comm.allreduce(comm.Get_rank(), op=MPI.SUM)\n"
        "if comm.Get_rank() == 0:\n    print('total', total, sys.argv[1:], flush=True)\n"
    )
    command = [sys.executable, "-m", "perdure", "run", str(path), "--ranks", "3", "--spares", "0", "--parity", "0", "--", "--steps", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "total 3 ['--steps', '7']" in done.stdout
    assert "not protected" in done.stderr


def test_a_process_that_no_job_started_is_a_world_of_one_rank() -> None:
    assert MPI.COMM_WORLD.Get_size() == 1


def test_a_thread_that_belongs_to_no_rank_of_a_job_is_told_what_to_do() -> None:
    with singleton.forbidden(), pytest.raises(UsageError, match=r"pass job\.comm"):
        MPI.COMM_WORLD.Get_size()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda comm: MPI.Win.Create(None), "Win.Create"),
        (lambda comm: MPI.File.Open(comm, "x"), "File.Open"),
        (lambda comm: comm.Spawn("x"), "Spawn"),
        (lambda comm: comm.Create_intercomm(0, comm, 0), "Create_intercomm"),
        (lambda comm: comm.Psend_init(np.zeros(2), 2, 0), "Psend_init"),
        (lambda comm: MPI.Open_port(), "Open_port"),
    ],
)
def test_what_is_left_out_names_the_call(call: Any, name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        run(1, call)


@pytest.mark.parametrize(
    ("call", "error_class"),
    [
        (lambda comm: comm.send(1, 9), "ERR_RANK"),
        (lambda comm: comm.send(1, 0, tag=-5), "ERR_TAG"),
        (lambda comm: comm.bcast(1, root=4), "ERR_ROOT"),
        (lambda comm: comm.Allreduce(np.zeros(2), np.zeros(3)), "ERR_COUNT"),
        (lambda comm: comm.Allreduce(np.zeros(2), np.zeros(2, "i")), "ERR_TYPE"),
        (lambda comm: comm.Allreduce(np.zeros(2), np.zeros(2), MPI.BAND), "ERR_OP"),
        (lambda comm: (dup := comm.Dup()).Free() or dup.Barrier(), "ERR_COMM"),
        (lambda comm: comm.Create_cart([5]), "ERR_DIMS"),
        (lambda comm: comm.Send(np.zeros((4, 4))[:, 1], 0), "ERR_BUFFER"),
    ],
)
def test_errors_have_the_class_that_mpi4py_users_know(call: Any, error_class: str) -> None:
    with pytest.raises(MPI.Exception) as caught:
        run(1, call)
    assert caught.value.Get_error_class() == getattr(MPI, error_class)
    assert isinstance(caught.value, UsageError)


def test_a_truncated_receive_is_an_error_of_the_receiver_alone() -> None:
    world = World(2, "shared")

    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            comm.Send(np.zeros(100_000), 1)
            return "sent"
        return comm.Recv(np.zeros(5), 0)

    results = world.run(body)
    world.close()
    assert results[0] == "sent"
    assert results[1] == MPI.ERR_TRUNCATE


@pytest.mark.parametrize("count", [1, 100, 5_000, 200_003])
def test_the_same_size_gives_the_same_bits_on_every_transport(count: int) -> None:
    parts = [np.random.default_rng(rank).normal(size=count) * 10.0**rank for rank in range(3)]

    def body(comm: Communicator) -> Any:
        out = np.empty(count)
        comm.Allreduce(parts[comm.rank], out)
        return out.tobytes()

    found = {bits for transport in ("threads", "unix", "shared", "tcp") for bits in run(3, body, transport)}
    assert len(found) == 1


@pytest.mark.parametrize("transport", ["shared", "unix"])
def test_memory_that_may_not_be_read_is_sent_as_a_copy(transport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system forbids reading another process (Yama, containers) nothing but speed may change."""
    monkeypatch.setattr("perdure.comm.transports.direct._readv", None)

    def body(comm: Communicator) -> Any:
        right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
        there, total = np.empty(300_000), np.empty(300_000)
        comm.Sendrecv(np.full(300_000, float(comm.rank)), right, 0, there, left, 0)
        comm.Allreduce(there, total)
        return there[0], total[-1]

    assert run(3, body, transport) == [(2.0, 3.0), (0.0, 3.0), (1.0, 3.0)]


def test_wildcards_take_messages_in_the_order_of_sending() -> None:
    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            status = MPI.Status()
            found = []
            for _ in range(10):
                word = comm.recv(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=status)
                found.append((status.Get_source(), status.Get_tag(), word))
            return found
        for number in range(5):
            comm.send(number, 0, tag=number)
        return None

    found = run(3, body)[0]
    for rank in (1, 2):
        assert [(tag, word) for source, tag, word in found if source == rank] == [(number, number) for number in range(5)]


def test_a_column_is_sent_by_its_datatype() -> None:
    def body(comm: Communicator) -> Any:
        grid = np.arange(12.0).reshape(3, 4) * (comm.rank + 1)
        column = MPI.DOUBLE.Create_vector(3, 1, 4).Commit()
        comm.Sendrecv([grid, 1, column], 1 - comm.rank, 0, [grid.reshape(-1)[3:], 1, column], 1 - comm.rank, 0)
        return grid[:, 3].tolist()

    assert run(2, body) == [[0.0, 8.0, 16.0], [0.0, 4.0, 8.0]]


def test_every_call_is_in_the_table_of_the_docs() -> None:
    words = set(re.findall(r"\w+", DOCS.read_text()))
    forms = re.compile(r"^I(?=[a-z])|_init$|^Ineighbor")
    missing = []
    for cls in (MPI.Intracomm, MPI.Cartcomm, MPI.Graphcomm, MPI.Distgraphcomm):
        for name in dir(cls):
            plain = forms.sub("", name)
            plain = plain[:1].upper() + plain[1:] if name.startswith("I") else plain
            attribute = not callable(getattr(cls, name)) or name.startswith("_") or name in ENGINE_ROOM
            if not attribute and name not in words and plain not in words and plain.lower() not in {word.lower() for word in words}:
                missing.append(name)
    assert not missing


ENGINE_ROOM = {
    "base", "bound", "of", "held", "takes", "fromhandle", "fromint", "toint", "f2py", "py2f", "free", "null_class", "thing",
}  # fmt: skip
"""Not for programs, or of handles in general."""
