"""Names of `mpi4py.MPI` beside the calls: type codes, numbers of handles, and what is left out."""

from __future__ import annotations

import gc
import importlib
import pathlib
import re
import sys
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from perdure import MPI
from perdure.comm import Communicator
from perdure.launch.import_hook import lend, take_back
from tests.comm.worlds import run

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs" / "communicator.md"
LEFT_OUT = [
    "_sizeof", "_addressof", "_handleof", "_datatype_create", "_datatype_decode", "_comm_lock_table", "Register_datarep",
]  # fmt: skip


@pytest.mark.parametrize("code", np.typecodes["AllInteger"] + np.typecodes["Float"] + np.typecodes["Complex"] + "?")
def test_an_array_is_described_by_its_type_code(code: str) -> None:
    array = np.ones(3, code)

    def body(comm: Communicator) -> Any:
        mine = array.copy() if comm.rank == 0 else np.zeros(3, code)
        comm.Bcast([mine, MPI._typedict[mine.dtype.char]], root=0)
        return mine.tolist()

    assert run(2, body) == [array.tolist()] * 2
    assert MPI._typedict_c.get(code, MPI._typedict[code]) == MPI.Datatype.fromcode(code)


def test_each_type_code_means_a_datatype_of_its_size() -> None:
    for code, datatype in MPI._typedict.items():
        assert MPI.Datatype.fromcode(code) == datatype
        if re.fullmatch(r"[iufcMm]\d+", code):
            assert datatype.Get_size() == int(code[1:])
    assert (MPI._typedict_f["d"], MPI._typedict_f["i8"], MPI._typedict_f["z"]) == (MPI.DOUBLE_PRECISION, MPI.INTEGER8, MPI.DOUBLE_COMPLEX)


def test_a_handle_comes_back_from_its_number() -> None:
    def body(comm: Communicator) -> Any:
        copy = comm.Dup()
        assert MPI.Comm.f2py(comm.py2f()) == comm != copy
        assert MPI.Comm.fromint(copy.toint()) == copy
        assert MPI.Intracomm.f2py(copy.py2f()).allreduce(1) == 2
        assert comm.py2f() == comm.py2f() != copy.py2f()
        group = comm.Get_group()
        assert MPI.Group.f2py(group.py2f()) == group
        return True

    assert run(2, body) == [True, True]
    for handle in (MPI.INT, MPI.SUM, MPI.COMM_NULL, MPI.DATATYPE_NULL, MPI.INFO_NULL, MPI.ERRORS_RETURN):
        assert type(handle).f2py(handle.py2f()) == handle
        assert -1 < handle.py2f() < 1 << 31


def test_a_number_of_nothing_or_of_another_class_is_an_error() -> None:
    with pytest.raises(MPI.Exception, match="this process has no Comm with the number -1") as caught:
        MPI.Comm.f2py(-1)
    assert caught.value.Get_error_class() == MPI.ERR_COMM
    with pytest.raises(MPI.Exception, match="has no Comm with the number"):
        MPI.Comm.f2py(MPI.INT.py2f())
    info = MPI.Info.Create()
    number = info.py2f()
    del info
    gc.collect()
    with pytest.raises(MPI.Exception, match="has no Info with the number"):
        MPI.Info.f2py(number)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_says_so_and_is_in_the_docs(name: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"perdure does not support MPI\.{name}: "):
        getattr(MPI, name)(MPI.COMM_WORLD)
    assert f"`{name}`" in DOCS.read_text()
    assert name in dir(MPI)


def test_there_is_no_binary_interface() -> None:
    assert MPI.Get_abi_version() == (-1, -1)
    assert len(MPI.Get_abi_info()) == 0


def test_the_fields_of_a_status_are_where_their_names_say() -> None:
    status = MPI.Status()
    status.source, status.tag, status.error = 7, 8, 9
    fields = status.py2f()
    assert (fields[MPI.F_SOURCE], fields[MPI.F_TAG], fields[MPI.F_ERROR], len(fields)) == (7, 8, 9, MPI.F_STATUS_SIZE)


@pytest.fixture
def lent() -> Iterator[None]:
    """Lend `mpi4py`, and forget it afterwards."""
    before = {name for name in sys.modules if name.partition(".")[0] == "mpi4py"}
    lend(size=1, lent=True)
    yield
    take_back()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py" and name not in before]:
        del sys.modules[name]


@pytest.mark.usefixtures("lent")
def test_modules_of_mpi4py_are_lent_or_say_what_to_do() -> None:
    types = importlib.import_module("mpi4py.typing")
    assert MPI.InPlaceType in typing.get_args(types.InPlace)
    assert isinstance(MPI.IN_PLACE, MPI.InPlaceType)
    assert isinstance(MPI.BOTTOM, MPI.BottomType)
    assert all(hasattr(types, name) for name in types.__all__)
    with pytest.raises(ImportError, match=r"perdure does not provide mpi4py\.bench: install mpi4py"):
        importlib.import_module("mpi4py.bench")
    with pytest.raises(NotImplementedError, match="it has no C headers"):
        importlib.import_module("mpi4py").get_include()
