"""What do all calls and objects of MPI have in common? Constants, error classes, handles and their attributes."""
