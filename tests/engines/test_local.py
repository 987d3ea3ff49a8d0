"""The embedded engine passes the suite of engines."""

from __future__ import annotations

from perdure.engines.local import LocalEngine
from perdure.testing import EngineTests


class TestLocal(EngineTests):
    def make(self) -> LocalEngine:
        return LocalEngine()
