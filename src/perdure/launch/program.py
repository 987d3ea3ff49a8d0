"""The user's program: found, loaded, its arguments converted, and called once per generation."""

from __future__ import annotations

import ast
import base64
import enum
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import cloudpickle

from perdure.errors import UsageError
from perdure.launch import by_value
from perdure.launch.import_hook import lend, take_back
from perdure.launch.script import Script, has_job_main, names

Raw = Mapping[str, str | bool] | Sequence[str]
"""Arguments from a command line: options by name, or the words as they were typed."""
MODULE: Final = "-m "
"""The prefix of a program that is named as a module: `-m package.module`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program as text, so that it can be sent to other processes.

    Attributes:
        path: of the program file, or empty.
        function: in that file; empty: a `main` whose first parameter is `job`, or else the whole file as a script.
        pickled: in place of a path, the function by value (cloudpickle, base64).
        raw: arguments from the command line, to be converted by the function's annotations; True for an option without a value.
        arguments: arguments from Python (cloudpickle, base64), passed on as they are.
        module: in place of a path, the name of a module, found from `folder`.
        folder: where the command was typed.
        words: arguments from the command line as they were typed: a script's `sys.argv`, or `--name value` for a function.
        lends: `mpi4py.MPI` is `perdure.MPI` in the program.
    """

    path: str = ""
    function: str = ""
    pickled: str = ""
    raw: dict[str, str | bool] = field(default_factory=dict)
    arguments: str = ""
    module: str = ""
    folder: str = ""
    words: list[str] = field(default_factory=list)
    lends: bool = True

    def to_json(self) -> dict[str, Any]:
        """For a process's configuration."""
        return asdict(self)


def describe(main: Callable[..., Any] | str, arguments: Mapping[str, Any] | None, raw: Raw | None, *, lends: bool = True) -> Program:
    """Makes a `Program` of what `perdure.run` was given. UsageError when there is no such file."""
    values = pickled_arguments(arguments)
    options, words = split_raw(raw)
    if callable(main):
        module = inspect.getmodule(main)
        if module is not None and module.__name__ not in ("__main__", "builtins"):
            cloudpickle.register_pickle_by_value(module)
        try:
            pickled = base64.b64encode(cloudpickle.dumps(main)).decode()
        except Exception as error:
            raise UsageError(f"the function {getattr(main, '__name__', main)!r} cannot be sent to other processes: {error}") from error
        finally:
            if module is not None and module.__name__ not in ("__main__", "builtins"):
                cloudpickle.unregister_pickle_by_value(module)
        return Program(pickled=pickled, raw=options, words=words, arguments=values, lends=lends)
    if main.startswith(MODULE):
        name, _, function = main.removeprefix(MODULE).partition(":")
        return Program(
            module=name, folder=os.getcwd(), function=function, raw=options, words=words, arguments=values, lends=lends
        )  # fmt: skip
    path, colon, function = main.rpartition(":")
    if not colon or not path:
        path, function = main, ""
    if not pathlib.Path(path).is_file():
        raise UsageError(f"the program {path!r} does not exist: name a Python file, such as heat.py or heat.py:main")
    return Program(
        path=str(pathlib.Path(path).resolve()), function=function, raw=options, words=words, arguments=values, lends=lends
    )  # fmt: skip


def split_raw(raw: Raw | None) -> tuple[dict[str, str | bool], list[str]]:
    """Return options by name, and words; one of them is empty."""
    return (dict(raw), []) if isinstance(raw, Mapping) else ({}, list(raw or []))


def pickled_arguments(arguments: Mapping[str, Any] | None) -> str:
    """Return the arguments as `Program.arguments` holds them, so that each rank gets its own objects."""
    return base64.b64encode(cloudpickle.dumps(dict(arguments or {}))).decode()


