"""The exact convention: which counts become SOPs, which MACs."""

from __future__ import annotations

import pytest

from snnprof import conventions
from snnprof.activity import Activity, ElementwiseRecord, Part
from snnprof.conventions import Counts
from snnprof.errors import SnnprofError

SPIKES = Part(
    kind="spikes", elements=40, nonzero=10, level_sum=15, dense_macs=120, valid_macs=100, events=30, by_value=45,
    effective=24,
)  # fmt: skip
REAL = Part(kind="real", elements=40, nonzero=36, dense_macs=120, valid_macs=100, events=90, effective=80)
SILENT = Part(kind="silent", elements=8, dense_macs=24, valid_macs=20)
PAIRS = Part(
    kind="spikes", elements=40, nonzero=10, level_sum=15, dense_macs=160, valid_macs=160, events=25, by_value=60,
    left=40, right=80,
)  # fmt: skip
BINARY = {"quantum": 1.0, "levels": 1}
INTEGER = {"quantum": 1.0, "levels": 4, "histogram": [30, 5, 5]}
REAL_SIDE = {"quantum": None}


def sops(value):
    return Counts(sops=value, acs=value)


def macs(value):
    return Counts(macs=value)


def test_a_binary_spike_is_one_sop_for_each_weight_it_meets(weighted, counts):
    assert counts(weighted(SPIKES, histogram=[30, 10])) == sops(30)


@pytest.mark.parametrize(("levels", "expected"), [("by_value", sops(45)), ("events", sops(30)), ("mac", macs(100))])
def test_levels_decide_what_an_integer_costs(weighted, counts, levels, expected):
    assert counts(weighted(SPIKES, levels=3, histogram=[30, 5, 5]), levels=levels) == expected


@pytest.mark.parametrize(("bound", "expected"), [(32, sops(45)), (33, macs(100))])
def test_too_many_levels_are_a_multiplication_whatever_was_seen(weighted, counts, bound, expected):
    assert counts(weighted(SPIKES, levels=bound, histogram=[30, 5, 5])) == expected


def test_an_integer_bound_that_was_never_reached_counts_as_binary(weighted, counts):
    assert counts(weighted(SPIKES, levels=40, histogram=[30, 10]), levels="mac") == sops(30)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, macs(100)),
        ({"real_count": "dense"}, macs(120)),
        ({"real_count": "nonzero"}, macs(90)),
        ({"real_count": "nonzero", "synapses": "nonzero"}, macs(80)),
        ({"real": "sop"}, sops(100)),
    ],
)
def test_real_input_multiplies(weighted, counts, options, expected):
    assert counts(weighted(REAL, quantum=None), **options) == expected


def test_silence_goes_with_real_where_all_else_is_real(weighted, counts):
    assert counts(weighted(REAL, SILENT, quantum=None)) == macs(120)


def test_silence_goes_with_spikes_where_some_step_has_them(weighted, counts):
    assert counts(weighted(SPIKES, REAL, SILENT, histogram=[30, 10])) == Counts(sops=30, acs=30, macs=100)


def test_silence_alone_costs_nothing(weighted, counts):
    assert counts(weighted(SILENT)) == Counts()


def test_only_weights_that_are_not_zero(weighted, counts):
    assert counts(weighted(SPIKES, histogram=[30, 10]), synapses="nonzero") == sops(24)


def test_levels_by_weight_were_not_recorded(weighted, counts):
    with pytest.raises(SnnprofError, match=r"synapses=nonzero.*'fc'"):
        counts(weighted(SPIKES, levels=3, histogram=[30, 5, 5]), synapses="nonzero")


@pytest.mark.parametrize("other", [BINARY, INTEGER, REAL_SIDE])
def test_a_binary_side_makes_each_pair_one_addition(product, counts, other):
    """Never unrolled: a 0/1 value gates whatever stands on the other side."""
    assert counts(product(PAIRS, left=other, right=BINARY)) == sops(25)


@pytest.mark.parametrize(
    ("left", "right", "options", "expected"),
    [
        (INTEGER, INTEGER, {}, sops(60)),
        (INTEGER, INTEGER, {"levels": "events"}, sops(25)),
        (INTEGER, INTEGER, {"levels": "mac"}, macs(160)),
        (INTEGER, INTEGER, {"max_levels": 15}, macs(160)),
        (INTEGER, REAL_SIDE, {}, sops(60)),
        (BINARY, BINARY, {"attention": "left"}, sops(40)),
        (BINARY, BINARY, {"attention": "right"}, sops(80)),
        (BINARY, BINARY, {"attention": "dense"}, sops(160)),
    ],
)
def test_products_of_data(product, counts, left, right, options, expected):
    assert counts(product(PAIRS, left=left, right=right), **options) == expected


def test_a_product_of_reals_multiplies(product, counts):
    assert counts(product(REAL, left=REAL_SIDE, right=REAL_SIDE)) == macs(100)


def test_a_constant_input_can_be_encoded_once(weighted, counts):
    stem = weighted(REAL, quantum=None, fed_by=["input"], constant=True)
    assert counts(stem, encoder="once") == macs(100 / 4)
    assert counts(stem.model_copy(update={"steps": 4, "operands": weighted(REAL).operands}), encoder="once") == macs(
        100
    )


