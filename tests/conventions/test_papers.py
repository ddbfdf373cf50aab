"""Published figures, and the arithmetic behind them: prices × counts as each source states them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from snnprof import conventions
from snnprof.activity import Activity, ElementwiseRecord, NeuronRecord, Part
from snnprof.conventions import spikingformer_script
from snnprof.pricing import price

DATA = Path(__file__).parent.parent / "data"
PUBLISHED = yaml.safe_load((DATA / "published.yaml").read_text(encoding="utf-8"))
LOGS = json.loads((DATA / "spikingformer_energy_log.json").read_text(encoding="utf-8"))
TABLE2 = PUBLISHED["ssa_bin"]["table2"]
MJ = 1e9
FIRST_CONVOLUTION_512 = 4 * 224 * 224 * 64 * 27
RESNET_STEM = 112 * 112 * 64 * 147


def spiking(weighted, macs: float, **fields):
    """An operation whose events, at any rate a formula may take, are `macs`: everything fires."""
    n = round(macs)
    part = Part(kind="spikes", elements=1, nonzero=1, level_sum=1, dense_macs=n, valid_macs=n, events=n, by_value=n)
    return weighted(part, histogram=[0, 1], **fields)


def real(weighted, macs: int, **fields):
    part = Part(kind="real", elements=1, nonzero=1, dense_macs=macs, valid_macs=macs, events=macs)
    return weighted(part, quantum=None, **{"fed_by": ["input"], **fields})


def always_firing() -> NeuronRecord:
    return NeuronRecord(layer="lif", type="LIFNode", size=1, spikes=1, level_sum=1, updates=1, driven=1)


# -- SSA_Bin, Table 2 -------------------------------------------------------------------------------------------

CELLS = [(row, column) for row in TABLE2["sops_G"] for column in range(len(TABLE2["columns"]))]


@pytest.mark.parametrize(("row", "column"), CELLS)
def test_ssa_bin_table_2(weighted, row, column):
    """Printed to two decimals in G and three in mJ: the two intervals of rounding meet under 77 fJ."""
    sops, energy = TABLE2["sops_G"][row][column], TABLE2["energy_mJ"][row][column]

    def mj(giga: float) -> float:
        activity = Activity(samples=1, ops=[spiking(weighted, giga * 1e9)], neurons=[always_firing()])
        return price(activity, "rolls-77fj", "ssa-bin").totals.terms["sop"] / MJ

    assert mj(sops - 0.005) <= energy + 0.0005
    assert mj(sops + 0.005) >= energy - 0.0005


def test_ssa_bin_has_twenty_cells_and_one_rate(weighted, neuron, counts):
    assert len(CELLS) == 20
    half = Part(
        kind="spikes", elements=10, nonzero=5, level_sum=5, dense_macs=80, valid_macs=80, events=40, by_value=40
    )
    op, layers = weighted(half, histogram=[5, 5]), [neuron("a", 100, 10), neuron("b", 300, 90)]
    image = real(weighted, 80)
    both = counts(op, image, convention="ssa-bin", neurons=layers)
    assert both == conventions.Counts(sops=0.25 * 160, acs=0.25 * 160)
    assert counts(op, image, convention="ssa-bin", neurons=layers, rate="input").sops == 0.5 * 80 + 80


# -- Spikformer -------------------------------------------------------------------------------------------------


def test_spikformer_figure_1(weighted):
    """77 M FLOPs as MACs are 354.2 µJ; 5.5 M SOPs are 4.95 µJ as ACs and 0.4235 µJ at 77 fJ."""
    vsa = Activity(samples=1, ops=[real(weighted, 77_000_000)])
    ssa = Activity(samples=1, ops=[spiking(weighted, 5_500_000)])
    assert price(vsa).energy_pj == pytest.approx(354.2e6)
    assert price(ssa).energy_pj == pytest.approx(4.95e6)
    assert price(ssa, "rolls-77fj").energy_pj == pytest.approx(0.4235e6)


IMAGENET = PUBLISHED["spikformer"]["imagenet_224_T4"]


@pytest.mark.parametrize("row", [row for row in IMAGENET if "Spikformer" in row["model"]], ids=lambda row: row["model"])
def test_spikformer_imagenet_table(weighted, row):
    """All five rows charge the first convolution of the 512-wide model at each of four steps."""
    stem = real(weighted, FIRST_CONVOLUTION_512, op="conv", layer="stem")
    rest = spiking(weighted, row["ops_G"] * 1e9)
    report = price(Activity(samples=1, ops=[stem, rest]), convention="spikformer")
    assert report.totals.macs == FIRST_CONVOLUTION_512
    assert report.energy_pj / MJ == pytest.approx(row["power_mJ"], abs=0.9 * 0.005 + 0.001)


@pytest.mark.parametrize("row", [row for row in IMAGENET if "ResNet" in row["model"]], ids=lambda row: row["model"])
def test_its_resnet_rows_charge_the_stem_once(weighted, row):
    stem = real(weighted, 4 * RESNET_STEM, op="conv", layer="stem", constant=True)
    rest = spiking(weighted, row["ops_G"] * 1e9)
    once = conventions.find("spikformer").with_options(encoder="once")
    report = price(Activity(samples=1, ops=[stem, rest]), convention=once)
    assert report.energy_pj / MJ == pytest.approx(row["power_mJ"], abs=0.9 * 0.005 + 0.001)


def test_spikformer_takes_the_heads_average_for_spikes(weighted, counts):
    head = Part(kind="real", elements=10, nonzero=4, dense_macs=100, valid_macs=100, events=40)
    stem = real(weighted, 50, op="conv", layer="stem")
    total = counts(stem, weighted(head, quantum=None, layer="head"), convention="spikformer")
    assert (total.macs, total.sops) == (50, 0.4 * 100)


def test_without_a_convolution_the_first_operation_is_the_encoder(weighted, counts):
    total = counts(real(weighted, 50), spiking(weighted, 30, layer="fc2"), convention="spikformer")
    assert (total.macs, total.sops) == (50, 30)


# -- Spikingformer's script -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGS)
def test_spikingformer_energy_log(weighted, product, name):
    """The authors' log, re-added: 54 layers and eight attentions whose q, k, v rates the log prints."""
    log = LOGS[name]
    tokens, heads, steps = log["tokens"], log["heads"], log["T"]
    width = log["dim"] // heads
    scale = 10**12
    ops, neurons = [], []
    for layer in log["layers"]:
        dense = round(layer["dense_ops"])
        if layer["mac"]:
            ops.append(real(weighted, dense, layer=layer["name"], op="conv", steps=steps))
            continue
        share = round(scale * layer["ac"] / layer["dense_ops"])
        part = Part(kind="spikes", elements=scale, nonzero=share, level_sum=share, dense_macs=dense, valid_macs=dense)
        ops.append(weighted(part, layer=layer["name"], op="conv", histogram=[scale - share, share], steps=steps))
    for block, rates in enumerate(log["qkv_firing_rate"]):
        for letter, rate in zip("qkv", rates, strict=True):
            spikes = round(rate * 10**12)
            neurons.append(
                NeuronRecord(layer=f"{block}.{letter}", type="LIFNode", spikes=spikes, updates=10**12, level_sum=spikes)
            )
        ops += _linear_attention(product, block, steps, heads, tokens, width)
    report = price(Activity(samples=1, ops=ops, neurons=neurons), convention="spikingformer-script")
    published = log["published"]
    attention = [row.acs for row in report.rows if row.op == "matmul"]
    assert sum(attention) == pytest.approx(sum(log["ssa_ac_per_block"]), rel=1e-9)
    assert report.totals.macs == pytest.approx(published["G_MACs"] * 1e9, rel=1e-15)
    assert report.totals.acs == pytest.approx(published["G_ACs"] * 1e9, rel=1e-9)
    assert report.energy_pj / MJ == pytest.approx(published["energy_mJ"], abs=2e-9)


