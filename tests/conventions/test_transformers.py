"""The conventions of Spike-driven Transformer and QKFormer against their papers' formulas, worked out here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from snnprof import cautions, conventions
from snnprof.activity import Activity, ElementwiseRecord, NeuronRecord, Part
from snnprof.conventions import attention
from snnprof.pricing import price

TABLE = yaml.safe_load((Path(__file__).parent.parent / "data" / "sdt_table_s1.yaml").read_text(encoding="utf-8"))
SCALE = 10**9
MJ = 1e9


def at_rate(weighted, layer: str, macs: int, rate: float, **fields):
    """A weighted operation of so many dense MACs over the run, whose input is non-zero at a rate."""
    share = round(rate * SCALE)
    part = Part(kind="spikes", elements=SCALE, nonzero=share, level_sum=share, dense_macs=macs, valid_macs=macs)
    return weighted(part, layer=layer, histogram=[SCALE - share, share], **{"op": "conv", **fields})


def image(weighted, macs: int, **fields):
    part = Part(kind="real", elements=10, nonzero=8, dense_macs=macs, valid_macs=macs)
    return weighted(part, quantum=None, layer="stem", op="conv", **{"constant": True, "fed_by": ["input"], **fields})


def firing(layer: str, rate: float, updates: int = SCALE) -> NeuronRecord:
    spikes = round(rate * updates)
    return NeuronRecord(layer=layer, type="LIF", size=1, spikes=spikes, level_sum=spikes, updates=updates)


def element(layer: str, op: str, elements: int, nonzero: int | None = None) -> ElementwiseRecord:
    return ElementwiseRecord(layer=layer, op=op, elements=elements, nonzero=nonzero)


def table_s1(weighted) -> Activity:
    """One image through SDT-8-512 at the rates of the paper's Table S1."""
    sizes, rates = TABLE["geometry"], TABLE["rates_T4"]
    steps, tokens, width = sizes["T"], sizes["tokens"], sizes["width"]
    square = steps * tokens * width**2
    ops, neurons, elementwise = [image(weighted, steps * sizes["macs_first_conv"])], [], []
    for i, (rate, macs) in enumerate(
        zip(rates["conv_inputs"], [*[sizes["macs_conv2_to_4_each"]] * 3, sizes["macs_rpe"]], strict=True)
    ):
        ops.append(at_rate(weighted, f"conv{i}", steps * macs, rate))
    for i, block in enumerate(rates["blocks"]):
        path = f"block.{i}.attn"
        for letter in "qkv":
            neurons.append(firing(f"{path}.{letter}_lif", block[letter], steps * tokens * width))
            feeds = [f"{path}.{letter}_lif"]
            ops.append(at_rate(weighted, f"{path}.{letter}_conv", square, block["qkv_input"], feeds=feeds))
        elementwise += [element(path, "mask", 2 * steps * tokens * width, 0), element(path, "reduce", 1, 0)]
        ops.append(at_rate(weighted, f"{path}.proj_conv", square, block["v_hat"]))
        ops.append(at_rate(weighted, f"block.{i}.mlp.fc1_conv", 4 * square, block["mlp1"]))
        ops.append(at_rate(weighted, f"block.{i}.mlp.fc2_conv", 4 * square, block["mlp2"]))
    ops.append(at_rate(weighted, "head", steps * sizes["macs_head"], rates["head_input"], op="linear"))
    return Activity(samples=1, ops=ops, neurons=neurons, elementwise=elementwise)


def test_sdt_with_the_rates_of_table_s1(weighted):
    """5.35 mJ by the formula as stated, 6.81 mJ with Q, K, V at the rate of their input, 4.50 mJ printed."""
    activity = table_s1(weighted)
    report = price(activity, "cmos45-fp32", "sdt")
    assert round(report.energy_pj / MJ, 2) == TABLE["computed_here_mJ"]["stated (QKV at the mean rate of its outputs)"]
    assert round(report.energy_pj / MJ, 2) != TABLE["printed_mJ"]
    at_input = price(activity, "cmos45-fp32", "spikformer").energy_pj
    assert round((at_input + _sdsa_pj()) / MJ, 2) == TABLE["computed_here_mJ"]["QKV at the rate of its input"]


def _sdsa_pj() -> float:
    """0.9 pJ · T · (R_Q + R_K) · N D over the blocks."""
    sizes = TABLE["geometry"]
    per_rate = 0.9 * sizes["T"] * sizes["tokens"] * sizes["width"]
    return sum(per_rate * (block["q"] + block["k"]) for block in TABLE["rates_T4"]["blocks"])


def test_sdt_counts_each_part_as_stated(weighted):
    lines = {(line.layer, line.op): line.counts for line in conventions.find("sdt").lines(table_s1(weighted))}
    block, sizes = TABLE["rates_T4"]["blocks"][0], TABLE["geometry"]
    slots = sizes["T"] * sizes["tokens"] * sizes["width"]
    mean = (block["q"] + block["k"] + block["v"]) / 3
    assert lines["stem", "conv"] == conventions.Counts(macs=4 * sizes["macs_first_conv"])
    for letter in "qkv":
        assert lines[f"block.0.attn.{letter}_conv", "conv"].acs == pytest.approx(mean * slots * 512, rel=1e-5)
    assert lines["block.0.attn", "reduce"].adds == pytest.approx((block["q"] + block["k"]) * slots, abs=1)
    assert ("block.0.attn", "mask") not in lines
    assert lines["block.0.attn.proj_conv", "conv"].acs == pytest.approx(block["v_hat"] * slots * 512)
    assert lines["head", "linear"].acs == pytest.approx(0.3081 * 4 * 512_000)


