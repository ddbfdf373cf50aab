"""What `_reader.c` offers."""

Memory = tuple[int, int]

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
