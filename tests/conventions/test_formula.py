"""rate × dense MACs, by which rate, and how far from the exact count."""

from __future__ import annotations

import itertools

import pytest

from snnprof.activity import Activity, Part
from snnprof.conventions import deviation, formula_sops

PART = Part(
    kind="spikes", elements=40, nonzero=10, level_sum=15, dense_macs=120, valid_macs=100, events=30, by_value=45
)


def _taps(size: int, position: int) -> int:
    """Outputs that a position of a 3-tap, pad 1, stride 1 axis reaches."""
    return sum(0 <= position + offset < size for offset in (-1, 0, 1))


def _conv(weighted, size: int, spikes: set[tuple[int, int]]):
    events = sum(_taps(size, y) * _taps(size, x) for y, x in spikes)
    valid = sum(_taps(size, y) * _taps(size, x) for y, x in itertools.product(range(size), repeat=2))
    part = Part(
        kind="spikes", elements=size**2, nonzero=len(spikes), level_sum=len(spikes), dense_macs=9 * size**2,
        valid_macs=valid, events=events, by_value=events,
    )  # fmt: skip
    return weighted(part, op="conv", histogram=[size**2 - len(spikes), len(spikes)])


@pytest.mark.parametrize(
    ("rate", "expected"), [("input", 10 / 40), ("mean", 15 / 40), ("neuron", 0.2), ("network", 0.3)]
)
def test_the_four_rates(weighted, neuron, rate, expected):
    op = weighted(PART, histogram=[30, 5, 5], levels=2)
    activity = Activity(ops=[op], neurons=[neuron("lif", 100, 20), neuron("other", 300, 100)])
    assert formula_sops(op, activity, rate) == pytest.approx(expected * 120)


def test_an_op_that_no_neuron_feeds_has_its_input_rate(weighted, neuron):
    op = weighted(PART, histogram=[30, 10], fed_by=["input"])
    assert formula_sops(op, Activity(ops=[op], neurons=[neuron("lif")]), "neuron") == 30


def test_of_a_product_the_left_side_gives_the_rate(product):
    side = {"quantum": 1.0, "levels": 1}
    op = product(PART.model_copy(update={"left": 33, "right": 44}), left=side, right=side)
    assert formula_sops(op, Activity(ops=[op])) == 10 / 40 * 120


@pytest.mark.parametrize(("size", "percent"), [(8, 19), (32, 4)])
def test_uniform_spikes_in_a_padded_convolution_are_overcounted(weighted, size, percent):
    op = _conv(weighted, size, set(itertools.product(range(size), repeat=2)))
    expected = 9 * size**2 / (3 * size - 2) ** 2 - 1
    assert deviation(op, Activity(ops=[op])) == pytest.approx(expected)
    assert round(100 * expected) == percent


def test_one_spike_in_a_corner_is_overcounted_by_125_percent(weighted):
    op = _conv(weighted, 8, {(0, 0)})
    assert deviation(op, Activity(ops=[op])) == pytest.approx(9 / 4 - 1)


def test_nothing_to_compare_where_no_spike_drives_the_op(weighted):
    real = weighted(Part(kind="real", elements=4, nonzero=4, dense_macs=12, valid_macs=12, events=12), quantum=None)
    silent = weighted(Part(kind="silent", elements=4, dense_macs=12, valid_macs=12))
    assert (formula_sops(real, Activity(ops=[real])), deviation(real, Activity(ops=[real]))) == (None, None)
    assert (formula_sops(silent, Activity(ops=[silent])), deviation(silent, Activity(ops=[silent]))) == (0.0, None)


def test_formula_convention_multiplies_rate_and_dense_macs(weighted, counts):
    real = Part(kind="real", elements=4, nonzero=3, dense_macs=12, valid_macs=10, events=9)
    total = counts(weighted(PART, histogram=[30, 10]), weighted(real, quantum=None, layer="stem"), convention="formula")
    assert (total.sops, total.acs, total.macs) == (30, 30, 12)
