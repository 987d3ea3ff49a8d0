"""An engine of a cluster fits the protocol: it passes the suite, with a job that recovers."""

from __future__ import annotations

from perdure.testing import EngineTests
from tests.engines.cluster_engine import ClusterEngine


class TestCluster(EngineTests):
    def make(self) -> ClusterEngine:
        return ClusterEngine()