def test_sdt_charges_an_image_in_full_and_event_frames_at_their_rate(weighted, counts):
    """Of ten pixels eight are not zero."""
    assert counts(image(weighted, 100), convention="sdt").macs == 100
    assert counts(image(weighted, 100, constant=False), convention="sdt").macs == pytest.approx(80)


@pytest.mark.parametrize(
    ("layers", "letters"),
    [
        (["attn.q_conv", "attn.k_conv", "attn.v_conv"], ["q", "k", "v"]),
        (["a.attn.to_q", "a.attn.to_k", "a.attn.to_v"], ["q", "k", "v"]),
        (["attn.query", "attn.key", "attn.value"], ["q", "k", "v"]),
        (["attn.query.0", "attn.key.0"], ["q", "k"]),
        (["attn.qkv_conv_bn.0"], ["qkv"]),
        (["attn.qk_linear"], ["qk"]),
        (["attn.q", "attn.kv"], ["q", "kv"]),
        (["q1", "k1"], ["q", "k"]),
        (["attn.queries_and_keys", "attn.conv_1", "attn.quick"], None),
        (["attn.q_conv", "attn.v_conv"], None),
        (["a.q_conv", "b.k_conv"], None),
    ],
)
def test_q_k_and_v_by_name(weighted, layers, letters):
    ops = [at_rate(weighted, layer, 10, 0.5) for layer in layers]
    module = layers[0].rpartition(".0")[0] or layers[0]
    module = module.rpartition(".")[0]
    found = attention.projections(Activity(samples=1, ops=ops, elementwise=[element(module, "mask", 10, 5)]))
    assert [[letters for letters, _ in each.makes] for each in found] == ([] if letters is None else [letters])
    assert attention.projections(Activity(samples=1, ops=ops)) == []


def test_sdt_of_a_fused_layer(weighted):
    """Q, K and V at the one rate of their neurons; Q's and K's share of the spikes is two thirds, or all."""
    for name, share in (("qkv", 2 / 3), ("qk", 1.0)):
        op = at_rate(weighted, f"attn.{name}_conv", 1000, 0.5, feeds=["lif"])
        elementwise = [element("attn", "mask", 100, 9), element("attn", "reduce", 100, 9)]
        activity = Activity(samples=1, ops=[image(weighted, 1), op], neurons=[firing("lif", 0.1, 300)],
                            elementwise=elementwise)  # fmt: skip
        lines = {line.op: line.counts for line in conventions.find("sdt").lines(activity)[1:]}
        assert lines["conv"].acs == pytest.approx(100)
        assert lines["reduce"].adds == pytest.approx(share * 30)


def test_sdt_of_products_counts_them_at_the_rate_of_their_input(weighted, product, counts):
    side = {"quantum": 1.0, "levels": 1, "fed_by": ["q"]}
    part = Part(kind="spikes", elements=10, nonzero=4, level_sum=4, dense_macs=100, valid_macs=100)
    first = image(weighted, 1)
    assert counts(first, product(part, left=side, right=side), convention="sdt").acs == pytest.approx(40)


def test_an_attention_that_sdt_does_not_know_is_named(weighted):
    """Its layers are called w1 and w2; with other names, and neurons behind them, there is nothing to say."""
    elementwise = [element("block.0", "mask", 10, 5), element("block.0", "reduce", 10, 5)]

    def codes(convention: str, *names: str) -> list[str | None]:
        ops = [at_rate(weighted, f"block.0.{name}", 10, 0.5, feeds=["lif"]) for name in names]
        activity = Activity(samples=1, ops=ops, neurons=[firing("lif", 0.1)], elementwise=elementwise)
        report = price(activity, "cmos45-fp32", convention)
        return [finding.layer for finding in cautions.cautions(report) if finding.code == "W40"]

    assert codes("sdt", "w1", "w2") == ["block.0"]
    assert codes("sdt", "q", "k") == []
    assert codes("spikformer", "w1", "w2") == []


def test_a_network_without_attention_counts_as_spikformer(weighted):
    activity = Activity(samples=1, ops=[image(weighted, 7), at_rate(weighted, "conv", 100, 0.2)])
    lines = {id: conventions.find(id).lines(activity) for id in ("sdt", "qkformer", "spikformer")}
    assert lines["sdt"] == lines["qkformer"] == lines["spikformer"]
    assert not [each for each in cautions.cautions(price(activity, convention="sdt")) if each.code == "W40"]


def test_qkformer_by_hand(weighted):
    """4.6 pJ · MACs of the first convolution, 0.9 pJ · rate · MACs, 0.9 pJ per spike of Q that is summed."""
    activity = Activity(
        samples=1,
        ops=[image(weighted, 1000), at_rate(weighted, "stage1.0.tssa.q_conv", 5000, 0.2)],
        elementwise=[
            element("stage1.0.tssa", "reduce", 64, 13),
            element("stage1.0.tssa", "mask", 64, 5),
            element("pooling", "reduce", 64, 64),
        ],
    )
    assert price(activity, "cmos45-fp32", "qkformer").energy_pj == pytest.approx(4.6 * 1000 + 0.9 * (1000 + 13))
    left_out = dict(price(activity, "cmos45-fp32", "qkformer").left_out)
    assert left_out == {"mask": 64, "reduce": 64}
