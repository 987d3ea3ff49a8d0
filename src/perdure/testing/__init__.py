"""How does a program prove that it recovers? Faults on demand, and rehearsals. And how do transports, engines and records prove that they
keep their protocols?

The grammar of faults is in `perdure.core.faults`; `perdure.run(..., faults=["kill:node=2,superstep=35"])` makes them happen.
"""

from perdure.core.faults import GRAMMAR, PHASES, Fault, parse_fault
from perdure.launch.rehearsal import Difference, Rehearsal, rehearse
from perdure.testing.engines import EngineTests
from perdure.testing.records import RecordTests
from perdure.testing.streams import StreamTests
from perdure.testing.transports import TransportTests

__all__ = [
    "GRAMMAR", "PHASES", "Difference", "EngineTests", "Fault", "RecordTests", "Rehearsal", "StreamTests", "TransportTests", "parse_fault",
    "rehearse",
]  # fmt: skip
