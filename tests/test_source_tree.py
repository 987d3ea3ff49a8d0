"""What pyproject.toml says about the packages is true, and no file has swallowed the system."""

from __future__ import annotations

import importlib.util
import pathlib
import tomllib
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
LINES_MAX = 400


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def named_in(contract: dict[str, Any]) -> list[str]:
    """The modules of perdure that a contract of import-linter names, by their full names."""
    names = [*contract.get("source_modules", []), *contract.get("forbidden_modules", []), *contract.get("containers", [])]
    for container in contract.get("containers", [""]):
        for layer in [*contract.get("layers", []), *contract.get("exhaustive_ignores", [])]:
            names += [f"{container}.{name.strip(' ()')}".lstrip(".") for name in layer.replace("|", ":").split(":")]
    return [name for name in names if name.split(".")[0] == "perdure"]


def alternatives(pattern: str) -> list[str]:
    """The patterns that one with alternatives in braces stands for."""
    if "{" not in pattern:
        return [pattern]
    before, _, rest = pattern.partition("{")
    inside, _, after = rest.partition("}")
    return [before + one + end for one in inside.split(",") for end in alternatives(after)]


def test_contracts_name_only_modules_that_exist() -> None:
    """A layer that does not exist is not checked: a package that was renamed would be free to import anything."""
    contracts = settings()["importlinter"]["contracts"]
    named = {name for contract in contracts for name in named_in(contract)}
    assert {"perdure.cli", "perdure.core", "perdure.errors", "perdure.comm.mpi", "perdure.comm.definitions"} <= named
    assert not [name for name in sorted(named) if importlib.util.find_spec(name) is None]


def test_settings_of_ruff_are_for_files_that_exist() -> None:
    patterns = settings()["ruff"]["lint"]["per-file-ignores"]
    assert patterns
    assert not [one for pattern in patterns for one in alternatives(pattern) if not any(ROOT.glob(one))]


def test_no_file_is_longer_than_the_limit() -> None:
    """A file that grows beyond the limit has two purposes: divide it."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in (ROOT / "src").rglob("*.py")}
    assert len(lines) > 300
    assert not {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > LINES_MAX}
