"""Counts × prices: worked examples from the sources, what has no price, twins, memory, static power."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from snnprof import conventions
from snnprof.activity import Activity, ElementwiseRecord, NeuronRecord, Operand, OpRecord, Part, Uncounted
from snnprof.cautions import spread
from snnprof.conventions import Counts
from snnprof.errors import SnnprofError
from snnprof.explanations import find
from snnprof.hardware import HardwareProfile, load_hardware, names
from snnprof.memory import access_work, cost, memory_work, word_bits
from snnprof.pricing import price, split_gain
from snnprof.twins import Twin

RUNS = Path(__file__).parent / "data" / "runs"

MJ, UJ = 1e9, 1e6


def linear(
    inputs: int, outputs: int, spikes: int = 0, steps: int = 1, rows: int = 1, real: bool = False, **fields: Any
) -> OpRecord:
    """A linear layer over one sample: `spikes` non-zero inputs in all steps and rows."""
    macs = steps * rows * inputs * outputs
    events = spikes * outputs
    part = Part(
        kind="real" if real else "spikes", elements=steps * rows * inputs, nonzero=spikes, level_sum=spikes,
        dense_macs=macs, valid_macs=macs, events=events, by_value=events, effective=events,
    )  # fmt: skip
    data = Operand(
        role="data", quantum=None if real else 1.0, levels=None if real else 1, fed_by=fields.pop("fed_by", ["in"])
    )
    shape = {"input": [inputs], "output": [outputs], "weight": [inputs, outputs]}
    fields = {"layer": "fc", "op": "linear", "steps": steps, "feeds": ["lif"], "weights": inputs * outputs} | fields
    return OpRecord(shape=shape, parts=[part], operands=[data, Operand(role="weight")], **fields)


def neuron(
    updates: int, spikes: int = 0, driven: int | None = None, type: str = "IFNode", size: int = 1
) -> NeuronRecord:
    driven = updates if driven is None else driven
    return NeuronRecord(layer="lif", type=type, size=size, spikes=spikes, updates=updates, driven=driven)


def sops(count: int, **fields: Any) -> Activity:
    """One sample of so many binary SOPs and nothing else."""
    return Activity(samples=1, ops=[linear(count, 1, count)], **fields)


def profile(base: str = "cmos45-fp32", **changes: Any) -> HardwareProfile:
    raw = load_hardware(base).model_dump(by_alias=True)
    return HardwareProfile.model_validate({**raw, **changes})


# -- one count, every price -------------------------------------------------------------------------------------

MILLION_SOPS_UJ = {
    "cmos45-fp32": 0.9, "cmos45-int8": 0.03, "cmos7-fp32": 0.38, "rolls-77fj": 0.077, "truenorth-allin": 26,
    "truenorth-linear": 2.2966, "loihi1-davies2018": 23.6, "loihi1-sanafe": 35.5, "odin-allin": 12.7,
    "odin-incremental": 8.43, "reckon-0v5": 5.3, "darwin3-incremental": 5.47, "seneca-22nm": 2.8, "spinnaker1": 13_300,
    "spinnaker2-testchip": 450,
}  # fmt: skip


@pytest.mark.parametrize(("id", "microjoules"), MILLION_SOPS_UJ.items())
def test_a_million_sops(id, microjoules):
    report = price(sops(10**6), id)
    assert report.totals.terms["sop"] / UJ == pytest.approx(microjoules, rel=2e-5)
    assert (report.totals.sops, report.totals.acs, report.totals.macs) == (10**6, 10**6, 0)


def test_the_same_count_costs_444_thousand_times_as_much_elsewhere():
    assert max(MILLION_SOPS_UJ.values()) / min(MILLION_SOPS_UJ.values()) == pytest.approx(4.4e5, rel=0.01)


@pytest.mark.parametrize(
    ("op", "hardware", "acs", "macs", "picojoules"),
    [
        (linear(4, 3, 2), "cmos45-fp32", 6, 0, 5.4),
        (linear(4, 3, 8, rows=2, real=True), "cmos45-fp32", 0, 24, 110.4),
        (linear(4, 2, 2), "cmos45-fp16", 4, 0, 1.6),
    ],
    ids=["Linear(4,3) on [1,0,1,0]", "Linear(4,3) on 0.5 x (2,4)", "Linear(4,2) at FP16"],
)
def test_small_examples(op, hardware, acs, macs, picojoules):
    report = price(Activity(samples=1, ops=[op]), hardware)
    assert (report.totals.acs, report.totals.macs) == (acs, macs)
    assert report.energy_pj == pytest.approx(picojoules)


# -- what has no price ------------------------------------------------------------------------------------------


def test_unpriced_work_is_listed_and_the_total_is_a_lower_bound():
    activity = Activity(
        samples=1,
        ops=[linear(10, 10, 5, bias_adds=10), linear(10, 10, 10, real=True, layer="stem")],
        neurons=[neuron(100, 7)],
        elementwise=[
            ElementwiseRecord(layer="b", op="compare", elements=16),
            ElementwiseRecord(layer="b", op="mul", elements=3),
            ElementwiseRecord(layer="b", op="mask", elements=4, nonzero=1),
        ],
    )
    report = price(activity, "rolls-77fj")
    expected = {"mac": 100, "add": 10, "neuron update": 100, "spike out": 7, "compare": 16, "mul": 3, "mask": 4}
    assert dict(report.unpriced) == expected
    assert [count for _, count in report.unpriced] == sorted(expected.values(), reverse=True)
    assert report.energy_pj == pytest.approx(50 * 0.077)
    assert report.lower_bound
    stem = next(row for row in report.rows if row.layer == "stem")
    assert (stem.terms["mac"], stem.terms["sop"], stem.energy_pj) == (None, 0.0, None)


def test_energy_is_unknown_where_nothing_has_a_price():
    report = price(Activity(samples=1, neurons=[neuron(10)]), "seneca-22nm")
    assert report.rows[0].energy_pj is None
    assert report.energy_pj is None
    assert price(Activity(samples=1, neurons=[neuron(0)]), "seneca-22nm").energy_pj == 0


def test_a_whole_chip_figure_covers_its_neurons_and_is_no_lower_bound():
    report = price(sops(10, neurons=[neuron(100, 7)]), "truenorth-allin")
    assert report.unpriced == []
    assert not report.lower_bound
    assert report.energy_pj == 260


def test_what_the_recorder_could_not_count_makes_a_lower_bound():
    activity = sops(10).model_copy(update={"uncounted": [Uncounted(layer="a", op="fft", calls=1)]})
    assert price(activity, "truenorth-allin").lower_bound


def test_elementwise_work_is_priced_where_there_is_a_price():
    lines = [
        ElementwiseRecord(layer="bn", op="batch_norm", elements=10),
        ElementwiseRecord(layer="a", op="add", elements=10, nonzero=4),
    ]
    report = price(Activity(samples=1, elementwise=lines), "cmos45-fp32")
    assert report.totals.terms["elementwise"] == pytest.approx(10 * (0.9 + 3.7) + 4 * 0.9)
    assert report.totals.sops == 0
    assert price(Activity(samples=1, elementwise=lines[1:]), "yan2024-22nm").energy_pj == pytest.approx(4 * 0.05448)


def test_what_a_convention_leaves_out_is_listed():
    activity = Activity(samples=1, ops=[linear(10, 10, 5, bias_adds=10)], neurons=[neuron(100)])
    assert price(activity, convention="exact").left_out == []
    report = price(activity, convention="ssa-bin")
    assert report.left_out == [("neuron update", 100), ("bias", 10)]
    assert report.lower_bound


# -- chips ------------------------------------------------------------------------------------------------------


def test_loihi_pays_for_idle_neurons():
    """131,072 neurons × 52 pJ = 6.82 µJ for a step in which nothing spikes; 10.6 µJ if all are driven."""
    idle = Activity(samples=1, neurons=[neuron(131_072, driven=0)])
    driven = Activity(samples=1, neurons=[neuron(131_072)])
    assert price(idle, "loihi1-davies2018").totals.terms["neuron"] / UJ == pytest.approx(6.82, abs=0.005)
    assert price(driven, "loihi1-davies2018").totals.terms["neuron"] / UJ == pytest.approx(10.6, abs=0.05)


def test_loihi_terms():
    activity = sops(1000, neurons=[neuron(10, 4)])
    report = price(activity, "loihi1-davies2018", hops=2)
    assert report.totals.terms["sop"] + report.totals.terms["neuron"] == 23_600 + 810
    assert report.totals.terms["spike"] == pytest.approx(4 * (1.7 + 2 * 3.5))
    unknown = price(activity, "loihi1-davies2018")
    assert dict(unknown.unpriced)["hop"] == 4
    assert unknown.totals.terms["spike"] == pytest.approx(4 * 1.7)


def test_one_price_for_all_neuron_updates_where_no_idle_one_is_given():
    activity = Activity(samples=1, neurons=[neuron(10, driven=3)])
    assert price(activity, "spinnaker1").energy_pj == pytest.approx(10 * 26_000)


def test_spikes_do_not_hop_for_free_on_a_chip_that_has_hops_of_zero():
    assert "hop" not in dict(price(sops(1, neurons=[neuron(1, 1)]), "loihi1-davies2018", hops=0).unpriced)


TRUENORTH = [(11.58, 0.068, -41), (20.07, 0.071, -1), (95.93, 0.094, 256)]


@pytest.mark.parametrize(("rate_hz", "watts", "percent"), TRUENORTH)
def test_one_constant_holds_at_one_operating_point(rate_hz, watts, percent):
    """2²⁰ neurons with 128 synapses each, one second: 26 pJ per SOP against the chip's own power curve."""
    activity = sops(round(2**20 * 128 * rate_hz), neurons=[neuron(0, size=2**20)])
    constant = price(activity, "truenorth-allin").energy_pj / 1e12
    linear_model = price(activity, "truenorth-linear", latency_s=1.0).energy_pj / 1e12
    assert constant / watts - 1 == pytest.approx(percent / 100, abs=0.02)
    assert linear_model / watts - 1 == pytest.approx(-0.0054 if percent == -1 else 0, abs=0.0002)


