"""How does a program prove that it recovers? Faults on demand, and rehearsals. And how do a transport and an engine prove that they are?

The grammar of faults is in `perdure.core.faults`; `perdure.run(..., faults=["kill:node=2,superstep=35"])` makes them happen.
"""

from perdure.core.faults import GRAMMAR, PHASES, Fault, parse_fault
from perdure.launch.rehearsal import Difference, Rehearsal, rehearse
from perdure.testing.engines import EngineTests
from perdure.testing.streams import StreamTests
from perdure.testing.transports import TransportTests

__all__ = [
    "GRAMMAR", "PHASES", "Difference", "EngineTests", "Fault", "Rehearsal", "StreamTests", "TransportTests", "parse_fault", "rehearse",
]  # fmt: skip
