"""Layers on the cores of a chip: packings and messages by hand, SANA-FE's own network, limits, files of one's own."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part, Run
from snnprof.errors import SnnprofError
from snnprof.hardware import load_hardware, names
from snnprof.mapping import Chip, Mapping, Placement, chips, load_chip, load_target, map_to_chip
from snnprof.mapping.chip import Cores, Limit
from snnprof.pricing import price
from snnprof.repricing import on_every_list

RUNS = Path(__file__).parent / "data" / "runs"


def part(events: int, elements: int = 0, kind: str = "spikes") -> Part:
    return Part(
        kind=kind, elements=elements, nonzero=elements, level_sum=elements, events=events, by_value=events,
        effective=events, left=events, right=events, dense_macs=events, valid_macs=events,
    )  # fmt: skip


def spikes_of(layer: str) -> Operand:
    return Operand(role="data", quantum=1.0, levels=1, fed_by=[layer])


def dense(layer: str, inputs: int, outputs: int, source: str = "input", events: int = 0, **fields: Any) -> OpRecord:
    return OpRecord(
        layer=layer, op="linear", steps=2, shape={"input": [inputs], "output": [outputs], "weight": [outputs, inputs]},
        weights=inputs * outputs, feeds=[f"{layer}.lif"], parts=[part(events)],
        operands=[spikes_of(source), Operand(role="weight")], **fields,
    )  # fmt: skip


def conv(
    layer: str, read: list[int], made: list[int], kernel: list[int], source: str = "input", events: int = 0,
    stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1, transposed: bool = False,
) -> OpRecord:  # fmt: skip
    axes = len(kernel)
    weight = [read[0], made[0] // groups, *kernel] if transposed else [made[0], read[0] // groups, *kernel]
    shape = {
        "input": read, "output": made, "weight": weight, "stride": [stride] * axes, "padding": [padding] * axes,
        "dilation": [dilation] * axes, "groups": groups, "transposed": transposed,
    }  # fmt: skip
    return OpRecord(
        layer=layer, op="conv", steps=2, shape=shape, weights=math.prod(weight), feeds=[f"{layer}.lif"],
        parts=[part(events)], operands=[spikes_of(source), Operand(role="weight")],
    )  # fmt: skip


def lif(layer: str, size: int, spikes: int = 0, driven: int = 0, steps: int = 2) -> NeuronRecord:
    return NeuronRecord(
        layer=layer, type="LIF", size=size, steps=steps, spikes=spikes, level_sum=spikes, updates=size * steps,
        driven=driven,
    )  # fmt: skip


def ran(*records: OpRecord | NeuronRecord, timesteps: int = 2) -> Activity:
    return Activity(
        run=Run(timesteps=timesteps), samples=1,
        ops=[each for each in records if isinstance(each, OpRecord)],
        neurons=[each for each in records if isinstance(each, NeuronRecord)],
    )  # fmt: skip


def at(mapping: Mapping, layer: str) -> Placement:
    return next(each for each in mapping.placements if each.layer.name == layer)


def cut(mapping: Mapping, layer: str) -> tuple[int, int]:
    grid = at(mapping, layer).grid
    return grid.positions, grid.channels


def codes(activity: Activity, chip: Any, hardware: str = "loihi1-sanafe") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in price(activity, hardware, mapping=chip).findings:
        found.setdefault(finding.code, []).append(finding.layer)
    return found


# -- packing ------------------------------------------------------------------------------------------------------


def test_a_dense_layer_is_cut_by_its_weights():
    """1000 inputs × 8 bits in 1,048,576 bits: 131 neurons a core, so 300 neurons take 3 cores."""
    mapping = map_to_chip(ran(dense("fc", 1000, 300), lif("fc.lif", 300)), "loihi1")
    assert 1_048_576 // (1000 * 8) == 131
    assert (cut(mapping, "fc.lif"), mapping.cores, mapping.chips) == ((1, 3), 3, 1)
    assert at(mapping, "fc.lif").grid.limits == ("synapse_bits",)


def test_a_dense_layer_with_more_inputs_than_axons_has_no_place():
    activity = ran(dense("fc", 5000, 10, "a"), lif("a", 5000, 7), lif("fc.lif", 10))
    mapping = map_to_chip(activity, "loihi1")
    assert at(mapping, "fc.lif").cores is None
    assert at(mapping, "fc.lif").grid.broken == {"axons_in": (5000, 4096)}
    assert (mapping.cores, mapping.whole) == (math.ceil(5000 / 1024), False)
    assert at(mapping, "a").messages is None, "where its spikes go is not known"
    report = price(activity, "loihi1-sanafe", mapping="loihi1")
    assert report.unpriced == [("spike without known messages", 7), ("hop", 7)]
    assert codes(activity, "loihi1")["M01"] == ["fc.lif"]


def test_a_convolution_is_cut_along_positions_and_its_kernel_stays_whole():
    """16 channels of 15 × 15: 64 positions fill a core of 1024 neurons, so 225 positions take 4."""
    mapping = map_to_chip(ran(conv("c", [1, 32, 32], [16, 15, 15], [3, 3], stride=2), lif("c.lif", 3600)), "loihi1")
    assert 1024 // 16 == 64
    assert math.ceil(225 / 64) == 4
    assert cut(mapping, "c.lif") == (4, 1)
    assert at(mapping, "c.lif").grid.limits == ("neurons",)


def test_a_kernel_too_large_for_a_core_is_cut_along_channels():
    """512 · 9 weights of 8 bits for each of 512 filters: 28 filters a core, so at least 19 runs of channels."""
    mapping = map_to_chip(ran(conv("c", [512, 4, 4], [512, 4, 4], [3, 3], padding=1), lif("c.lif", 8192)), "loihi1")
    filters = 1_048_576 // (512 * 9 * 8)
    assert (filters, math.ceil(512 / filters)) == (28, 19)
    assert cut(mapping, "c.lif") == (1, 19)


def test_too_few_ways_out_of_a_core_are_said():
    """Each of 1000 neurons of a, all on one core, sends to the 10 cores of b: 10,000 ways out of 4096."""
    activity = ran(dense("b", 1000, 1310, "a"), lif("a", 1000, 1), lif("b.lif", 1310))
    mapping = map_to_chip(activity, "loihi1")
    assert (cut(mapping, "b.lif"), cut(mapping, "a")) == ((1, math.ceil(1310 / 131)), (1, 1))
    assert at(mapping, "a").messages == 10
    assert codes(activity, "loihi1")["M03"] == ["a"]
    few = ran(dense("b", 1000, 524, "a"), lif("a", 1000, 1), lif("b.lif", 524))
    assert "M03" not in codes(few, "loihi1"), "1000 neurons × 4 cores are 4000"


def test_no_smaller_cut_keeps_the_limits():
    """Beside all cuts of small layers, by trying each."""
    kind = Cores(count=Limit(value=9), neurons=Limit(value=7), synapses=Limit(value=60), axons_in=Limit(value=9))
    chip = load_chip("loihi1").model_copy(update={"cores": [kind], "mesh": None, "time": None})
    for channels, side, padding in itertools.product((1, 3, 4), (3, 4), (0, 1)):
        made = side + 2 * padding - 1
        op = conv("c", [2, side, side], [channels, made, made], [2, 2], padding=padding)
        mapping = map_to_chip(ran(op, lif("c.lif", channels * made * made)), type(load_target("loihi1"))(chip))
        best = min(
            p * c for p in range(1, made * made + 1) for c in range(1, channels + 1) if fits(op, p, c, channels, made)
        )  # fmt: skip
        assert at(mapping, "c.lif").cores == best


def fits(op: OpRecord, p: int, c: int, channels: int, made: int) -> bool:
    rows, columns = math.ceil(made * made / p), math.ceil(channels / c)
    fields = [len({source for _, source in links(op, run)}) for run in runs(made * made, p)]
    return rows * columns <= 7 and columns * 8 <= 60 and max(fields) <= 9


def runs(size: int, count: int) -> list[range]:
    """As even as they go, the longer ones first."""
    bounds = [0, *itertools.accumulate(size // count + (i < size % count) for i in range(count))]
    return [range(a, b) for a, b in itertools.pairwise(bounds)]


def links(op: OpRecord, wanted: Any) -> set[tuple[int, int]]:
    """(output position, input position) of a plain 2-D convolution, one tap after the other."""
    _, height, width = op.shape["input"]
    _, _, made = op.shape["output"]
    found = set()
    for out in wanted:
        for dy, dx in itertools.product(*(range(k) for k in op.shape["weight"][2:])):
            y = out // made * op.shape["stride"][0] + dy * op.shape["dilation"][0] - op.shape["padding"][0]
            x = out % made * op.shape["stride"][1] + dx * op.shape["dilation"][1] - op.shape["padding"][1]
            if 0 <= y < height and 0 <= x < width:
                found.add((out, y * width + x))
    return found


# -- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 1, 1, 4)]
)
def test_messages_are_the_cores_that_a_spike_reaches(stride, padding, dilation, groups, tmp_path):
    """Beside a loop over every synapse."""
    made = (8 + 2 * padding - dilation * 2 - 1) // stride + 1
    op = conv(
        "c", [4, 8, 8], [8, made, made], [3, 3], "a", stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    file = own(tmp_path, "cores: {c.lif: {positions: 3, channels: 5}, a: 2}")
    mapping = map_to_chip(ran(op, lif("a", 256), lif("c.lif", 8 * made * made)), file)
    place = {out: i for i, run in enumerate(runs(made * made, 3)) for out in run}
    column = {channel: i for i, run in enumerate(runs(8, 5)) for channel in run}
    reached = set()
    for out, source in links(op, range(made * made)):
        for channel, filter in itertools.product(range(4), range(8)):
            if channel * groups // 4 == filter * groups // 8:
                reached.add((channel, source, place[out], column[filter]))
    assert at(mapping, "a").messages == pytest.approx(len(reached) / 256)


def test_tokens_reach_the_cores_of_their_own_token():
    """16 tokens × 64 → 256: a core of 1024 neurons holds 4 whole tokens, and a spike goes to one core."""
    mapping = map_to_chip(ran(dense("fc", 64, 256, "a"), lif("a", 16 * 64, 5), lif("fc.lif", 16 * 256)), "loihi1")
    assert (cut(mapping, "fc.lif"), at(mapping, "a").messages) == ((4, 1), 1)


def test_a_transposed_convolution_joins_the_other_way_round():
    """2 × 2 → 4 × 4 with a kernel of 2 and stride 2: each input reaches four outputs of its own."""
    op = conv("up", [1, 2, 2], [1, 4, 4], [2, 2], "a", stride=2, transposed=True)
    mapping = map_to_chip(ran(op, lif("a", 4), lif("up.lif", 16)), "loihi1")
    near, far = at(mapping, "up.lif").layer.connections[0].links
    assert sorted(zip(near.tolist(), far.tolist(), strict=True)) == sorted(
        (y * 2 + x, (2 * y + dy) * 4 + 2 * x + dx) for y, x, dy, dx in itertools.product(range(2), repeat=4)
    )


def test_hops_are_distances_of_tiles(tmp_path):
    """a on core 0 (tile 0), b on cores 1 to 20: tiles 0 to 5, column by column of 4, so 4 and 5 are one to the east."""
    file = own(tmp_path, "cores: {b.lif: {channels: 20}}")
    mapping = map_to_chip(ran(dense("b", 10, 20, "a"), lif("a", 10, 3), lif("b.lif", 20)), file)
    tiles = [core // 4 for core in range(1, 21)]
    route = mapping.traffic.of("a")
    assert route.messages == 20
    assert route.east_west == pytest.approx(sum(tile // 4 for tile in tiles))
    assert route.north_south == pytest.approx(sum(tile % 4 for tile in tiles))
    report = price(ran(dense("b", 10, 20, "a"), lif("a", 10, 3), lif("b.lif", 20)), "loihi1-sanafe", mapping=mapping)
    assert report.totals.parts["message"] == pytest.approx(3 * 20 * 111.0)
    assert report.totals.parts["hop east or west"] == pytest.approx(3 * route.east_west * 3.0)


SANAFE_SPIKES = {"in": 3064, "c1.lif": 2867, "c2.lif": 7453, "c3.lif": 19_091, "c4.lif": 5735, "fc.lif": 40}
SANAFE_EVENTS = 5_462_418
SANAFE_MESSAGES, SANAFE_EAST_WEST, SANAFE_NORTH_SOUTH = 259_191, 191_968, 302_350


def sanafes_network() -> Activity:
    """The counts of SANA-FE 2.2.9 on its network for DVS gestures, its tutorial's input and 128 steps."""
    sizes = {"in": 1024, "c1.lif": 3600, "c2.lif": 5408, "c3.lif": 7744, "c4.lif": 891, "fc.lif": 11}
    return ran(
        conv("c1", [1, 32, 32], [16, 15, 15], [3, 3], "in", stride=2),
        conv("c2", [16, 15, 15], [32, 13, 13], [3, 3], "c1.lif"),
        conv("c3", [32, 13, 13], [64, 11, 11], [3, 3], "c2.lif"),
        conv("c4", [64, 11, 11], [11, 9, 9], [3, 3], "c3.lif"),
        dense("fc", 891, 11, "c4.lif"),
        *(lif(name, size, SANAFE_SPIKES[name], steps=128) for name, size in sizes.items()),
        timesteps=128,
    )  # fmt: skip