def test_static_power_needs_a_latency_and_whole_chips():
    activity = sops(1, neurons=[neuron(0, size=131_073)]).model_copy(update={"samples": 10})
    known = price(activity, "loihi1-davies2018", latency_s=0.01)
    assert known.totals.terms["static"] == pytest.approx(2 * 0.104 * 0.01 * 10 * 1e12)
    unknown = price(activity, "loihi1-davies2018")
    assert unknown.totals.terms["static"] is None
    assert dict(unknown.unpriced)["static power, inferences"] == 10
    for covered in ("truenorth-allin", profile("truenorth-linear", supersedes=["static"])):
        assert "static" not in {row.op for row in price(activity, covered, latency_s=1).rows}


# -- memory -----------------------------------------------------------------------------------------------------


def lemaire(type: str = "IFNode", real: bool = False, bias: int = 0) -> Activity:
    """FC 784 → 128, 200 input spikes, 40 output spikes, T = 4; as an ANN one dense pass."""
    if real:
        return Activity(samples=1, ops=[linear(784, 128, 784, real=True, bias_adds=bias)])
    return Activity(samples=1, ops=[linear(784, 128, 200, steps=4)], neurons=[neuron(4 * 128, 40, type=type)])


def test_lemaire_worked_example_of_a_spiking_layer():
    weights, potentials, fifo = 48.2027776, 13.2446464, 13.2
    terms = price(lemaire(), "lemaire2022-int32").totals.terms
    assert terms["sop"] + terms["neuron"] == pytest.approx(2615.2)
    memory = 2 * 26_112 * potentials + 25_600 * weights + 240 * fifo + 2560
    assert terms["memory"] == pytest.approx(memory)
    assert 2 * 26_112 * potentials == pytest.approx(691_688.4135936)
    assert 25_600 * weights == pytest.approx(1_233_991.10656)
    report = price(lemaire(), "lemaire2022-int32")
    assert report.energy_pj == pytest.approx(1_934_022.7201536, rel=1e-12)
    assert not report.lower_bound


