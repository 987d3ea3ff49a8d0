"""Does the core keep its promises, whatever happens and whenever? A driver of the very state machines that the runtime drives.

Orchestrators, agents, workers, vaults with real bytes in real stripes, and the supervisor with its engine and its register live in virtual
time. What is said goes through channels, each first in first out and with a speed of its own; what happens next follows from a seed. So
a run is a function of its `Scenario`, which is one line of text, and a failure prints the line that runs it again.

    Scenario  ->  Cluster.run()  ->  Verdict            `draw` makes a scenario of a number, `campaign` runs many, `shrink` cuts one short

`checkers` hold every guarantee against everything there is at every step; nobody in a running job could see all that at once.
"""

from perdure.sim.campaign import Failure, run_seeds
from perdure.sim.checkers import Broken
from perdure.sim.cluster import Cluster, Verdict
from perdure.sim.scenario import Scenario, SimFault, draw

__all__ = ["Broken", "Cluster", "Failure", "Scenario", "SimFault", "Verdict", "draw", "run_seeds"]