def load(program: Program) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Imports the program. Returns what to call with the job, and its keyword arguments.

    Raises:
        UsageError: no such function, an argument that it does not take, lacks or cannot read, or an error while importing.
    """
    if program.pickled:
        function = cloudpickle.loads(base64.b64decode(program.pickled))
    else:
        function = _from_file(program)
    return function, arguments_of(function, program)


def dump_result(function: Callable[..., Any], result: Any) -> bytes:
    """Pickle what `main` returned. Classes of the program's file, and of modules beside it, go by value: the process that started the job
    has not imported them. It has those of a function that was sent by value."""
    if isinstance(sys.modules["__main__"], by_value.ModuleByValue):
        return by_value.dump(result)
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    beside = [module for module in list(sys.modules.values()) if file and _lies_beside(module, pathlib.Path(file).parent)]
    added = [module for module in beside if module.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(result)  # type: ignore[no-any-return]
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _lies_beside(module: Any, folder: pathlib.Path) -> bool:
    file: Any = getattr(module, "__file__", None)
    is_installed = "site-packages" in str(file) or getattr(module, "__name__", "").partition(".")[0] == "perdure"
    return bool(file) and not is_installed and pathlib.Path(file).is_relative_to(folder) and module.__name__ in sys.modules


def arguments_of(function: Callable[..., Any], program: Program) -> dict[str, Any]:
    """The keyword arguments of a program's function, made anew. Raises as `load` does."""
    arguments: dict[str, Any] = cloudpickle.loads(base64.b64decode(program.arguments)) if program.arguments else {}
    if not isinstance(function, Script):
        arguments |= convert_arguments(function, {**parse_arguments(program.words), **program.raw})
        _check_call(function, arguments)
    return arguments


def _from_file(program: Program) -> Callable[..., Any]:
    spec = None
    if program.module:
        sys.path.insert(0, program.folder)
        spec = _spec_of(program.module)
    path = pathlib.Path(spec.origin or "") if spec else pathlib.Path(program.path)
    source = path.read_bytes()
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as error:
        raise UsageError(f"{path.name}, line {error.lineno}: {error.msg}") from None
    package = spec.parent or "" if spec else _package_of(path) if _imports_relatively(tree) else ""
    if not spec:
        sys.path.insert(0, str(path.parent))
    if not program.function and not has_job_main(tree, path.name):
        code = compile(source, str(path), "exec", dont_inherit=True)
        return Script(
            code=code, path=str(path), words=program.words or _as_words(program.raw), protected=names(tree, "current"),
            package=package, spec=spec,
        )  # fmt: skip
    name = program.function or "main"
    module = _import(path, package, spec)
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"{path.name} has no function {name!r}: write def {name}(job): ..., or name another as {path.name}:function")
    return typing.cast("Callable[..., Any]", function)


def _spec_of(module: str) -> importlib.machinery.ModuleSpec:
    """Find a module as `python -m` does: of a package, its `__main__`."""
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except Exception as error:
        raise UsageError(f"-m {module}: its package cannot be imported: {type(error).__name__}: {error}") from error
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise UsageError(f"-m {module}: no such module in Python source; name a module that `python -m` finds from this folder")
    return spec