def test_lemaire_charges_a_leak_as_a_multiplication():
    terms = price(lemaire("LIFNode"), "lemaire2022-int32").totals.terms
    assert terms["sop"] + terms["neuron"] == pytest.approx(4253.6)


@pytest.mark.parametrize("type", ["IFNode", "MultiStepIFNode", "IF", "ifcell"])
def test_neurons_without_leak(type):
    assert price(lemaire(type), "lemaire2022-int32").energy_pj == pytest.approx(1_934_022.7201536)


def test_lemaire_worked_example_of_a_dense_layer():
    report = price(lemaire(real=True), "lemaire2022-int32")
    assert report.totals.terms["mac"] == pytest.approx(321_126.4)
    weights, in_out, addressing = 4_837_245.1377152, 12_258.506752, 10_035.2
    assert report.totals.terms["memory"] == pytest.approx(weights + in_out + addressing)
    assert report.energy_pj == pytest.approx(5_180_665.2444672, rel=1e-12)


def test_lemaire_ratios():
    snn, ann = price(lemaire(), "lemaire2022-int32"), price(lemaire(real=True), "lemaire2022-int32")
    assert ann.energy_pj / snn.energy_pj == pytest.approx(2.679, abs=0.0005)
    arithmetic = snn.totals.terms["sop"] + snn.totals.terms["neuron"]
    assert ann.totals.terms["mac"] / arithmetic == pytest.approx(122.8, abs=0.05)
    assert arithmetic / snn.energy_pj == pytest.approx(0.0014, abs=0.00005)


