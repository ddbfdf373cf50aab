"""What `_sweep.c` offers."""

from snnprof.record.reduce import Array

def read_operand(
    storage: int,
    bytes: int,
    first: int,
    size: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    nonzero: Array | None,
    levels: Array | None,
    histogram: Array | None,
    scale: float,
    most: float,
    threads: int,
    /,
) -> tuple[int, ...] | None: ...
def dot(left: Array, right: Array, /) -> tuple[int, ...]: ...