def _imports_relatively(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def _package_of(path: pathlib.Path) -> str:
    """The package that a file lies in, by its folders with `__init__.py`; the folder above becomes part of `sys.path`."""
    parts: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts:
        sys.path.insert(0, str(folder))
        importlib.import_module(".".join(parts))
    return ".".join(parts)


def _as_words(raw: Mapping[str, str | bool]) -> list[str]:
    return [word for name, text in raw.items() for word in ([f"--{name}"] if text is True else [f"--{name}", str(text)])]


def parse_arguments(words: Sequence[str]) -> dict[str, str | bool]:
    """`--name value`, `--name=value` and `--flag` to a dict; True for a flag."""
    result: dict[str, str | bool] = {}
    name = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            result[name] = value if equals else True
            name = "" if equals else name
        elif name:
            result[name], name = word, ""
        else:
            raise UsageError(f"{word!r} is not valid: write arguments of the program as --name value, after --")
    return result


def _import(path: pathlib.Path, package: str, spec: importlib.machinery.ModuleSpec | None) -> types.ModuleType:
    """Import the file as a module of a name of its own, the same in all processes, so that pickles of its classes find it.

    Relative imports start from `package`.
    """
    name = spec.name if spec else f"perdure_program_{path.stem}"
    spec = spec or importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path.name} is not a Python file: name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    if package and spec.parent != package:
        module.__package__, module.__spec__ = package, None
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def convert_arguments(function: Callable[..., Any], raw: Mapping[str, str | bool]) -> dict[str, Any]:
    """Text of the command line to what the function's annotations ask for. UsageError names the argument and what it takes."""
    parameters = _parameters(function)
    hints = _hints(function)
    result = {}
    for option, text in raw.items():
        name = option.replace("-", "_")
        denied = name.removeprefix("no_")
        if name not in parameters and denied in parameters and text is True and _type_of(parameters[denied], hints) is bool:
            result[denied] = False
            continue
        if name not in parameters:
            raise UsageError(f"main takes no argument --{option}; it takes {_list(parameters)}")
        hint = _type_of(parameters[name], hints)
        try:
            result[name] = _convert(hint, text)
        except (ValueError, KeyError) as error:
            raise UsageError(f"--{option}: {text!r} is not a valid {getattr(hint, '__name__', hint)} ({error})") from None
    return result


def _type_of(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """The annotation, else the type of the default, else text."""
    default = parameter.default
    return hints.get(parameter.name, type(default) if default is not inspect.Parameter.empty and default is not None else str)


def options_of(program: Program) -> str | None:
    """Return a line for each argument of the program's function, for a person; None: a script, which reads its arguments itself."""
    lend(size=1, lent=program.lends)
    function = cloudpickle.loads(base64.b64decode(program.pickled)) if program.pickled else _from_file(program)
    take_back()
    if isinstance(function, Script):
        return None
    hints = _hints(function)
    lines = [_option(one, _type_of(one, hints)) for one in _parameters(function).values()]
    return "\n".join(lines) or "it takes no arguments"


def _option(parameter: inspect.Parameter, hint: Any) -> str:
    name = parameter.name.replace("_", "-")
    default = parameter.default
    what = "required" if default is inspect.Parameter.empty else f"default: {default!r}"
    if hint is bool:
        return f"  --{name} | --no-{name}  ({what})"
    kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    return f"  --{name} {kind.upper() if isinstance(hint, type) else kind}  ({what})"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations that only a type checker can read: the text is passed on
        return {}


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(function).parameters.items())[1:])


def _list(parameters: Mapping[str, inspect.Parameter]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in parameters) or "none"


def _convert(hint: Any, text: str | bool) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits([one for one in inner if one is not type(None)], text)
    if origin is typing.Literal:
        return next(iter([one for one in inner if str(one) == text]), None) or _refuse(f"one of {inner}")
    if hint is bool:
        return (
            text
            if isinstance(text, bool)
            else {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        )
    if isinstance(text, bool):
        return _refuse("a value is missing")
    if origin in (list, tuple):
        return origin(_convert(inner[0] if inner else str, part) for part in text.split(","))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint[text]
    return hint(text) if hint in (int, float, str, complex, pathlib.Path) else text


def _first_that_fits(hints: list[Any], text: str | bool) -> Any:
    for hint in hints:
        try:
            return _convert(hint, text)
        except (ValueError, KeyError):
            continue
    return _refuse("no type of the annotation fits")


def _refuse(why: str) -> typing.NoReturn:
    raise ValueError(why)


def _check_call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise UsageError if the function does not take a job and these arguments."""
    signature = inspect.signature(function)
    try:
        signature.bind(None, **arguments)
    except TypeError as error:
        raise UsageError(
            f"main cannot be called with these arguments: {error}; it takes the job, and {_list(_parameters(function))}"
        ) from None
