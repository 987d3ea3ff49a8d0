"""The registry of adapters, by declared value and by committed form."""

from __future__ import annotations

from typing import Any, Final

from perdure.adapters.adapter import Adapter
from perdure.adapters.array_items import ArrayAdapter
from perdure.adapters.declarations import what_to_write
from perdure.adapters.object_items import ObjectAdapter
from perdure.core.snapshot_index import Form
from perdure.errors import InternalError, UsageError

_ADAPTERS: Final[list[Adapter]] = [ArrayAdapter(), ObjectAdapter()]


def register(adapter: Adapter) -> None:
    """Add a kind of item. It is asked before those that were there; every process of the job registers the same ones."""
    _ADAPTERS.insert(0, adapter)


def adapter_of(name: str, value: Any) -> Adapter:
    """Return the adapter that accepts a declared value. UsageError: no adapter does; the text names an alternative."""
    for adapter in _ADAPTERS:
        if adapter.accepts(value):
            return adapter
    raise UsageError(what_to_write(name, value))


def adapter_of_form(form: Form) -> Adapter:
    """Return the adapter whose items are committed in that form."""
    for adapter in _ADAPTERS:
        if adapter.form is form:
            return adapter
    raise InternalError(f"an item was committed in the form {form}, for which no adapter is registered")