def test_sanafes_own_cut_gives_its_messages_and_hops(tmp_path):
    """Its tutorial cuts along channels, so a spike goes to every core of the next layer. What is left is the spikes'
    place: SANA-FE knows which neurons spiked, a run file only how many."""
    file = own(
        tmp_path,
        "cores: {in: 1, c1.lif: {channels: 4}, c2.lif: {channels: 16}, c3.lif: {channels: 16}, "
        "c4.lif: {channels: 4}, fc.lif: 1}",
    )
    mapping = map_to_chip(sanafes_network(), file)
    sent = {name: SANAFE_SPIKES[name] * (mapping.traffic.of(name).messages or 0) for name in SANAFE_SPIKES}
    assert sum(sent.values()) == pytest.approx(SANAFE_MESSAGES, rel=0.003)
    routes = {name: mapping.traffic.of(name) for name in SANAFE_SPIKES if name != "fc.lif"}
    assert sum(SANAFE_SPIKES[n] * r.east_west for n, r in routes.items()) == pytest.approx(SANAFE_EAST_WEST, rel=0.04)
    assert sum(SANAFE_SPIKES[n] * r.north_south for n, r in routes.items()) == pytest.approx(
        SANAFE_NORTH_SOUTH, rel=0.04
    )
    assert codes(sanafes_network(), file)["M03"] == ["c1.lif", "c2.lif"], "more ways out than NengoLoihi allows"


