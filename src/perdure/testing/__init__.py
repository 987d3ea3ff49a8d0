"""How does a program prove that it recovers? Faults on demand, and rehearsals.

The grammar of faults is in `perdure.core.faults`; `perdure.run(..., faults=["kill:node=2,superstep=35"])` makes them happen.
"""

from perdure.core.faults import GRAMMAR, PHASES, Fault, parse_fault
from perdure.launch.rehearsal import Difference, Rehearsal, rehearse

__all__ = ["GRAMMAR", "PHASES", "Difference", "Fault", "Rehearsal", "parse_fault", "rehearse"]
