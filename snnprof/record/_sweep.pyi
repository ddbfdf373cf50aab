"""What `_sweep.c` offers."""

from snnprof.record.reduce import Array

def read(
    values: Array,
    nonzero: Array,
    levels: Array | None,
    fired: Array,
    histogram: Array | None,
    scale: float,
    most: float,
    threads: int,
    /,
) -> bool: ...