def test_our_packing_of_sanafes_network_sends_a_fifth_of_the_messages():
    mapping = map_to_chip(sanafes_network(), "loihi1")
    assert [each.cores for each in mapping.placements] == [1, 4, 6, 8, 1, 1]
    assert mapping.messages_per_spike == pytest.approx(1.282, abs=5e-4), "of all spikes but the last layer's"
    assert SANAFE_MESSAGES / sum(SANAFE_SPIKES.values()) == pytest.approx(6.776, abs=5e-4)


# -- what a chip cannot do ----------------------------------------------------------------------------------------


def product(left: str, right: str) -> OpRecord:
    return OpRecord(
        layer="attn", op="matmul", steps=2, shape={"left": [4, 8], "right": [8, 4]}, feeds=["out"],
        parts=[part(9)], operands=[spikes_of(left), spikes_of(right)],
    )  # fmt: skip


def test_products_of_data_have_no_place_and_their_inputs_no_known_messages():
    activity = ran(dense("q", 4, 32), product("q.lif", "k"), lif("q.lif", 32, 3), lif("k", 32, 2), lif("out", 16, 1))
    mapping = map_to_chip(activity, "loihi1")
    assert [op.layer for op in mapping.unplaced] == ["attn"]
    assert [each.messages for each in mapping.placements] == [None, None, None]
    report = price(activity, "loihi1-sanafe", mapping=mapping)
    assert dict(report.unpriced)["spike without known messages"] == 6
    assert report.totals.parts["sop"] == 9 * 35.5, "they are priced all the same"
    assert codes(activity, "loihi1")["M02"] == ["attn"]