def test_piecewise_linear_memory_as_another_port_of_that_model_has_it():
    """(0, 0), (8192, 10), (32768, 20), (1 MiB, 100), clamped, per 4 bytes."""
    points = [(0, 0), (8192, 10), (32768, 20), (1 << 20, 100)]
    levels = [{"name": str(size), "capacity_bytes": size, "read": pj, "write": pj} for size, pj in points]
    raw = {"access_bits": 32, "interpolate": "clamp-linear", "levels": levels}
    memory = profile("lemaire2022-int32", memory=raw).memory
    assert cost(access_work(memory, 784 * 128 * 32, 32, "read")) == pytest.approx(49.03225806)
    assert cost(access_work(memory, 128 * 32, 32, "read")) == pytest.approx(0.625)
    assert cost(access_work(memory, (8 << 23), 32, "read")) == 100


@pytest.mark.parametrize(
    ("kib", "picojoules"), [(1, 10), (8, 10), (20, 15), (32, 20), (528, 60), (1024, 100), (1025, 1950)]
)
def test_memory_by_size(kib, picojoules):
    memory = load_hardware("cmos45-fp32-mem").memory
    assert cost(access_work(memory, kib * 1024 * 8, 32, "read")) == pytest.approx(picojoules)


def test_memory_by_level_by_byte_and_by_width():
    base = load_hardware("cmos45-fp32-mem").memory
    stepped = base.model_copy(update={"interpolate": "none"})
    assert cost(access_work(stepped, 20 * 1024 * 8, 32, "write")) == 20
    assert cost(access_work(stepped, 20 * 1024 * 8, 128, "write")) == 40
    per_byte = profile(memory={"per_byte": 24.96}).memory
    assert cost(access_work(per_byte, 1, 32, "read")) == pytest.approx(4 * 24.96)


def test_memory_terms_of_a_layer_in_sram():
    """100 × 10 FP32 weights fit in 8 KB: 10 pJ per access; 30 events, 10 outputs, one step, 10 biases."""
    op = linear(100, 10, 3, bias_adds=10)
    work = memory_work(op, Counts(sops=30, acs=30), Activity(samples=1, ops=[op]), load_hardware("cmos45-fp32-mem"))
    assert cost(work) == pytest.approx(10 * (30 + 10 + 2 * (30 + 10)))


def test_a_convolutions_accesses_by_event_and_as_published():
    """3×3, stride 2, 4 → 8 channels on 6×6: one spike meets fewer weights than Cout · kernel."""
    part = Part(
        kind="spikes", elements=144, nonzero=1, dense_macs=9 * 4 * 8 * 9, valid_macs=2000, events=16, by_value=16
    )
    shape = {"input": [4, 6, 6], "output": [8, 3, 3], "weight": [8, 4, 3, 3], "groups": 1}
    op = linear(1, 1).model_copy(update={"op": "conv", "shape": shape, "parts": [part], "weights": 288, "feeds": []})
    counts, activity = Counts(sops=16, acs=16), Activity(samples=1, ops=[op])
    hardware = load_hardware("lemaire2022-int32")
    weight, state, fifo = (13.2 + 1.09e-5 * bits for bits in (288 * 32, 72 * 32, 0))
    published = 72 * weight + 2 * (72 + 72) * state + 1 * fifo + 72 * 0.1 + 2 * 3.2
    assert cost(memory_work(op, counts, activity, hardware)) == pytest.approx(published)
    by_event = hardware.model_copy(update={"memory": hardware.memory.model_copy(update={"accesses": "events"})})
    expected = 16 * weight + 2 * (16 + 72) * state + 1 * fifo + 16 * 0.1 + 2 * 3.2
    assert cost(memory_work(op, counts, activity, by_event)) == pytest.approx(expected)


def test_products_of_data_have_no_published_accesses():
    side = Operand(role="data", quantum=1.0, levels=1)
    part = Part(kind="spikes", elements=4, nonzero=2, dense_macs=64, valid_macs=64, events=6)
    op = OpRecord(layer="attn", op="matmul", steps=1, parts=[part], operands=[side, side])
    report = price(Activity(samples=1, ops=[op]), "lemaire2022-int32")
    assert dict(report.unpriced) == {"memory access": 6}
    assert report.rows[0].terms == {"sop": pytest.approx(0.6), "mac": 0.0, "memory": None}


@pytest.mark.parametrize(
    ("text", "bits"), [("fp32", 32), ("bf16", 16), ("int8", 8), ("int9", 9), ("binary", 1), ("analog", None)]
)
def test_bits_of_a_number_format(text, bits):
    assert word_bits(text) == bits


# -- gains and twins --------------------------------------------------------------------------------------------