def _linear_attention(product, block, steps, heads, tokens, width):
    dense = steps * heads * tokens * width * width
    part = Part(kind="spikes", elements=1, nonzero=1, level_sum=1, dense_macs=dense, valid_macs=dense)
    q, k, v = ({"quantum": 1.0, "levels": 1, "fed_by": [f"{block}.{letter}"]} for letter in "qkv")
    kv = {"quantum": 1.0, "levels": tokens, "fed_by": [f"{block}.k", f"{block}.v"]}
    shapes = {"left": [width, tokens], "right": [tokens, width]}, {"left": [tokens, width], "right": [width, width]}
    return [
        product(part, left=k, right=v, layer=f"{block}.attn", index=0, shape=shapes[0]),
        product(part, left=q, right=kv, layer=f"{block}.attn", index=1, shape=shapes[1]),
    ]


def spikformer_4_384(weighted, product) -> Activity:
    """One image through the official CIFAR model, T = 4, residual streams holding a value of at least 2."""
    steps, tokens, dim, heads = 4, 64, 384, 12
    ops, lines, neurons = [], [], []

    def conv(name: str, cin: int, cout: int, size: int, encoder: bool = False) -> None:
        macs, elements = steps * size**2 * cin * cout * 9, steps * cin * size**2
        part = Part(kind="real" if encoder else "spikes", elements=elements, nonzero=elements // 4,
                    level_sum=elements // 4, dense_macs=macs, valid_macs=macs)  # fmt: skip
        ops.append(weighted(part, layer=f"patch_embed.{name}", op="conv", quantum=None if encoder else 1.0,
                            fed_by=["input" if encoder else "lif"], histogram=None if encoder else [3, 1],
                            shape={"output": [cout, size, size]}))  # fmt: skip
        norm_and_lif(f"patch_embed.{name}", cout * size**2)

    def linear(name: str, cin: int, cout: int, integer: bool) -> None:
        macs, elements = steps * tokens * cin * cout, steps * tokens * cin
        part = Part(kind="spikes", elements=elements, nonzero=elements // 4, level_sum=elements // 2, dense_macs=macs,
                    valid_macs=macs)  # fmt: skip
        ops.append(weighted(part, layer=f"{name}_linear", histogram=[2, 1, 1] if integer else [3, 1],
                            levels=2 if integer else 1, shape={"input": [cin], "output": [cout], "weight": [cin, cout]},
                            bias_adds=steps * tokens * cout))  # fmt: skip
        norm_and_lif(name, tokens * cout)

    def norm_and_lif(name: str, size: int) -> None:
        lines.append(ElementwiseRecord(layer=f"{name}_bn", op="batch_norm", elements=steps * size, foldable=True))
        lif(f"{name}_lif", size)

    def lif(name: str, size: int) -> None:
        neurons.append(NeuronRecord(layer=name, type="LIFNode", size=size, steps=steps, updates=steps * size))

    conv("proj_conv", 3, 48, 32, encoder=True)
    conv("proj_conv1", 48, 96, 32)
    conv("proj_conv2", 96, 192, 32)
    conv("proj_conv3", 192, 384, 16)
    conv("rpe_conv", 384, 384, 8)
    for name, size in (("2", 192 * 32 * 32), ("3", 384 * 16 * 16)):
        lines.append(ElementwiseRecord(layer=f"patch_embed.maxpool{name}", op="pool", elements=steps * size, nonzero=9))
    for block in range(4):
        for name in "qkv":
            linear(f"block.{block}.attn.{name}", dim, dim, integer=True)
        ops.extend(_quadratic_attention(product, block, steps, heads, tokens, dim // heads))
        lif(f"block.{block}.attn.attn_lif", tokens * dim)
        linear(f"block.{block}.attn.proj", dim, dim, integer=False)
        linear(f"block.{block}.mlp.fc1", dim, 4 * dim, integer=True)
        linear(f"block.{block}.mlp.fc2", 4 * dim, dim, integer=False)
    head = Part(kind="real", elements=dim, nonzero=dim, dense_macs=dim * 10, valid_macs=dim * 10)
    ops.append(weighted(head, layer="head", quantum=None, steps=1, bias_adds=10,
                        shape={"input": [dim], "output": [10], "weight": [dim, 10]}))  # fmt: skip
    return Activity(samples=1, ops=ops, neurons=neurons, elementwise=lines)


def _quadratic_attention(product, block, steps, heads, tokens, width):
    dense = steps * heads * tokens * tokens * width
    part = Part(kind="spikes", elements=1, dense_macs=dense, valid_macs=dense)
    q, k, v = ({"quantum": 1.0, "levels": 1, "fed_by": [f"block.{block}.attn.{letter}_lif"]} for letter in "qkv")
    qk = {"quantum": 1.0, "levels": width, "fed_by": q["fed_by"] + k["fed_by"]}
    shapes = {"left": [tokens, width], "right": [width, tokens]}, {"left": [tokens, tokens], "right": [tokens, width]}
    return [
        product(part, left=q, right=k, layer=f"block.{block}.attn", index=0, shape=shapes[0]),
        product(part, left=qk, right=v, layer=f"block.{block}.attn", index=1, shape=shapes[1]),
    ]


def test_spikingformer_script_totals_of_4_384(weighted, product):
    """The closed form of the totals that the unmodified script prints for the official model."""
    activity = spikformer_4_384(weighted, product)
    assert sum(op.dense_macs for op in activity.ops) == 3_736_145_664
    totals = spikingformer_script.operations(activity)
    contractions = 3_685_814_016
    norms, neurons, pools, biases = 10_813_440, 5_799_936, 1_179_648, 55_306
    assert totals.total == contractions + norms + neurons + pools + biases == 3_703_662_346
    stem = 4 * 32 * 32 * 48 * 27
    integer_layers = 4 * (3 * (4 * 64 * 384 * 384 + 4 * 384) + 4 * 64 * 384 * 1536 + 4 * 1536)
    assert totals.macs == stem + integer_layers + (3840 + 10) + norms == 1_073_133_322


def test_its_energy_drops_layers_called_linear(weighted, product):
    """5,312,266 MACs: the stem and the head; the sixteen integer layers are named *_linear."""
    report = price(spikformer_4_384(weighted, product), convention="spikingformer-script")
    assert report.totals.macs == 4 * 32 * 32 * 48 * 27 + 3850 == 5_312_266
    assert not [row for row in report.rows if "linear" in row.layer]
    assert dict(report.left_out)["linear"] == 4 * (4 * 9_437_184 + 2 * 37_748_736) * 4
    assert report.lower_bound


def test_its_attention_in_either_order(product, counts):
    """T·h·N·d²·(min(rate of k, rate of v) + rate of q), N = 64, d = 32, h = 12, T = 4."""
    neurons = [
        NeuronRecord(layer=f"block.0.attn.{letter}_lif", type="LIFNode", spikes=spikes, updates=100)
        for letter, spikes in (("q", 14), ("k", 10), ("v", 8))
    ]
    ops = _quadratic_attention(product, 0, 4, 12, 64, 32)
    total = counts(*ops, convention="spikingformer-script", neurons=neurons)
    assert total.acs == pytest.approx(4 * 12 * 64 * 32**2 * (0.08 + 0.14))


def test_a_value_of_two_anywhere_makes_a_layer_multiply(weighted, counts):
    part = Part(kind="spikes", elements=10, nonzero=4, level_sum=5, dense_macs=100, valid_macs=100)
    for histogram, expected in (([6, 4], (40, 0)), ([6, 3, 1], (0, 100))):
        op = weighted(part, op="conv", layer="fc_conv", levels=2, histogram=histogram)
        total = counts(op, convention="spikingformer-script")
        assert (total.acs, total.macs) == expected


# -- NeuroBench, syops-counter ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"histogram": [1, 2]}, (4, 0)),
        ({"histogram": [1, 2], "signed": True}, (4, 0)),
        ({"histogram": [1, 2], "quantum": 0.5}, (0, 4)),
        ({"histogram": [1, 1, 1], "levels": 2}, (0, 4)),
        ({"quantum": None}, (0, 4)),
    ],
)
def test_neurobench_counts_effective_operations(weighted, counts, fields, expected):
    """W = [[1.3, 0, −3.2], [0, 1.2, −5.1], [−1.1, 2.7, 0]] on (0, x, y): 9 dense, 4 of which meet a weight."""
    weights, x = [[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]], [0, 1, 1]
    effective = sum(bool(w and v) for row in weights for w, v in zip(row, x, strict=True))
    part = Part(kind="real" if fields.get("quantum", 1) is None else "spikes", elements=3, nonzero=2, dense_macs=9,
                valid_macs=9, events=6, by_value=8, effective=effective)  # fmt: skip
    total = counts(weighted(part, **fields), convention="neurobench")
    assert (total.acs, total.macs) == expected


def test_neurobench_has_no_products_of_data(product, counts):
    side = {"quantum": 1.0, "levels": 1}
    op = product(Part(kind="spikes", elements=1, nonzero=1, events=5, dense_macs=9), left=side, right=side)
    assert counts(op, convention="neurobench") == conventions.Counts()


@pytest.mark.parametrize(
    ("macs", "acs", "mj"),
    [(0.14, 0.10, 0.734), (2.75, 0.50, 13.10), (0.20, 1.69, 2.441), (1.82, 0.0, 8.372)],
    ids=["spiking_resnet18", "sew_resnet18", "dsnn18", "resnet18"],
)
def test_syops_counter_table(weighted, macs, acs, mj):
    ops = [real(weighted, round(macs * 1e9)), spiking(weighted, acs * 1e9)]
    assert price(Activity(samples=1, ops=ops)).energy_pj / MJ == pytest.approx(mj, abs=1e-9)


@pytest.mark.parametrize("row", PUBLISHED["spikingformer"]["imagenet_224_T4"][:3], ids=lambda row: row["model"])
def test_spikingformer_readme(weighted, row):
    """0.9 pJ × OPs + 4.6 pJ × (T × own first convolution + head with its bias)."""
    dim = int(row["model"].rsplit("-", 1)[1])
    stem, head = 4 * 224 * 224 * (dim // 8) * 27, dim * 1000 + 1000
    ops = [real(weighted, stem + head), spiking(weighted, row["ops_G"] * 1e9)]
    mj = price(Activity(samples=1, ops=ops)).energy_pj / MJ
    assert mj == pytest.approx(row["power_mJ"], abs=0.9 * 0.005 + 0.005)