def test_real_inputs_and_graded_spikes_are_said():
    real = dense("stem", 4, 8)
    real.parts[0] = part(32, 8, "real")
    loud = lif("loud", 4, 2).model_copy(update={"level_sum": 5})
    activity = ran(real, lif("stem.lif", 8), loud)
    assert codes(activity, "loihi1")["M04"] == ["stem", "loud"]
    assert codes(activity, "loihi2")["M04"] == ["stem"], "Loihi 2 has graded spikes"


def test_an_operation_that_feeds_several_layers_is_said_to_be_repeated():
    op = dense("stem", 4, 8)
    op.feeds = ["a", "b"]
    activity = ran(op, lif("a", 8), lif("b", 8))
    assert codes(activity, "loihi1")["M07"] == ["stem"]
    assert [len(each.layer.connections) for each in map_to_chip(activity, "loihi1").placements] == [1, 1]


def test_truenorth_sends_a_spike_to_one_core():
    activity = ran(dense("b", 200, 600, "a"), lif("a", 200, 1), lif("b.lif", 600))
    mapping = map_to_chip(activity, "truenorth")
    assert cut(mapping, "b.lif") == (1, math.ceil(600 / 256))
    assert codes(activity, "truenorth", "truenorth-linear")["M03"] == ["a"]


