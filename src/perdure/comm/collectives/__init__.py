"""How do all ranks of a communicator exchange and combine data? Algorithms as generators, and the calls that run them."""
