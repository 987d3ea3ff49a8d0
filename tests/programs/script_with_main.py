"""A `main` without a job belongs to the script. On two ranks it prints "0 of 2" and "1 of 2"."""

from perdure import MPI

comm = MPI.COMM_WORLD
rank = comm.Get_rank()


def main():
    print(rank, "of", comm.size)


if __name__ == "__main__":
    main()