def test_a_chip_whose_layers_are_not_cut_gives_each_the_core_that_holds_it():
    """20,000 neurons need a core of 32,768 or 65,536; 40,000 weights one of 65,536."""
    activity = ran(
        conv("big", [2, 100, 100], [2, 100, 100], [1, 1]), conv("wide", [200, 4, 4], [200, 4, 4], [1, 1], "big.lif"),
        dense("small", 10, 10), lif("big.lif", 20_000), lif("wide.lif", 3200), lif("small.lif", 10),
    )  # fmt: skip
    mapping = map_to_chip(activity, "speck")
    sizes = [load_chip("speck").cores[each.grid.kind] for each in mapping.placements]
    assert sizes[0].neurons.value >= 20_000
    assert sizes[1].synapses.value >= 40_000
    assert (mapping.cores, mapping.chips, mapping.whole) == (3, 1, True)


def test_ten_layers_do_not_fit_on_nine_cores():
    layers = [dense(f"l{i}", 8, 8) for i in range(10)]
    activity = ran(*layers, *(lif(f"l{i}.lif", 8) for i in range(10)))
    assert map_to_chip(activity, "speck").chips == 2
    assert codes(activity, "speck") == {**codes(activity, "speck"), "M01": [""]}


def test_a_chip_of_one_core_holds_all_layers_together():
    small = ran(dense("a", 16, 60), dense("b", 60, 8, "a.lif"), lif("a.lif", 60, 4), lif("b.lif", 8))
    mapping = map_to_chip(small, "xylo")
    assert (mapping.cores, mapping.chips, mapping.whole, at(mapping, "a.lif").messages) == (1, 1, True, 1)
    large = ran(dense("a", 16, 900), dense("b", 60, 900), lif("a.lif", 900), lif("b.lif", 900))
    assert map_to_chip(large, "xylo").together == {"neurons": (1800, 1008), "synapses": (900 * 76, 64_000)}


# -- time and static power ----------------------------------------------------------------------------------------


