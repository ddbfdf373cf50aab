"""Memory traffic with reuse: a layer worked by hand, the closed forms by loops that count, an independent tool."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part
from snnprof.conventions import Counts
from snnprof.estimates import memory_traffic
from snnprof.hardware import HardwareProfile, check, load_hardware
from snnprof.memory import cost, memory_work
from snnprof.pricing import price
from snnprof.reuse import Traffic, traffic

KILO = 1024
Tool = Callable[..., dict[str, list[dict[str, int]]]]
FLOWS = {"weight": "ws", "output": "os", "row": "rs"}
Words = dict[tuple[str, str], tuple[float, float]]


def on(dataflow: str, first_bytes: float | None = None) -> HardwareProfile:
    """The bundled profile, perhaps with another first level."""
    hardware = load_hardware(f"cmos45-fp32-reuse-{FLOWS[dataflow]}")
    assert hardware.memory is not None
    if first_bytes is None:
        return hardware
    first, *others = hardware.memory.levels
    levels = [first.model_copy(update={"capacity_bytes": first_bytes}), *others]
    return hardware.model_copy(update={"memory": hardware.memory.model_copy(update={"levels": levels})})


def conv(spikes: int, samples: int = 1, **shape: Any) -> Activity:
    """32 → 64 channels, 3 × 3, on 8 × 8, same padding, T = 4; `spikes` over the run, none of them at an edge."""
    shape = {
        "input": [32, 8, 8],
        "output": [64, 8, 8],
        "weight": [64, 32, 3, 3],
        "stride": [1, 1],
        "groups": 1,
        **shape,
    }
    weights, places = math.prod(shape["weight"]), math.prod(shape["output"][1:])
    runs, dense = samples * 4, weights * places
    met = spikes * 9 * 64
    part = Part(kind="spikes", elements=runs * 2048, nonzero=spikes, level_sum=spikes,
                dense_macs=runs * dense, valid_macs=runs * dense, events=met, by_value=met, effective=met)  # fmt: skip
    op = OpRecord(layer="conv", op="conv", calls=runs, steps=4, shape=shape, weights=weights, feeds=["lif"],
                  parts=[part], operands=[Operand(role="data", quantum=1.0, levels=1)])  # fmt: skip
    lif = NeuronRecord(layer="lif", type="IF", found_by="class", size=64 * places, steps=4, spikes=700 * samples,
                       level_sum=700 * samples, spikes_per_step=[], updates=runs * 64 * places, driven=0)  # fmt: skip
    return Activity(samples=samples, ops=[op], neurons=[lif])


def words(activity: Activity, hardware: HardwareProfile, counts: Counts | None = None) -> Words:
    op = activity.ops[0]
    counts = counts or Counts(sops=op.events)
    return summed(traffic(op, counts, activity, hardware), hardware)


def summed(moved: list[Traffic] | None, hardware: HardwareProfile) -> Words:
    assert moved is not None
    assert hardware.memory is not None
    reads, writes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in moved:
        key = each.tensor, hardware.memory.levels[each.level].name
        reads[key] += each.reads  # type: ignore[assignment]
        writes[key] += each.writes  # type: ignore[assignment]
    return {key: (reads[key], writes[key]) for key in reads | writes}


# -- the worked layer of docs/reuse.md ---------------------------------------------------------------------------

SPIKES = 1000  # over four steps; each meets 9 · 64 = 576 weights, as if there were no edges
EVENTS, WEIGHTS, OUTPUTS = SPIKES * 576, 18_432, 4 * 4096
WORKED: dict[str, Words] = {
    "weight": {  # K·9·32 bits = 18,432 bits fit into 65,536: one part; W·R = 73,728 < E
        ("weights", "sram_1m"): (73_728, 0), ("weights", "sram_8k"): (576_000, 73_728),
        ("inputs", "sram_8k"): (1000, 0), ("state", "sram_32k"): (592_384, 592_384), ("outputs", "sram_8k"): (0, 700),
    },
    "output": {  # K·9 states of 32 bits: one part
        ("weights", "sram_1m"): (576_000, 0), ("inputs", "sram_8k"): (1000, 0),
        ("state", "sram_8k"): (608_768, 608_768), ("state", "sram_32k"): (16_384, 16_384),
        ("outputs", "sram_8k"): (0, 700),
    },
    "row": {  # three kernel rows; K·3·64 bits: one part; D / 3 > E = 576,000
        ("weights", "sram_1m"): (73_728, 0), ("weights", "sram_8k"): (576_000, 73_728),
        ("inputs", "sram_8k"): (3000, 0), ("state", "sram_8k"): (576_000, 576_000),
        ("state", "sram_32k"): (592_384, 592_384), ("outputs", "sram_8k"): (0, 700),
    },
}  # fmt: skip


@pytest.mark.parametrize("dataflow", FLOWS)
def test_the_worked_layer(dataflow: str) -> None:
    """Weights take 73,728 bytes (1 MB), states 16,384 (32 KB), spikes one bit each (8 KB); each word one access."""
    assert words(conv(SPIKES), on(dataflow)) == WORKED[dataflow]


@pytest.mark.parametrize("dataflow", FLOWS)
def test_its_energy(dataflow: str) -> None:
    prices = {"sram_8k": 10, "sram_32k": 20, "sram_1m": 100}
    expected = sum((reads + writes) * prices[level] for (_, level), (reads, writes) in WORKED[dataflow].items())
    report = price(conv(SPIKES), on(dataflow))
    assert report.totals.terms["memory"] == pytest.approx(expected)
    assert report.totals.terms["sop"] == pytest.approx(0.9 * EVENTS)
    assert summed([moved for _, moved, _ in memory_traffic(report)], report.hardware) == WORKED[dataflow]


# -- the closed forms ----------------------------------------------------------------------------------------------


def counted(dataflow: str, taps: int, width: int, into: int, out: int, first_words: int) -> Words:
    """The loops of a dense layer on a row of pixels without edges, each word counted as it moves.

    A ring of `width` pixels, so that every pixel meets all taps; one step; homes are level 1.
    """
    moved: dict[tuple[str, str], list[float]] = {}

    def count(tensor: str, level: str, reads: int = 0, writes: int = 0) -> None:
        entry = moved.setdefault((tensor, level), [0, 0])
        entry[0] += reads
        entry[1] += writes

    words_of_channel = {"weight": out * taps, "output": out * taps, "row": 2 * out * taps}[dataflow]
    parts = math.ceil(words_of_channel / first_words)
    for _channel in range(into):
        for part in range(parts):
            meets = out * taps // parts + (part < out * taps % parts)
            if dataflow != "output":
                count("weights", "home", reads=meets)
                count("weights", "first", writes=meets)
            for _pixel in range(width):
                count("inputs", "home", reads=1)
                for _event in range(meets):
                    if dataflow == "weight":
                        count("weights", "first", reads=1)
                        count("state", "home", reads=1, writes=1)
                    elif dataflow == "output":
                        count("weights", "home", reads=1)
                        count("state", "first", reads=1, writes=1)
                    else:
                        count("weights", "first", reads=1)
                        count("state", "first", reads=1, writes=1)
        if dataflow == "row":  # a sum of one kernel row is complete
            count("state", "home", reads=width * out, writes=width * out)
    for _output in range(width * out):  # the update
        if dataflow == "output":
            count("state", "home", reads=1, writes=1)
            count("state", "first", reads=2, writes=2)  # in, the update, and out
        else:
            count("state", "home", reads=1, writes=1)
    return {key: (reads, writes) for key, (reads, writes) in moved.items()}


@pytest.mark.parametrize("dataflow", FLOWS)
@pytest.mark.parametrize("first_words", [8, 24, 1000])
def test_loops_that_count_say_the_same(dataflow: str, first_words: int) -> None:
    taps, width, into, out = 3, 40, 6, 8
    hardware = on(dataflow, first_words * 4)
    assert hardware.memory is not None
    home = hardware.memory.levels[1].model_copy(update={"capacity_bytes": None})
    tiny = hardware.memory.levels[0].model_copy(update={"capacity_bytes": first_words * 4.0})
    memory = hardware.memory.model_copy(update={"levels": [tiny, home]})
    hardware = hardware.model_copy(update={"memory": memory})
    dense = taps * into * out * width
    part = Part(
        kind="real", elements=into * width, nonzero=into * width, dense_macs=dense, valid_macs=dense, events=dense
    )
    shape = {"input": [into, width], "output": [out, width], "weight": [out, into, taps], "stride": [1], "groups": 1}
    op = OpRecord(layer="c", op="conv", calls=1, steps=1, shape=shape, weights=out * into * taps, parts=[part],
                  operands=[Operand(role="data")])  # fmt: skip
    moved = traffic(op, Counts(macs=dense), Activity(samples=1, ops=[op]), hardware)
    names = {"sram_8k": "first", home.name: "home"}
    found = {(tensor, names[level]): each for (tensor, level), each in summed(moved, hardware).items()}
    expected = counted(dataflow, taps, width, into, out, first_words)
    if first_words == 1000:  # weights (144 words), inputs (240) and states (320) live in the first level themselves
        assert {level for _, level in found} == {"first"}
        assert found["weights", "first"][0] == dense
        return
    found.pop(("outputs", "home"))  # written once each: what the loops leave out
    assert found == expected


@pytest.mark.parametrize("dataflow", FLOWS)
def test_the_batch_changes_nothing(dataflow: str) -> None:
    """Twice the samples are twice the traffic, in whatever batches they came."""
    hardware = on(dataflow)
    one, two = (words(conv(n * SPIKES, samples=n), hardware) for n in (1, 2))
    assert two == {key: (2 * reads, 2 * writes) for key, (reads, writes) in one.items()}


def test_a_smaller_first_level_takes_inputs_more_often() -> None:
    """64 · 9 words of 4 bytes are 2304 bytes: three parts of 1 KB."""
    assert words(conv(SPIKES), on("weight", KILO))["inputs", "sram_8k"] == (3 * SPIKES, 0)
    assert words(conv(SPIKES), on("output", KILO))["inputs", "sram_8k"] == (3 * SPIKES, 0)
    assert words(conv(SPIKES), on("row", KILO))["inputs", "sram_8k"] == (3 * 2 * SPIKES, 0)  # 64 · 3 · 8 bytes: two


def test_weights_without_a_spike_are_not_loaded() -> None:
    for dataflow in ("weight", "row"):
        assert words(conv(2), on(dataflow))["weights", "sram_1m"] == (2 * 576, 0)
    silent = words(conv(0), on("weight"), Counts())
    assert silent == {("state", "sram_32k"): (16_384, 16_384), ("outputs", "sram_8k"): (0, 700)}


def test_strides_and_groups_spread_an_input_less() -> None:
    strided = conv(SPIKES, stride=[2, 2], output=[64, 4, 4])
    depthwise = conv(SPIKES, weight=[32, 1, 3, 3], output=[32, 8, 8], groups=32)
    assert words(strided, on("row"))["inputs", "sram_8k"] == (2 * SPIKES, 0)
    small = on("weight", 32)  # 9 weights of 4 bytes: two parts
    assert words(depthwise, small)["inputs", "sram_32k"] == (2 * SPIKES, 0)


@pytest.mark.parametrize("dataflow", FLOWS)
def test_the_ann_twin_follows_the_same_rule(dataflow: str) -> None:
    """One dense step on real values: N is every element, E every MAC."""
    hardware, activity = on(dataflow), conv(SPIKES)
    op, dense = activity.ops[0], 18_432 * 64
    part = Part(kind="real", elements=2048, dense_macs=dense, valid_macs=dense)
    alone = op.model_copy(update={"parts": [part], "steps": 1})
    work = memory_work(alone, Counts(macs=dense), activity, hardware)
    assert work is not None
    assert price(activity, hardware).ann_twin.energy_pj == pytest.approx(4.6 * dense + cost(work))
    found = summed(traffic(alone, Counts(macs=dense), activity, hardware), hardware)
    loaded = {"weight": WEIGHTS, "row": WEIGHTS, "output": dense}[dataflow]
    assert found["weights", "sram_1m"] == (loaded, 0)
    assert found["inputs", "sram_8k"] == ({"row": 3 * 2048}.get(dataflow, 2048), 0)


def test_other_profiles_are_as_before() -> None:
    """The sums of cmos45-fp32-mem over the worked layer, from its own rule: a read, and a state each way, an event."""
    memory = load_hardware("cmos45-fp32-mem").memory
    assert memory is not None
    assert (memory.accesses, memory.dataflow) == ("events", None)
    weights = 20 + (100 - 20) * (73_728 - 32_768) / (1_048_576 - 32_768)
    state = 10 + (20 - 10) * (16_384 - 8192) / (32_768 - 8192)
    report = price(conv(SPIKES), "cmos45-fp32-mem")
    assert report.totals.terms["memory"] == pytest.approx(EVENTS * weights + 2 * (EVENTS + OUTPUTS) * state)


def test_what_cannot_be_told_is_unpriced(activity: Activity) -> None:
    report = price(activity, "cmos45-fp32-reuse-ws")
    matmuls = [row for row in report.rows if row.op == "matmul"]
    assert matmuls
    assert all("memory access" in row.unpriced for row in matmuls)


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        ("{accesses: reuse, dataflow: null}", "reuse needs a dataflow"),
        ("{accesses: events}", "dataflow: is for accesses: reuse"),
        ("{interpolate: clamp-linear}", "reuse needs levels, interpolate: none"),
        ("{dataflow: column}", "dataflow"),
    ],
)
def test_a_profile_states_its_dataflow(memory: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "extends: cmos45-fp32-reuse-ws\nid: mine\nschema: snnprof.hardware/1\ntitle: t\n"
    path.write_text(f"{text}memory: {memory}\n")
    assert any(said in str(problem) for problem in check(path)), check(path)


# -- an independent tool ---------------------------------------------------------------------------------------------


@pytest.fixture
def zigzag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """ZigZag (pip install zigzag-dse six) on one arithmetic unit: accesses of each operand, nearest level first."""
    pytest.importorskip("six", reason="zigzag-dse is not installed")
    api = pytest.importorskip("zigzag.api", reason="zigzag-dse is not installed")
    monkeypatch.chdir(tmp_path)

    def memory(words: int, operands: dict[str, str], shared: bool = False) -> dict[str, Any]:
        ports = [
            {"name": f"{kind}_port_{number}", "type": {"r": "read", "w": "write"}[kind], "bandwidth_min": 32,
             "bandwidth_max": 32, "allocation": [f"{operand}, {way}"]}
            for number, (operand, way, kind) in enumerate(
                (operand, way, "w" if way[0] == "f" else "r")
                for operand, ways in operands.items()
                for way in ways.split()
            )
        ]  # fmt: skip
        return {"size": 32 * words, "r_cost": 1, "w_cost": 1, "area": 0, "latency": 1, "operands": list(operands),
                "ports": ports, "served_dimensions": ["D1"] if shared else []}  # fmt: skip

    def run(
        first: dict[str, int], loops: dict[str, int], equation: str, relations: list[str]
    ) -> dict[str, list[dict[str, int]]]:
        """`first`: words of the first level for W and O; `loops`: innermost first."""
        ways = {"W": {"I2": "tl fh"}, "O": {"O": "fh tl fl th"}}
        memories = {"register": memory(1, {"I1": "tl fh"})}
        memories |= {f"first_{operand}": memory(words, ways[operand]) for operand, words in first.items()}
        memories["home"] = memory(10**6, {"I1": "tl", "I2": "tl", "O": "tl fl"}, shared=True)
        array = {"input_precision": [32, 32], "unit_energy": 0, "unit_area": 1, "dimensions": ["D1"], "sizes": [1]}
        layer = {"id": 0, "name": "layer", "operator_type": "Conv", "equation": equation, "loop_dims": list(loops),
                 "loop_sizes": list(loops.values()), "dimension_relations": relations,
                 "operand_precision": {"W": 32, "I": 32, "O": 32, "O_final": 32},
                 "operand_source": {"I": 0, "W": 0}}  # fmt: skip
        mapping = {"name": "default", "spatial_mapping": {}, "temporal_ordering": [[d, n] for d, n in loops.items()],
                   "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}  # fmt: skip
        written = {"hardware": {"name": "one", "memories": memories, "operational_array": array}, "layer": [layer],
                   "mapping": [mapping]}  # fmt: skip
        for name, content in written.items():
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        evaluated = api.get_hardware_performance_zigzag(
            "layer.yaml", "hardware.yaml", "mapping.yaml", opt="energy", dump_folder="out",
            pickle_filename="out/found.pickle", loma_show_progress_bar=False,
        )[2][0][1][0][0]  # fmt: skip
        return {
            operand.name: [{way.name: count for way, count in level.data.items()} for level in levels]
            for operand, levels in evaluated.memory_word_access.items()
        }

    return run


def dense(shape: dict[str, Any], dataflow: str, first_bytes: float) -> Words:
    """Our traffic of one dense step, states and weights behind the first level."""
    weights, outputs = math.prod(shape["weight"]), math.prod(shape["output"])
    linear = len(shape["weight"]) == 2
    macs = weights * shape["positions"] if linear else weights * outputs // shape["output"][0]
    elements = shape["positions"] * shape["input"][0] if linear else math.prod(shape["input"])
    part = Part(kind="real", elements=elements, dense_macs=macs, valid_macs=macs)
    op = OpRecord(layer="l", op="linear" if linear else "conv", calls=1, steps=1, shape=shape, weights=weights,
                  parts=[part], operands=[Operand(role="data")])  # fmt: skip
    return words(Activity(samples=1, ops=[op]), on(dataflow, first_bytes), Counts(macs=macs))


def at_home(found: Words, tensor: str) -> tuple[float, float]:
    """Of all levels but the first."""
    each = [moved for (name, level), moved in found.items() if name == tensor and level != "sram_8k"]
    return sum(reads for reads, _ in each), sum(writes for _, writes in each)


@pytest.mark.slow
def test_zigzag_counts_the_same_accesses_of_a_linear_layer(zigzag: Tool) -> None:
    """8 tokens, 32 → 64. ZigZag has no membrane: our update of each of 512 outputs comes on top of its partial sums."""
    shape = {"input": [32], "output": [64], "weight": [32, 64], "positions": 8}
    equation = "O[p][k]+=W[k][c]*I[p][c]"
    theirs = zigzag({"W": 64}, {"K": 64, "P": 8, "C": 32}, equation, [])
    ours = dense(shape, "weight", 256)
    assert at_home(ours, "weights")[0] == theirs["W"][1]["RD_OUT_TO_LOW"] == 2048
    assert ours["weights", "sram_8k"] == (theirs["W"][0]["RD_OUT_TO_LOW"], theirs["W"][0]["WR_IN_BY_HIGH"])
    assert at_home(ours, "inputs")[0] == theirs["I"][1]["RD_OUT_TO_LOW"] == 256
    assert at_home(ours, "state")[1] - 512 == theirs["O"][0]["WR_IN_BY_LOW"] == 16_384
    theirs = zigzag({"O": 64}, {"K": 64, "C": 32, "P": 8}, equation, [])
    ours = dense(shape, "output", 256)
    assert at_home(ours, "weights")[0] == theirs["W"][0]["RD_OUT_TO_LOW"] == 16_384
    assert at_home(ours, "inputs")[0] == theirs["I"][1]["RD_OUT_TO_LOW"] == 256
    assert at_home(ours, "state")[1] == theirs["O"][1]["WR_IN_BY_LOW"] == 512
    assert ours["state", "sram_8k"][1] - 2 * 512 == theirs["O"][0]["WR_IN_BY_LOW"] == 16_384


@pytest.mark.slow
def test_zigzag_counts_the_same_accesses_of_a_convolution(zigzag: Tool) -> None:
    """8 → 16 channels, 3 × 3, 8 × 8 → 6 × 6, rows stationary: weights, and sums over a kernel row; 576 outputs."""
    shape = {"input": [8, 8, 8], "output": [16, 6, 6], "weight": [16, 8, 3, 3], "stride": [1, 1], "groups": 1}
    equation, relations = "O[k][oy][ox]+=W[k][c][fy][fx]*I[c][iy][ix]", ["ix=1*ox+1*fx", "iy=1*oy+1*fy"]
    loops = {"K": 16, "FX": 3, "OX": 6, "OY": 6, "FY": 3, "C": 8}
    theirs = zigzag({"W": 48, "O": 16}, loops, equation, relations)
    ours = dense(shape, "row", 384)
    assert at_home(ours, "weights")[0] == theirs["W"][1]["RD_OUT_TO_LOW"] == 1152
    assert ours["weights", "sram_8k"] == (theirs["W"][0]["RD_OUT_TO_LOW"], theirs["W"][0]["WR_IN_BY_HIGH"])
    assert at_home(ours, "state")[1] - 576 == theirs["O"][1]["WR_IN_BY_LOW"] == 13_824
    assert ours["state", "sram_8k"][1] == theirs["O"][0]["WR_IN_BY_LOW"] == 41_472