def test_encoding_once_needs_the_number_of_steps(weighted, counts):
    with pytest.raises(SnnprofError, match="number of time steps of 'fc'"):
        counts(weighted(REAL, quantum=None, fed_by=["input"], constant=True, steps=None), encoder="once")


@pytest.mark.parametrize(
    ("line", "options", "expected"),
    [
        (ElementwiseRecord(layer="bn", op="batch_norm", elements=9, foldable=True), {}, Counts(adds=9)),
        (ElementwiseRecord(layer="bn", op="batch_norm", elements=9), {}, Counts(adds=9, muls=9)),
        (
            ElementwiseRecord(layer="bn", op="batch_norm", elements=9, foldable=True),
            {"batch_norm": "counted"},
            Counts(adds=9, muls=9),
        ),
        (ElementwiseRecord(layer="b", op="add", elements=9), {}, Counts(adds=9)),
        (ElementwiseRecord(layer="b", op="add", elements=9, nonzero=4), {}, Counts(adds=4)),
        (ElementwiseRecord(layer="b", op="add", elements=9, nonzero=12), {}, Counts(adds=9)),
        (ElementwiseRecord(layer="b", op="reduce", elements=9, nonzero=4), {}, Counts(adds=4)),
        (ElementwiseRecord(layer="b", op="mul", elements=9), {}, Counts(muls=9)),
        (ElementwiseRecord(layer="b", op="compare", elements=9, nonzero=4), {}, Counts(compares=9)),
        (ElementwiseRecord(layer="b", op="mask", elements=9, nonzero=4), {}, Counts()),
        (ElementwiseRecord(layer="b", op="pool", elements=9, nonzero=4), {}, Counts()),
    ],
)
def test_elementwise_lines_never_hold_sops(line, options, expected):
    (only,) = conventions.find("exact").with_options(**options).lines(Activity(elementwise=[line]))
    assert (only.counts, only.elements, only.category) == (expected, 9, "elementwise")


def test_biases_and_neurons_have_lines_that_can_be_left_out(weighted, neuron):
    activity = Activity(ops=[weighted(SPIKES, bias_adds=7)], neurons=[neuron(updates=50)])
    exact = conventions.find("exact")
    assert [(x.op, x.counts.adds, x.elements) for x in exact.lines(activity)[1:]] == [
        ("bias", 7, 7),
        ("LIFNode", 0, 50),
    ]
    assert len(exact.with_options(bias=False, neuron_updates=False).lines(activity)) == 1


@pytest.mark.parametrize(
    ("biased", "batch_norm", "adds", "muls"),
    [(False, "folded", 9, 0), (True, "folded", 9, 0), (False, "counted", 9, 9), (True, "counted", 18, 9)],
)
def test_a_folded_batch_norm_leaves_one_addition_per_output(weighted, biased, batch_norm, adds, muls):
    """9 outputs, with and without a bias of the layer's own."""
    layer = weighted(SPIKES, bias_adds=9 if biased else 0)
    norm = ElementwiseRecord(layer="bn", op="batch_norm", elements=9, foldable=True, biased=biased)
    lines = (
        conventions.find("exact").with_options(batch_norm=batch_norm).lines(Activity(ops=[layer], elementwise=[norm]))
    )
    total = sum((line.counts for line in lines if line.category == "elementwise"), Counts())
    assert (total.adds, total.muls) == (adds, muls)


def test_a_constant_added_to_a_product_of_data_is_a_shift(product):
    op = product(PAIRS, left=BINARY, right=BINARY, bias_adds=7)
    (line,) = conventions.find("exact").lines(Activity(ops=[op]))[1:]
    assert (line.op, line.counts) == ("shift", Counts(adds=7))


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"histogram": [30, 10]}, "binary"),
        ({"histogram": [30, 10], "signed": True}, "ternary"),
        ({"histogram": [30, 10], "quantum": 0.125}, "scaled"),
        ({"histogram": [30, 5, 5], "levels": 9}, "integer n<=2"),
        ({"levels": 9}, "integer n<=9"),
    ],
)
def test_labels(weighted, fields, label):
    assert conventions.label(weighted(SPIKES, **fields)) == label


def test_labels_by_kind(weighted, product):
    assert conventions.label(weighted(REAL, SILENT, quantum=None)) == "real"
    assert conventions.label(weighted(SILENT)) == "silent"
    assert conventions.label(weighted(SPIKES, REAL)) == "mixed"
    assert conventions.label(product(PAIRS, left=BINARY, right=INTEGER)) == "binary x integer n<=2"
    assert conventions.label(product(PAIRS, left=REAL_SIDE, right=BINARY)) == "real x binary"


def test_unknown_names_are_errors_with_a_hint():
    with pytest.raises(SnnprofError) as error:
        conventions.find("exat")
    assert "exact" in error.value.hint
    with pytest.raises(SnnprofError, match="no option 'lvels'"):
        conventions.find("exact").with_options(lvels="mac")
    with pytest.raises(SnnprofError) as error:
        conventions.find("exact").with_options(levels="by-value")
    assert "by_value" in error.value.hint
    with pytest.raises(SnnprofError, match="method=exact"):
        conventions.find("exact").with_options(method="formula")


def test_every_convention_says_where_it_comes_from():
    from snnprof.hardware import names

    for id in conventions.names():
        convention = conventions.find(id)
        assert convention.id == id
        assert convention.source
        assert convention.suggested_hardware in (None, *names())
        assert convention.options["method"] in ("exact", "formula")
