"""What `_sweep.c` offers."""

from snnprof.record.reduce import Array

def read_operand(
    storage: int,
    bytes: int,
    first: int,
    size: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    nonzero: Array,
    levels: Array | None,
    fired: Array,
    histogram: Array | None,
    scale: float,
    most: float,
    threads: int,
    /,
) -> int | None: ...