def test_a_gain_is_operations_times_prices():
    """20.75 mJ of MACs against 17.14 mJ at the same price, or 0.287 mJ at 77 fJ: 72.3 = 1.2106 × 59.74."""
    cmos, rolls = load_hardware("cmos45-fp32"), load_hardware("rolls-77fj")
    ann = Twin(20.75 * MJ / 4.6, 20.75 * MJ, cmos)
    operations = 17.14 * MJ / 4.6
    gain = split_gain(ann, price(sops(round(operations)), rolls))
    assert gain.total == pytest.approx(72.30, abs=0.05)
    assert gain.operations == pytest.approx(1.2106, abs=0.00005)
    assert gain.price == pytest.approx(59.74, abs=0.005)
    assert gain.total == pytest.approx(gain.operations * gain.price)
    assert math.log(gain.price) / math.log(gain.total) == pytest.approx(0.955, abs=0.0005)
    assert [finding.code for finding in gain.findings] == ["W07", "W08"]


def test_no_gain_without_two_energies():
    assert split_gain(price(sops(5)).ann_twin, price(sops(0))) is None
    assert split_gain(price(sops(5), "rolls-77fj").ann_twin, price(sops(5), "rolls-77fj")) is None


def test_twins_of_a_linear_layer():
    report = price(Activity(samples=2, ops=[linear(784, 128, 200, steps=4)]))
    assert report.ann_twin.operations == 784 * 128
    assert report.ann_twin.energy_pj == pytest.approx(784 * 128 * 4.6)
    assert report.dense_run.operations == 4 * 784 * 128
    assert report.spikes_per_synapse == pytest.approx(25_600 / 100_352)
    assert report.per_inference(report.energy_pj) == pytest.approx(25_600 * 0.9 / 2)
    assert report.energy_range_pj == (0.0, pytest.approx(4 * 784 * 128 * 0.9))


def test_twins_pay_for_their_memory_where_the_hardware_has_one():
    """The twin of the worked example's spiking layer is the worked example's dense layer."""
    report = price(lemaire(), "lemaire2022-int32")
    assert report.ann_twin.energy_pj == pytest.approx(5_180_665.2444672, rel=1e-12)
    assert report.dense_run.energy_pj > 4 * 0.99 * report.ann_twin.energy_pj
    biased = Activity(samples=1, ops=[linear(784, 128, 200, steps=4, bias_adds=512)])
    assert price(biased, "lemaire2022-int32").ann_twin.energy_pj == report.ann_twin.energy_pj
    assert not report.ann_twin.lower_bound
    slope, intercept, dense = 1.09e-5, 13.2, 784 * 128
    words = {dense: dense * 8, 784: 784 * 8, 128: 128 * 8}  # accesses: bits of the memory behind them, INT8
    accesses = sum(count * (intercept + slope * bits) for count, bits in words.items())
    assert report.quantised_twin.energy_pj == pytest.approx(dense * 0.30 + accesses + dense * 0.10)
    pair = OpRecord(layer="a", op="matmul", steps=4, parts=[Part(kind="spikes", dense_macs=8)])
    assert price(Activity(samples=1, ops=[pair]), "lemaire2022-int32").ann_twin.lower_bound


def test_unknown_steps_and_samples_stay_unknown():
    report = price(Activity(ops=[linear(4, 4, 2, steps=2).model_copy(update={"steps": None})]))
    assert report.ann_twin.operations is None
    assert report.ann_twin.energy_pj is None
    assert report.spikes_per_synapse is None
    assert report.quantised_twin is None
    assert report.per_inference(report.energy_pj) is None
    assert [finding.code for finding in report.findings].count("W12") == 2


@pytest.mark.parametrize(("steps", "bits", "ratio"), [(3, 2, 1.5), (4, 3, 4 / 3), (7, 3, 2.3333), (15, 4, 3.75)])
def test_quantised_twin(steps, bits, ratio):
    """⌈log2(T + 1)⌉ bits carry what T binary steps do."""
    twin = price(Activity(samples=1, ops=[linear(10, 10, 5, steps=steps)])).quantised_twin
    assert twin.bits == bits
    assert steps / twin.bits == pytest.approx(ratio, abs=5e-5)
    assert twin.hardware.id == "cmos45-int8-acc32"
    assert twin.energy_pj == pytest.approx(100 * 0.30)


def test_no_quantised_twin_where_no_table_has_its_node():
    assert price(sops(1), "loihi1-davies2018").quantised_twin is None


def test_the_twin_of_linear_attention_takes_the_order_a_softmax_allows():
    """q (kᵀ v) costs 2·N·d²; its ANN needs q kᵀ first: 2·N²·d."""
    tokens, width, steps = 196, 64, 4
    dense = steps * tokens * width**2
    part = Part(kind="spikes", elements=1, nonzero=1, dense_macs=dense, valid_macs=dense)
    q, k, v = (Operand(role="data", quantum=1.0, levels=1, fed_by=[name]) for name in "qkv")
    kv = Operand(role="data", quantum=1.0, levels=tokens, fed_by=["k", "v"])
    ops = [
        OpRecord(layer="attn", op="matmul", index=0, steps=steps, parts=[part], operands=[k, v],
                 shape={"left": [width, tokens], "right": [tokens, width]}),
        OpRecord(layer="attn", op="matmul", index=1, steps=steps, parts=[part], operands=[q, kv],
                 shape={"left": [tokens, width], "right": [width, width]}),
    ]  # fmt: skip
    report = price(Activity(samples=1, ops=ops))
    assert report.ann_twin.operations == pytest.approx(2 * tokens**2 * width)
    assert report.dense_run.operations == 2 * dense


