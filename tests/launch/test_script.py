"""A script under `perdure run` sees what it would see under Python, and its ending is the job's."""

from __future__ import annotations

import ast
import os
import pathlib
import subprocess
import sys

import pytest

from perdure.errors import UsageError
from perdure.launch.script import has_job_main

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""The environment, without what tears lines of `print`."""
PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"


def run(path: pathlib.Path | str, *words: str, ranks: int = 2, options: tuple[str, ...] = (), given: bytes | None = None,
        cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run the command until it ends; without the report, which follows the program's output."""
    first = ["-m", path] if isinstance(path, str) else [str(path)]
    command = [sys.executable, "-m", "perdure", "run", *first, "--ranks", str(ranks), "--spares", "0", *options, "--", *words]
    stdin = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    return subprocess.run(command, capture_output=True, timeout=60, cwd=cwd, check=False, env=BUFFERED, **stdin)  # type: ignore[call-overload,no-any-return]


def output(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """What the program printed, sorted; its ranks print in any order."""
    assert done.returncode == 0, done.stderr.decode()
    return sorted(done.stdout.decode().partition("result  ")[0].splitlines())


def written(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "script.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("script_with_main", ["0 of 2", "1 of 2"]),
        ("script_sys_exit_0", []),
        ("script_pickle_main", ["3", "3"]),
        ("script_future_annotations", ["<class 'type'> <class 'int'>"] * 2),
        ("plain_mpi4py", ["0 of 2", "1 of 2"]),
    ],
)
def test_programs_that_were_written_for_mpi4py_run_as_they_are(name: str, lines: list[str]) -> None:
    assert output(run(PROGRAMS / f"{name}.py")) == lines


def test_a_script_gets_positional_and_short_arguments() -> None:
    assert output(run(PROGRAMS / "script_arguments.py", "100", "-v")) == ["['100', '-v']"]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit('a text')", 1),
        ("sys.exit(False)", 0),
        ("raise SystemExit", 0),
        ("MPI.COMM_WORLD.Abort(9)", 9),
        ("MPI.COMM_WORLD.Abort(0)", 1),
        ("1 / 0", 1),
    ],
)
def test_the_ending_of_a_script_is_that_of_the_job(tmp_path: pathlib.Path, ending: str, status: int) -> None:
    done = run(written(tmp_path, f"import sys\nfrom mpi4py import MPI\n{ending}\n"))
    assert done.returncode == status, done.stderr.decode()


@pytest.mark.parametrize("call", ["main()", "main(None)", "main(n=10)"])
def test_a_main_without_a_job_is_the_scripts_own(tmp_path: pathlib.Path, call: str) -> None:
    text = f"def main(argv=None, n=3):\n    print(argv, n)\nif __name__ == '__main__':\n    {call}\n"
    assert output(run(written(tmp_path, text), ranks=1, options=("--parity", "0"))) == ["None 10" if "10" in call else "None 3"]


def test_rank_0_reads_standard_input_and_others_have_none(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "import sys\nfrom mpi4py import MPI\nprint(MPI.COMM_WORLD.rank, repr(sys.stdin.read()), input.__name__)\n")
    assert output(run(path, given=b"a line\n")) == [r"0 'a line\n' input", "1 '' input"]


READS_AND_IS_KILLED = """
import sys
import perdure
job = perdure.current()
text = sys.stdin.read()
state = job.private("state", [0])
for superstep in job.supersteps(20):
    state[0] += 1
if job.rank == 0:
    print(job.generation, repr(text), state)
"""


@pytest.mark.parametrize("node", [0, 1])
def test_a_file_as_standard_input_is_read_again_after_a_recovery(tmp_path: pathlib.Path, node: int) -> None:
    path, source = written(tmp_path, READS_AND_IS_KILLED), tmp_path / "input"
    source.write_text("from a file\n")
    command = [sys.executable, "-m", "perdure", "run", str(path), "--ranks", "2", "--fault", f"kill:node={node},superstep=9"]
    with source.open("rb") as stdin:
        done = subprocess.run(command, capture_output=True, timeout=60, stdin=stdin, check=False)
    assert output(done) == [r"2 'from a file\n' [20]"]


