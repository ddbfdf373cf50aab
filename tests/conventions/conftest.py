"""Small activities made by hand: one operation at a time, with numbers that can be checked on paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part

Maker = Callable[..., OpRecord]


def weighted(
    *parts: Part, quantum: float | None = 1.0, levels: int | None = 1, histogram: list[int] | None = None, **fields: Any
) -> OpRecord:
    """An operation on one data operand; `parts` carry its counts."""
    data = Operand(
        role="data",
        quantum=quantum,
        levels=levels if quantum is not None else None,
        histogram=histogram or [],
        signed=fields.pop("signed", False),
        constant_over_time=fields.pop("constant", None),
        fed_by=fields.pop("fed_by", ["lif"]),
    )
    fields = {"layer": "fc", "op": "linear", "steps": 4, "weights": 12} | fields
    return OpRecord(parts=list(parts), operands=[data, Operand(role="weight")], **fields)


def product(*parts: Part, left: dict[str, Any], right: dict[str, Any], **fields: Any) -> OpRecord:
    """Data × data; `left` and `right` are fields of its operands."""
    operands = [Operand(role="data", **side) for side in (left, right)]
    fields = {"layer": "attn", "op": "matmul", "steps": 4} | fields
    return OpRecord(parts=list(parts), operands=operands, **fields)


def neuron(layer: str = "lif", updates: int = 100, spikes: int = 20, **fields: Any) -> NeuronRecord:
    driven = fields.pop("driven", updates)
    return NeuronRecord(
        layer=layer, type=fields.pop("type", "LIFNode"), size=fields.pop("size", updates), steps=4, spikes=spikes,
        level_sum=spikes, updates=updates, driven=driven,
    )  # fmt: skip


@pytest.fixture(name="weighted")
def _weighted() -> Maker:
    return weighted


@pytest.fixture(name="product")
def _product() -> Maker:
    return product


@pytest.fixture(name="neuron")
def _neuron() -> Callable[..., NeuronRecord]:
    return neuron


@pytest.fixture
def counts() -> Callable[..., Any]:
    """The contraction counts of a convention for an activity of these operations."""
    from snnprof import conventions

    def count(*ops: OpRecord, convention: str = "exact", neurons: Any = (), **options: Any) -> Any:
        activity = Activity(samples=1, ops=list(ops), neurons=list(neurons))
        lines = conventions.find(convention).with_options(**options).lines(activity)
        return sum((line.counts for line in lines if line.category == "contraction"), conventions.Counts())

    return count
