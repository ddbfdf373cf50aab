"""The log: rows of calls that are alike come back together, whatever was written between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snnprof.record import accumulate
from snnprof.record.accumulate import Array, CountLog

CPU = torch.device("cpu")


class Kept:
    """A series that keeps what it is given."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[list[int]] = []
        self.times = 0

    def take(self, rows: Array) -> None:
        self.rows += rows.tolist()
        self.times += 1


def test_rows_come_back_by_series_and_once() -> None:
    log, pairs, triples = CountLog(), Kept(2), Kept(3)
    for number in range(4):
        log.record(pairs, CPU, lambda row, number=number: row.fill_(number))  # type: ignore[misc]
        log.copy(triples, torch.tensor([number, 0, -number]))
    log.flush()
    log.flush()
    assert pairs.rows == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert triples.rows == [[0, 0, 0], [1, 0, -1], [2, 0, -2], [3, 0, -3]]
    assert (pairs.times, triples.times) == (1, 1)


def test_a_full_arena_is_read_back_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulate, "_ARENA", 8)
    log, triples, large = CountLog(), Kept(3), Kept(50)
    for _ in range(5):
        log.record(triples, CPU, lambda row: row.add_(1))  # zeros each time
    log.record(large, CPU, lambda row: row.add_(2))
    log.flush()
    assert triples.rows == [[1, 1, 1]] * 5
    assert triples.times > 1
    assert large.rows == [[2] * 50]


def test_a_call_that_fails_leaves_no_row() -> None:
    log, pairs = CountLog(), Kept(2)

    def fail(row: Tensor) -> None:
        row.fill_(7)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        log.record(pairs, CPU, fail)
    log.record(pairs, CPU, lambda row: row.add_(1))
    log.flush()
    assert pairs.rows == [[1, 1]]