def test_a_pipe_as_standard_input_is_refused_after_a_recovery(tmp_path: pathlib.Path) -> None:
    done = run(written(tmp_path, READS_AND_IS_KILLED), given=b"gone", options=("--spares", "1", "--fault", "kill:node=1,superstep=9"))
    assert done.returncode == 2
    assert b"redirect it from a file" in done.stderr


def test_exit_handlers_run_in_reverse_order(tmp_path: pathlib.Path) -> None:
    text = "import atexit\nfor name in 'ab':\n    atexit.register(print, name, flush=True)\nprint('end', flush=True)\n"
    done = run(written(tmp_path, text), ranks=1, options=("--parity", "0"))
    assert done.stdout.decode().splitlines()[:3] == ["end", "b", "a"]


def test_without_the_loan_several_ranks_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text("print('that of the folder')")
    path = written(tmp_path, "from mpi4py import MPI\n")
    done = run(path, options=("--no-mpi4py",))
    assert done.returncode == 2
    assert b"2 jobs of size 1" in done.stderr
    assert output(run(path, ranks=1, options=("--no-mpi4py", "--parity", "0"))) == ["that of the folder"]
    assert output(run(path)) == []


@pytest.fixture
def package(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    for init in (folder.parent / "__init__.py", folder / "__init__.py"):
        init.touch()
    (folder / "parts.py").write_text("WORD = 'relative'\n")
    (folder / "job.py").write_text("from .parts import WORD\ndef main(job, n: int = 1):\n    print(WORD, n, job.rank)\n")
    (folder / "__main__.py").write_text("import sys\nfrom .parts import WORD\nprint(WORD, __name__, __package__, sys.argv[1:])\n")
    return folder


def test_a_module_is_run_by_name(package: pathlib.Path) -> None:
    top = package.parents[1]
    assert output(run("outer.inner.job", "--n", "4", cwd=top)) == ["relative 4 0", "relative 4 1"]
    assert output(run("outer.inner", "5", "-x", cwd=top)) == ["relative __main__ outer.inner ['5', '-x']"] * 2


def test_a_file_in_a_package_imports_relatively(package: pathlib.Path) -> None:
    assert output(run(package / "job.py")) == ["relative 1 0", "relative 1 1"]


@pytest.mark.parametrize(
    ("text", "is_job"),
    [
        ("def main(job): pass", True),
        ("def main(j: perdure.Job, n=3): pass", True),
        ("def main(j: 'Job'): pass", True),
        ("def main(): pass\nmain()", False),
        ("def main(argv=None): pass\nif __name__ == '__main__': sys.exit(main())", False),
        ("from program import main", True),
        ("from program import main\nmain()", False),
        ("print(1)", False),
    ],
)
def test_only_a_main_that_takes_a_job_is_perdures(text: str, is_job: bool) -> None:
    assert has_job_main(ast.parse(text), "app.py") is is_job


@pytest.mark.parametrize("text", ["def main(context): pass", "def main(): pass"])
def test_a_main_that_nobody_calls_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"app\.py:main"):
        has_job_main(ast.parse(text), "app.py")