def test_static_energy_follows_from_fixed_steps():
    """3 layers of 256 on TrueNorth: 3 cores on one chip; T steps of a millisecond."""
    activity = ran(
        *(dense(f"l{i}", 256, 256) for i in range(3)), *(lif(f"l{i}.lif", 256) for i in range(3)), timesteps=7
    )
    report = price(activity, "truenorth-linear", mapping="truenorth")
    static = load_hardware("truenorth-linear").static
    assert (report.mapping.cores, report.mapping.latency_s) == (3, pytest.approx(7e-3))
    units = {"chip": 1, "core": 3}[static.per]
    assert report.totals.terms["static"] == pytest.approx(static.power_w * units * 7e-3 * 1e12)
    given = price(activity, "truenorth-linear", latency_s=1.0, mapping="truenorth")
    assert given.totals.terms["static"] == pytest.approx(static.power_w * units * 1e12), "a given latency counts more"


def test_the_time_of_a_step_is_that_of_the_busiest_core():
    """All on loihi1.yaml: 100 neurons looked at, 60 / 2 driven, 10 / 2 spikes to one core, 8 / 2 messages in,
    400 / 2 events; the barrier of one tile."""
    activity = ran(
        dense("b", 50, 100, "a", 400), dense("c", 100, 10, "b.lif", 1),
        lif("a", 50, 8), lif("b.lif", 100, 10, 60), lif("c.lif", 10),
    )  # fmt: skip
    by_hand = 100 * 6.0 + 30 * 3.7 + 5 * 30.0 + 5 * 5.1 + 4 * 16.0 + 200 * 3.8
    mapping = map_to_chip(activity, "loihi1")
    assert mapping.step_s == pytest.approx(by_hand * 1e-9 + 0.6e-6)
    assert mapping.latency_s == pytest.approx(2 * mapping.step_s)
    static = price(activity, "loihi1-davies2018", mapping=mapping)
    assert static.totals.terms["static"] == pytest.approx(static.hardware.static.power_w * mapping.latency_s * 1e12)
    assert "M06" in {finding.code for finding in static.findings}


def test_a_chip_without_a_model_of_time_has_none():
    mapping = map_to_chip(sanafes_network(), "loihi2")
    assert (mapping.step_s, mapping.latency_s) == (None, None)


def test_hops_are_not_given_beside_a_mapping():
    with pytest.raises(SnnprofError, match="hops or mapping"):
        price(sanafes_network(), "loihi1-sanafe", hops=2, mapping="loihi1")


def test_prices_of_another_machine_are_said():
    assert "M05" in codes(ran(lif("a", 3000, 9), dense("b", 3000, 100, "a"), lif("b.lif", 100)), "loihi2")
    assert "M05" not in codes(sanafes_network(), "loihi1")


# -- chips and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", chips())
def test_each_chip_is_in_order(id):
    chip = load_chip(id)
    assert chip.id == id
    assert [name for name, limit in chip.limits() if limit.source is None and not limit.note] == []
    announced = {"loihi2-bound-pilotnet", "speck-yao2024"}
    assert set(chip.prices) <= {*names(), *announced}
    for run in RUNS.glob("*.json"):
        mapping = map_to_chip(run, id)
        assert mapping.cores or not mapping.whole
        json.dumps([each.messages for each in mapping.placements], allow_nan=False)


def own(folder: Path, body: str, chip: str = "loihi1") -> Path:
    file = folder / "own.yaml"
    file.write_text(f"schema: snnprof.mapping/1\nchip: {chip}\n{body}\n", encoding="utf-8")
    return file


def test_a_file_of_ones_own_names_cores_and_limits(tmp_path):
    activity = ran(
        dense("fc", 1000, 300), lif("fc.lif", 300), conv("c", [1, 6, 6], [2, 6, 6], [1, 1]), lif("c.lif", 72)
    )
    file = own(tmp_path, "cores: {c.lif: 9}\nlimits: {neurons: 100, synapse_bits: null}\nweight_bits: 4")
    mapping = map_to_chip(activity, file)
    assert (cut(mapping, "fc.lif"), cut(mapping, "c.lif")) == ((1, 3), (9, 1))
    assert (mapping.chip.weight_bits.value, mapping.chip.cores[0].synapse_bits) == (4, None)
    four_bits = map_to_chip(activity, own(tmp_path, "weight_bits: 4"))
    assert cut(four_bits, "fc.lif") == (1, math.ceil(300 / 262))


