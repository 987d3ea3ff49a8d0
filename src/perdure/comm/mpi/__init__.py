"""What does a program hold? Communicators, put together from the calls of the packages below, with mpi4py's names."""