def test_without_a_job_there_is_one_rank() -> None:
    text = (
        "from perdure import MPI\n"
        "comm = MPI.COMM_WORLD\n"
        "print(comm.rank, comm.size, comm.allreduce(3), comm.sendrecv('to itself', 0), MPI.COMM_SELF.size)\n"
        "print(MPI.Is_initialized(), MPI.Is_finalized())\n"
        "MPI.Finalize()\n"
        "print(MPI.Is_initialized(), MPI.Is_finalized())\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().splitlines() == ["0 1 3 to itself 1", "True False", "True True"]


def test_a_process_of_a_job_is_no_job_of_one_rank(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "from perdure import MPI\nrank = MPI.COMM_WORLD.rank\ndef main(job):\n    print(rank)\n")
    done = run(path)
    assert done.returncode == 2
    assert b"no job is running" in done.stderr


CAUGHT = """
import sys, threading
from mpi4py import MPI
comm = MPI.COMM_WORLD
print("begun", comm.rank, end="")
try:
    {how}
except {what}:
    pass
if comm.rank == 0:
    comm.recv(source=1)
"""


@pytest.mark.parametrize("options", [(), ("--engine", "threads")], ids=["processes", "threads"])
@pytest.mark.parametrize("what", ["Exception", "BaseException"])
def test_an_abort_that_is_caught_ends_the_job_all_the_same(tmp_path: pathlib.Path, what: str, options: tuple[str, ...]) -> None:
    text = CAUGHT.format(how="comm.rank == 1 and comm.Abort(9)", what=what)
    done = run(written(tmp_path, text), options=options)
    assert done.returncode == 9, done.stderr.decode()
    assert b"rank 1 called Abort(9)" in done.stderr


def test_a_thread_may_abort(tmp_path: pathlib.Path) -> None:
    text = CAUGHT.format(how="thread = threading.Thread(target=comm.Abort, args=(9,)); thread.start(); thread.join()", what="Exception")
    assert run(written(tmp_path, text)).returncode == 9


def test_an_abort_outside_of_a_job_ends_the_process(tmp_path: pathlib.Path) -> None:
    text = "from perdure import MPI\ntry:\n    MPI.COMM_WORLD.Abort(9)\nexcept Exception:\n    pass\n"
    done = subprocess.run([sys.executable, str(written(tmp_path, text))], capture_output=True, timeout=60, check=False)
    assert done.returncode == 9
    assert b"Abort(9)" in done.stderr


def test_init_and_finalize_keep_account(tmp_path: pathlib.Path) -> None:
    text = """
import mpi4py
mpi4py.rc(initialize=False)
from mpi4py import MPI
def state():
    return MPI.Is_initialized(), MPI.Is_finalized()
def refused(call):
    try:
        call()
    except MPI.Exception as error:
        return error.Get_error_class() == MPI.ERR_OTHER
print(state(), refused(MPI.Finalize), MPI.Init_thread() == MPI.Query_thread() == MPI.THREAD_MULTIPLE, state(), refused(MPI.Init), end=" ")
MPI.Finalize()
print(state(), refused(MPI.Finalize), refused(MPI.Init))
"""
    words = "(False, False) True True (True, False) True (True, True) True True"
    assert output(run(written(tmp_path, text), ranks=1, options=("--parity", "0"))) == [words]


def test_utilities_of_mpi4py_are_lent_and_others_refused() -> None:
    done = output(run(PROGRAMS / "mpi4py_utilities.py", ranks=3))
    assert [line.partition(":")[0] for line in done] == [
        "perdure does not support mpi4py.futures", "perdure does not support mpi4py.util.pool", "perdure does not support mpi4py.util.sync",
    ]  # fmt: skip


def test_the_names_that_packages_of_mpi4py_import_are_there() -> None:
    assert output(run(PROGRAMS / "mpi4py_names.py", ranks=3)) == ["missing: [] []"]


@pytest.mark.parametrize(
    "words", [(str(PROGRAMS / "plain_mpi4py.py"),), ("-c", "import mpi4py.MPI as M; print(M.COMM_WORLD.rank, 'of 2')")]
)
def test_mpi4py_run_runs_scripts_and_texts(words: tuple[str, ...]) -> None:
    assert output(run("mpi4py.run", *words)) == ["0 of 2", "1 of 2"]


def test_files_of_the_current_folder_do_not_hide_modules_that_perdure_needs(tmp_path: pathlib.Path) -> None:
    for name in ("array", "socket", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    command = [
        str(pathlib.Path(sys.executable).with_name("perdure")),
        "run",
        str(PROGRAMS / "plain_mpi4py.py"),
        "--ranks",
        "2",
        "--spares",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=tmp_path, check=False, env=BUFFERED, stdin=subprocess.DEVNULL)
    assert output(done) == ["0 of 2", "1 of 2"]