# -- the report -------------------------------------------------------------------------------------------------


def test_the_grade_is_the_weakest_evidence_used(activity):
    assert price(activity).grade == "arithmetic"
    assert price(activity, "rolls-77fj").grade == "convention"
    weak = profile("spinnaker1", energy={"sop": 1, "neuron_update": {"value": 1, "evidence": "unstated"}})
    assert price(activity, weak).grade == "unstated"
    assert price(sops(1), weak).grade == "measured"
    assert price(Activity(samples=1), weak).grade is None


MOSTLY_IDLE = {"neurons": [neuron(10, spikes=2, driven=4)]}
ARITHMETIC = [ElementwiseRecord(layer="n", op=op, elements=1) for op in ("add", "mul", "compare")]
WEAK = {"value": 1, "evidence": "unstated"}


@pytest.mark.parametrize(
    ("price_of", "work", "hops"),
    [
        ("neuron_update_idle", MOSTLY_IDLE, None),
        ("neuron_update", MOSTLY_IDLE, None),
        ("spike_out", MOSTLY_IDLE, None),
        ("hop", MOSTLY_IDLE, 2),
        *((op, {"elementwise": ARITHMETIC}, None) for op in ("add", "mul", "compare")),
    ],
)
def test_every_price_that_was_used_has_a_say_in_the_grade(price_of, work, hops):
    """And none that was not: the same work at the same prices, one of them from nowhere."""
    known = {name: {"value": 1, "evidence": "measured"} for name in ("neuron_update", "neuron_update_idle", "add")}
    energy = {"ac": 1, "mac": 1, **known, price_of: WEAK}
    weak = profile(energy=energy, scope="compute", evidence="measured")
    assert price(sops(5, **work), weak, hops=hops).grade == "unstated"
    assert price(sops(5), weak, hops=hops).grade == "measured"


def test_work_that_has_no_price_has_no_say_in_the_grade():
    weak = profile(energy={"sop": 1, "hop": WEAK, "mul": WEAK}, evidence="measured")
    assert price(sops(5, **MOSTLY_IDLE), weak).grade == "measured"


def test_only_the_memories_that_were_read_have_a_say_in_the_grade():
    """100 × 10 FP32 weights lie in the first memory; 1000 × 10 lie in the second."""
    levels = [
        {"name": "near", "capacity_bytes": 8000, "read": 1, "write": 1},
        {"name": "far", "capacity_bytes": None, "read": WEAK, "write": WEAK},
    ]
    stored = profile("cmos45-fp32-mem", evidence="measured", memory={"levels": levels})
    grades = [price(Activity(samples=1, ops=[linear(size, 10, 3)]), stored).grade for size in (100, 1000)]
    assert grades == ["measured", "unstated"]


@pytest.mark.parametrize("id", names())
def test_every_profile_prices_a_whole_network(activity, id):
    report = price(activity, id, latency_s=0.01)
    assert report.energy_pj > 0
    assert report.energy_pj == pytest.approx(sum(row.energy_pj or 0 for row in report.rows))
    low, high = report.energy_range_pj
    assert low <= report.energy_pj <= high


def test_findings_of_a_network(activity):
    codes = {finding.code for finding in price(activity).findings}
    assert {"W01", "W02", "W03", "W04", "W10", "W13"} <= codes
    assert "W01" not in {finding.code for finding in price(activity, "lemaire2022-int32").findings}
    analog = {finding.code: finding for finding in price(activity, "rolls-77fj").findings}
    assert "4 mW" in analog["W18"].hint
    assert {finding.code for finding in price(activity, "truenorth-allin").findings} >= {"W09"}
    assert "W08" in {finding.code for finding in price(activity, convention="ssa-bin").findings}
    assert "W08" not in {finding.code for finding in price(activity, "rolls-77fj", "ssa-bin").findings}


def codes(report) -> dict[str, str]:
    return {finding.code: finding.text for finding in report.findings}


