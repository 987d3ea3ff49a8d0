"""Annotations are types, because the script asks for nothing else."""

import dataclasses


@dataclasses.dataclass
class Options:
    n: int = 3


print(type(dataclasses.fields(Options)[0].type), dataclasses.fields(Options)[0].type)
assert dataclasses.fields(Options)[0].type is int
