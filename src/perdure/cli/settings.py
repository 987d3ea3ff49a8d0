"""`--setting NAME=NUMBER`: the times and limits of the protocol, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from perdure.core.settings import Settings
from perdure.errors import ConfigError


def parse_settings(words: Sequence[str], hang_timeout_s: float, unwind_timeout_s: float = Settings().unwind_timeout_s) -> Settings:
    """`name=number` for any of `Settings` but those that are on or off, which are options of their own."""
    names = {name: type(value) for name, value in asdict(Settings()).items() if not isinstance(value, bool)}
    given: dict[str, Any] = {"hang_timeout_s": hang_timeout_s, "unwind_timeout_s": unwind_timeout_s}
    for word in words:
        name, _, value = word.partition("=")
        if name not in names:
            raise ConfigError(f"--setting {word}: unknown setting {name!r}; the settings are {', '.join(names)}")
        try:
            given[name] = names[name](value)
        except ValueError:
            raise ConfigError(f"--setting {word}: {name} must be a number, such as {getattr(Settings(), name):g}, not {value!r}") from None
    return Settings(**given)