def test_a_chip_of_ones_own(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(
        "schema: snnprof.chip/1\nid: toy\ntitle: Toy\ncores: [{count: 4, neurons: 10}]\nshared_kernels: true\n"
        "spikes: binary\nsources: [{id: me, access: read}]\n",
        encoding="utf-8",
    )
    mapping = map_to_chip(ran(dense("fc", 5, 45), lif("fc.lif", 45)), file)
    assert (mapping.cores, mapping.chips, mapping.latency_s) == (5, 2, None)


def test_the_files_on_the_page_are_in_order(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "mapping.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page, re.S)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, encoding="utf-8")
        assert map_to_chip(RUNS / "spikformer.json", file).cores > 30


HOSTILE = {
    "no schema": ("chip: loihi1", "must be snnprof.chip/1 or snnprof.mapping/1"),
    "unknown chip": ("schema: snnprof.mapping/1\nchip: loihi9", "unknown chip 'loihi9'"),
    "unknown layer": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {'<script>': 2}", "no layer '<script>'"),
    "no cores": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {stem: 0}", "whole number from 1 on"),
    "nan": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {stem: .nan}", "whole number"),
    "half": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {stem: 2.5}", "whole number"),
    "text": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {stem: many}", "whole number"),
    "both": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {stem: {cores: 2, channels: 2}}", "not both"),
    "unknown limit": ("schema: snnprof.mapping/1\nchip: loihi1\nlimits: {brain: 2}", "unknown limit 'brain'"),
    "unknown key": ("schema: snnprof.mapping/1\nchip: loihi1\ncoers: {}", "unknown key"),
    "a list": ("- 1\n- 2", "must be a mapping"),
    "no yaml": ("schema: [", "not valid YAML"),
    "anchors": ("schema: &a snnprof.mapping/1\nchip: *a", "anchors"),
    "too many": ("schema: snnprof.mapping/1\nchip: loihi1\ncores: {fc2.lif: 1000000}", "cannot be cut"),
    "bits": ("schema: snnprof.mapping/1\nchip: truenorth\nlimits: {synapse_bits: 9}", "needs weight_bits"),
    "a chip without cores": ("schema: snnprof.chip/1\nid: x\ntitle: X\ncores: []\nshared_kernels: true\n"
                             "spikes: binary\nsources: [{id: a, access: read}]", "cores"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "complaint"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_not_in_order_is_one_sentence(text, complaint, tmp_path, capsys):
    file, run = tmp_path / "bad.yaml", tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    ran(dense("fc2", 4, 8), lif("fc2.lif", 8)).save(run)
    assert main(["report", str(run), "--mapping", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert "bad.yaml" in err or "weight_bits" in err
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("name", ["loihi", "missing.yaml", "", "../..", "\x1b[2J"])
def test_a_chip_that_is_not_there_is_one_sentence(name, tmp_path, capsys):
    run = tmp_path / "run.json"
    ran(lif("a", 8)).save(run)
    assert main(["report", str(run), "--mapping", name]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2


HOSTILE_SHAPES: list[dict[str, Any]] = [
    {"input": [1, 10**7, 10**7], "output": [1, 10**7, 10**7], "weight": [1, 1, 3, 3]},
    {"stride": [0, 0]}, {"stride": [1]}, {"stride": "2"}, {"padding": [-1, 0]}, {"dilation": [1.5, 1]}, {"groups": 0},
    {"groups": "two"}, {"output": []}, {"input": [True, 2]}, {"weight": [4]}, {"output": [10**12, 6, 6]},
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE_SHAPES, ids=str)
@pytest.mark.parametrize("chip", ["loihi1", "spinnaker1"])
def test_shapes_of_no_sense_neither_fail_nor_take_for_ever(change, chip):
    op = conv("c", [2, 6, 6], [4, 6, 6], [3, 3], "a", padding=1)
    op.shape |= change
    mapping = map_to_chip(ran(op, lif("a", 72, 1), lif("c.lif", 144)), chip)
    assert math.isfinite(at(mapping, "a").messages or 0)
    vast = ran(dense("fc", 10, 10, "a"), lif("a", 10**12, 1), lif("fc.lif", 10**12))
    assert map_to_chip(vast, chip).cores > 10**8


def test_other_price_lists_of_a_page_are_not_those_of_the_chip():
    activity = ran(dense("fc", 1000, 300, "a"), lif("a", 1000, 20), lif("fc.lif", 300, 5))
    first = price(activity, "loihi1-sanafe", mapping="loihi1")
    again = {each.hardware.id: each for each in on_every_list([first])}
    assert again["loihi1-davies2018"].totals.terms["static"] is not None
    assert again["truenorth-linear"].mapping is None


def test_a_cut_of_ones_own_keeps_its_place_and_its_fault_is_said(tmp_path):
    activity = ran(dense("fc", 1000, 300, "a"), lif("a", 1000, 1), lif("fc.lif", 300))
    file = own(tmp_path, "cores: {fc.lif: 2}")
    mapping = map_to_chip(activity, file)
    assert (at(mapping, "fc.lif").cores, mapping.whole, at(mapping, "a").messages) == (2, True, 2)
    assert at(mapping, "fc.lif").grid.broken == {"synapse_bits": (150 * 1000 * 8, 1_048_576)}
    assert codes(activity, file)["M01"] == ["fc.lif"]


def test_an_empty_run_and_hostile_names_map():
    assert map_to_chip(ran(), "loihi1").cores == 0
    name = "<script>_%{}|" + "n" * 300
    activity = ran(dense(name, 4, 8), lif(f"{name}.lif", 8, 2))
    report = price(activity, "loihi1-sanafe", mapping="loihi1")
    assert report.mapping.cores == 1
    assert "<script>_" not in report.to_html()


# -- on the screen ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "run.json"
    ran(dense("fc", 1000, 300, "a"), lif("a", 1000, 20), lif("fc.lif", 300, 5)).save(path)
    return str(path)


def test_each_format_has_the_mapping(saved, capsys):
    """a on one core; fc on 3 by its weights. Where the spikes of fc go is not known."""
    seen = {}
    for form in ("summary", "table", "json", "csv", "markdown", "html", "latex"):
        assert main(["report", saved, "--mapping", "loihi1", "--format", form]) == 0
        seen[form] = capsys.readouterr().out
    assert "4 cores on 1 chip · 3 messages a spike" in seen["summary"]
    mapping = json.loads(seen["json"])["mapping"]
    assert (mapping["chip"], mapping["cores"], mapping["chips"], mapping["complete"]) == ("loihi1", 4, 1, True)
    assert [layer["messages_per_spike"] for layer in mapping["layers"]] == [3, None]
    head, *rows = seen["csv"].splitlines()
    assert head.endswith("cores,messages_per_spike,hops_per_spike")
    assert any(row.endswith(",1,3,0") for row in rows)
    for form in ("table", "markdown", "html", "latex"):
        assert "Layers on Loihi 1" in seen[form]


def test_a_mapping_alone_uses_the_prices_of_its_chip(saved, capsys):
    assert main(["report", saved, "--mapping", "loihi1", "--format", "json"]) == 0
    hardware = [each["id"] for each in json.loads(capsys.readouterr().out)["hardware"]]
    assert hardware == load_chip("loihi1").prices
    assert main(["report", saved, "--mapping", "dynap-se", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["hardware"][0]["id"] == "cmos45-fp32"


def test_comparisons_take_a_mapping(saved, capsys):
    assert main(["compare", saved, saved, "--mapping", "loihi1"]) == 0
    assert "loihi1-sanafe" in capsys.readouterr().out


def test_chips_are_listed_and_shown(capsys):
    assert main(["hardware", "list"]) == 0
    out = capsys.readouterr().out
    assert all(id in out for id in chips())
    for id in chips():
        assert main(["hardware", "show", id]) == 0
        assert "cores on a chip" in capsys.readouterr().out
    assert main(["hardware", "show", "speck", "--format", "json"]) == 0
    assert Chip.model_validate(json.loads(capsys.readouterr().out)["chip"]).id == "speck"
