"""The interface of `_reader.c`."""

Memory = tuple[int, int]
"""Address and size in bytes; (0, 0) for none."""

def read(
    values: Memory,
    first: int,
    size: int,
    dims: tuple[int, ...],
    quantum: float,
    single: bool,
    reach: int,
    table: Memory,
    row: Memory,
    bins: int,
    nonzero: Memory,
    levels: Memory,
    threads: int,
    /,
) -> None: ...