def test_figures_in_cautions_are_per_inference():
    stem = linear(4, 3, 8, steps=4, rows=2, real=True)
    stem.operands[0].fed_by, stem.operands[0].constant_over_time = ["input"], True
    activity = sops(1000, neurons=[neuron(3000)]).model_copy(update={"samples": 10})
    assert codes(price(activity))["W02"].startswith(
        "The energy excludes 300 neuron updates (no price in this list; for scale: 100 SOPs"
    )
    macs = stem.part("real").dense_macs
    text = codes(price(Activity(samples=2, ops=[stem])))["W03"]
    assert f"at each of 4 steps: {macs // 2} MACs, {macs // 8} if its constant input" in text


def test_the_caution_about_the_encoder_has_the_macs_of_the_result():
    """Padding costs no MAC: a 3×3 kernel moved over 16×16 pixels meets 46² of them, for 8 channels, in 4 steps."""
    activity = Activity.load(RUNS / "saformer.json")
    report = price(activity)
    assert report.per_inference(report.totals.macs) == 4 * 8 * 46**2
    assert "at each of 4 steps: 67.71 k MACs, 16.93 k if" in codes(report)["W03"]
    once = conventions.find("exact").with_options(encoder="once")
    assert "W03" not in codes(price(activity, convention=once))


@pytest.mark.parametrize("id", names())
def test_pooling_and_masks_are_said_to_be_unpriced_on_every_machine(id):
    lines = [ElementwiseRecord(layer="n", op=op, elements=600) for op in ("pool", "mask", "compare")]
    report = price(sops(10, elementwise=lines).model_copy(update={"samples": 2}), id, latency_s=1)
    bound = "at most one addition, comparison or bit operation each"
    said = f"The energy excludes 300 pooling inputs and 300 mask operations ({bound}); no published energy exists"
    (finding,) = [finding for finding in report.findings if finding.code == "W21"]
    assert (finding.text, report.unpriced[0][1]) == (said, 600)
    assert "W21" not in codes(price(sops(10, elementwise=lines[2:]), id, latency_s=1))


@pytest.mark.parametrize(("nonzero", "said"), [(100, False), (200, True), (784, True)])
def test_spikes_per_synapse_are_quoted_with_the_published_thresholds(nonzero, said):
    """Spikes per synapse: 100, 200, 784 of 784 inputs in one step; the lowest published threshold is 0.15."""
    report = price(Activity(samples=1, ops=[linear(784, 128, nonzero, steps=1)]))
    texts = [finding.text for finding in report.findings if finding.code == "W13"]
    assert any(text.startswith(f"{nonzero / 784:.2f} spikes per synapse") for text in texts) == said


def test_a_whole_chips_figure_is_set_beside_the_runs_own_rate():
    activity = sops(100, neurons=[neuron(100, 30, size=10)]).model_copy(update={"samples": 2})
    text = codes(price(activity, "truenorth-allin", latency_s=0.5))["W09"]
    assert "at 20 Hz" in text
    assert text.endswith(f"this run fires at {30 / 2 / 10 / 0.5:g} Hz")
    assert "this run" not in codes(price(activity, "truenorth-allin"))["W09"]
    assert "does not say what its figure covers" in codes(price(activity, "reckon-0v5"))["W09"]


def test_what_nobody_measured_is_called_so():
    assert codes(price(sops(1), "loihi1-davies2018"))["W14"] == "The price was simulated, not measured"
    assert "W14" not in codes(price(sops(1), "odin-incremental"))
    sanafe = codes(price(sops(1), "loihi1-sanafe"))["W14"]
    assert sanafe.endswith("no source was found for energy.sop")
    assert codes(price(sops(1), "reckon-0v5"))["W14"] == "The price was measured; no source was found for scope"


def test_skipping_zeros_needs_hardware_that_does():
    activity = Activity(samples=1, ops=[linear(10, 10, 5, steps=4)])
    assert "executes all 400 MACs" in codes(price(activity))["W19"]
    assert "W19" not in codes(price(activity, "loihi1-davies2018"))
    assert "W19" not in codes(price(activity, "rolls-77fj"))


def test_the_spread_over_machines_is_split_into_operations_and_prices():
    """The same 100 SOPs: 77 fJ each, or 23.6 pJ."""
    reports = [price(sops(100), id) for id in ("cmos45-fp32", "loihi1-davies2018", "rolls-77fj")]
    first, *others = spread(reports)
    ratio = f"{23.6 / 0.077:.3g}"
    assert first.code == "W20"
    assert f"Choosing loihi1-davies2018 instead of rolls-77fj changes the energy {ratio}-fold" in first.text
    assert [finding.code for finding in others] == ["W07", "W08"]
    assert "node 14 nm and 180 nm, scope per_term and incremental" in others[1].text
    assert spread([price(Activity(samples=1), id) for id in ("cmos45-fp32", "rolls-77fj")]) == []


