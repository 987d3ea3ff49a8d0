"""What do programs import from mpi4py beside `MPI`?

`perdure run` lends these modules as `mpi4py.util.pkl5`, `mpi4py.util.dtlib`, `mpi4py.run` and `mpi4py.typing`. They are perdure's own, with
the names and arguments of mpi4py's.
"""
