"""Which bytes does a program hand over? Buffers, datatypes, pickled objects, as memory that messages are sent from and received into."""