def test_one_machine_alone_is_said_to_be_one():
    (only,) = spread([price(sops(100))])
    prices = [sop.value for id in names() if (sop := load_hardware(id).sop)]
    said = f"he price of one SOP differs up to {max(prices) / min(prices) / 1e6:.1f} million-fold between the bundled"
    assert only.code == "W20"
    assert said in only.text
    assert said in find("W20").parts[1][1]


def test_prices_outside_a_plausible_band():
    slip = profile(energy={"ac": {"value": 1e-5}, "mac": 2e7})
    assert [finding.code for finding in price(sops(1), slip).findings].count("W15") == 2


def test_average_pooling_and_wide_attention_are_findings():
    quarter = linear(4, 4, 2).model_copy(
        update={"operands": [Operand(role="data", quantum=0.25, levels=4), Operand(role="weight")]}
    )
    wide = OpRecord(
        layer="attn", op="matmul", steps=1, parts=[Part(kind="spikes", elements=4, nonzero=1, dense_macs=4, events=1)],
        operands=[Operand(role="data", quantum=1.0, levels=8), Operand(role="data", quantum=1.0, levels=1)],
    )  # fmt: skip
    findings = {finding.code: finding.text for finding in price(Activity(samples=1, ops=[quarter, wide])).findings}
    assert "multiples of 0.25" in findings["W05"]
    assert findings["W05"].endswith("counted as additions, assuming that the factor is folded into the weights")
    (many,) = quarter.operands[:1]
    report = price(Activity(samples=1, ops=[quarter.model_copy(update={"operands": [many.model_copy(
        update={"quantum": 2**-8, "levels": 256}), quarter.operands[1]]})]))  # fmt: skip
    assert report.totals.sops == 0 < report.totals.macs
    assert "counted as multiplications" in codes(report)["W05"]
    assert "integer n<=8 x binary" in findings["W06"]


def test_rows_and_data_frame(activity):
    report = price(activity)
    frame = report.to_dataframe(per="run")
    assert {"layer", "op", "index", "sops", "acs", "macs", "energy_pj"} <= set(frame.columns)
    assert frame["energy_pj"].sum() == pytest.approx(report.energy_pj)
    assert frame["sops"].sum() == report.totals.sops
    stem = report.rows[0]
    assert (stem.label, stem.fed_by, stem.formula_sops, stem.deviation) == ("real", ("input",), None, None)
    fc1 = next(row for row in report.rows if row.layer == "block.0.mlp.fc1_linear")
    assert (fc1.label, fc1.fed_by) == ("integer n<=2", ("patch_embed.rpe_lif",))
    assert fc1.deviation == pytest.approx(fc1.formula_sops / fc1.sops - 1)


def test_the_total_deviation_compares_the_rows_that_are_there(activity):
    report = price(activity, convention="spikingformer-script")
    ops = {op.key: op for op in activity.ops}
    shown = [ops[row.layer, row.op, row.index] for row in report.rows]
    assert 0 < len(shown) < len(ops)
    exact = sum(conventions.exact_sops(op) for op in shown)
    formula = sum(conventions.formula_sops(op, activity) or 0 for op in shown)
    assert report.totals.deviation == (pytest.approx(formula / exact - 1) if exact else None)


def test_options_and_objects_are_accepted(activity):
    rule = conventions.find("exact").with_options(levels="events")
    by_object = price(activity, load_hardware("cmos45-fp32"), rule)
    assert by_object.totals.sops < price(activity).totals.sops
    with pytest.raises(SnnprofError, match="unknown convention"):
        price(activity, convention="exakt")


def test_a_data_frame_says_what_its_figures_are_of(activity):
    report = price(activity)
    run, each = report.to_dataframe(per="run"), report.to_dataframe()
    assert (run.attrs["per"], each.attrs["per"]) == ("run", "inference")
    assert (set(run["per"]), set(each["per"])) == ({"run"}, {"inference"})
    for name in ("sops", "macs", "energy_pj", "sop_pj"):
        assert (each[name].dropna() * activity.samples).tolist() == pytest.approx(run[name].dropna().tolist())
    assert each["rate"].equals(run["rate"])
    unknown = price(activity.model_copy(update={"samples": None}))
    assert unknown.to_dataframe().attrs["per"] == "run"
    with pytest.raises(SnnprofError, match="samples"):
        unknown.to_dataframe(per="inference")


def test_a_layer_that_a_convention_does_not_count_has_no_rule_to_state():
    """`spikingformer-script` finds layers by name: of integer inputs to others it says nothing."""
    spikformer = RUNS / "spikformer.json"
    exact, script = (price(spikformer, convention=id) for id in ("exact", "spikingformer-script"))
    told = [{f.layer for f in report.findings if f.code == "W04"} for report in (exact, script)]
    assert told[0]
    assert told[1] == set()  # only *_linear layers read whole numbers
