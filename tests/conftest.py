"""Fixtures that several test folders share: a small run made by hand, and golden files."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from snnprof.activity import (
    Accuracy,
    Activity,
    Block,
    DataFacts,
    ElementwiseRecord,
    Finding,
    LayerFlops,
    ModelFacts,
    NeuronRecord,
    Operand,
    OpRecord,
    Part,
    Run,
    op_counts,
)

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "data" / "golden"
HOSTILE_NAMES = ("a_b%c", "<script>alert(1)</script>", "x|y", "[red]z[/red]", "long." + "n" * 200)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/data/golden anew")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without --output are kept in a folder of the test's own, never in the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a golden file, or writes it under --regenerate-golden."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--regenerate-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        assert path.read_text(encoding="utf-8") == text, f"{name} changed; look, then --regenerate-golden"

    return check


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Loads a script that is in no package, by its path in the repository; once a session."""

    @functools.cache
    def load(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"snnprof_{Path(path).stem}", ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        if (folder := str((ROOT / path).parent)) not in sys.path:
            sys.path.append(folder)  # as where Python runs it, though last
        sys.modules[spec.name] = module  # dataclasses and pickle look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, beside a torch that its compiled part was not made for as well: its import names two operators."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        pytest.importorskip("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}() -> ()")
    return pytest.importorskip("torchvision")


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why tests were left out, a line for each reason, so that a run in which much was skipped shows it."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("tests that were skipped")
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count} × {reason}")


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture
def activity() -> Activity:
    """20 samples of a one-block spiking transformer with T = 2, in ten blocks of two samples."""
    return make_activity()


@pytest.fixture
def activity_maker() -> Callable[..., Activity]:
    return make_activity


@pytest.fixture
def run_file(tmp_path: Path, activity: Activity) -> Path:
    path = tmp_path / "run.json"
    activity.save(path)
    return path


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE_NAMES


@pytest.fixture
def hostile_activity() -> Activity:
    """The same run whose layers have names that break careless formats."""
    names = itertools.cycle(HOSTILE_NAMES)
    plain = make_activity()
    renamed = {op.layer: next(names) for op in plain.ops}
    ops = [op.model_copy(update={"layer": renamed[op.layer]}) for op in plain.ops]
    neurons = [n.model_copy(update={"layer": f"{n.layer}.{next(names)}"}) for n in plain.neurons]
    return plain.model_copy(update={"ops": ops, "neurons": neurons})


def make_activity(name: str = "spikformer", firing: int = 3, blocks: int = 10, seed: int = 0) -> Activity:
    """A run made by hand; `firing` scales how much spikes, the block number makes the blocks differ."""
    parts = (_block(name, firing, (position + seed) % 5, seed) for position in range(blocks))
    return functools.reduce(Activity.merge, parts)


SAMPLES, T, TOKENS, WIDTH, HIDDEN = 2, 2, 4, 8, 16


def _block(name: str, firing: int, extra: int, seed: int) -> Activity:
    """Two samples of: conv stem on an image, q/k/v, q@kᵀ, attn@v, projection, MLP, head on an average."""
    steps = SAMPLES * T
    spikes = steps * (firing + extra) * 4
    everything = steps * TOKENS * WIDTH
    ops = [
        _op("patch_embed.proj_conv", "conv", "real", 3 * 16, 3 * 16, 27 * WIDTH * 16, ["input"], valid=21 * WIDTH * 16),
        *(
            _op(f"block.0.attn.{x}_linear", "linear", "spikes", everything // steps, spikes // steps, TOKENS * WIDTH**2,
                ["patch_embed.rpe_lif"], levels=2, doubles=spikes // 8)
            for x in "qkv"
        ),
        _matmul("block.0.attn", 0, spikes, ["block.0.attn.q_lif", "block.0.attn.k_lif"]),
        _matmul("block.0.attn", 1, spikes // 2, ["block.0.attn.q_lif", "block.0.attn.v_lif"]),
        _op("block.0.attn.proj_linear", "linear", "spikes", everything // steps, spikes // steps // 2,
            TOKENS * WIDTH**2, ["block.0.attn.attn_lif"]),
        _op("block.0.mlp.fc1_linear", "linear", "spikes", everything // steps, spikes // steps, TOKENS * WIDTH * HIDDEN,
            ["patch_embed.rpe_lif"], levels=2, doubles=spikes // 8),
        _op("block.0.mlp.fc2_linear", "linear", "spikes", 2 * everything // steps, spikes // steps,
            TOKENS * WIDTH * HIDDEN, ["block.0.mlp.fc1_lif"]),
        _op("head", "linear", "real", WIDTH, WIDTH, WIDTH * 10, ["block.0.mlp.fc2_lif"], op_steps=1),
    ]  # fmt: skip
    neurons = [
        _neuron("patch_embed.rpe_lif", spikes), _neuron("block.0.attn.q_lif", spikes // 2),
        _neuron("block.0.attn.k_lif", spikes // 4), _neuron("block.0.attn.v_lif", spikes // 2),
        _neuron("block.0.attn.attn_lif", spikes // 8), _neuron("block.0.mlp.fc1_lif", spikes // 4, 2),
        _neuron("block.0.mlp.fc2_lif", spikes // 8),
    ]  # fmt: skip
    lines = [
        ElementwiseRecord(layer="block.0", op="add", elements=2 * everything, nonzero=spikes),
        ElementwiseRecord(layer="patch_embed.proj_bn", op="batch_norm", elements=everything, foldable=True),
        ElementwiseRecord(layer="block.0.attn", op="compare", elements=steps * TOKENS**2),
    ]
    correct = SAMPLES - (extra == 4)
    block = Block(
        samples=SAMPLES, correct=correct, ops=[op_counts(op) for op in ops],
        neurons=[[n.spikes, n.level_sum, n.updates, n.driven, *n.spikes_per_step] for n in neurons],
        elementwise=[[line.elements, line.nonzero] for line in lines],
    )  # fmt: skip
    return Activity(
        run=_run(name, seed), samples=SAMPLES, accuracy=Accuracy(correct=correct, total=SAMPLES), coverage=1.0,
        ops=ops, neurons=neurons, elementwise=lines, blocks=[block],
        layers=[LayerFlops(layer=op.layer, flops=op.dense_macs // SAMPLES) for op in ops if op.op != "matmul"],
        findings=[Finding(code="real_head", layer="head", text="the head reads an average, not spikes",
                          hint="priced as MAC")],
    )  # fmt: skip


def _run(name: str, seed: int) -> Run:
    return Run(
        versions={"snnprof": "0.1.0", "torch": "2.6.0", "python": "3.10.0"}, platform="Linux", device="cpu",
        dtype="float32", created="2026-01-02T03:04:05Z", layout="batch", timesteps=T, batch_size=2, seed=seed,
        argv=["profile", "--model", f"{name}:digits"],
        model=ModelFacts(source=f"{name}:digits", name=name, preset="digits", parameters=5000, parameters_used=4900,
                         checkpoint="digits.pt", sha256="0" * 64),
        data=DataFacts(source="digits", kind="digits", shape=[1, 8, 8], total=360, order_seed=0, fingerprint="f" * 16),
    )  # fmt: skip


def _op(
    layer: str, op: str, kind: str, elements: int, nonzero: int, macs: int, fed_by: list[str], levels: int = 1,
    doubles: int = 0, op_steps: int = T, valid: int | None = None,
) -> OpRecord:  # fmt: skip
    """A weighted operation; `elements`, `nonzero` and `macs` are per sample and step."""
    runs = SAMPLES * op_steps
    valid = macs if valid is None else valid
    events = valid * nonzero // elements * runs
    by_value = events + events * doubles // max(1, nonzero * runs)
    part = Part(
        kind=kind, elements=elements * runs, nonzero=nonzero * runs, level_sum=nonzero * runs + doubles,
        dense_macs=macs * runs, valid_macs=valid * runs, events=events, by_value=by_value, effective=events,
    )  # fmt: skip
    histogram = [(elements - nonzero) * runs, nonzero * runs - doubles, doubles][: levels + 1]
    spiking = kind == "spikes"
    data = Operand(
        role="data", quantum=1.0 if spiking else None, levels=levels if spiking else None,
        histogram=histogram if spiking else [], fed_by=fed_by, constant_over_time=not spiking,
    )  # fmt: skip
    return OpRecord(
        layer=layer, op=op, calls=1, steps=op_steps, weights=macs, bias_adds=10 * runs, parts=[part],
        operands=[data, Operand(role="weight")], shape={"input": [elements], "output": [macs // 8], "weight": [macs]},
    )  # fmt: skip


def _matmul(layer: str, index: int, events: int, fed_by: list[str]) -> OpRecord:
    dense = SAMPLES * T * TOKENS**2 * WIDTH
    elements = SAMPLES * T * TOKENS * WIDTH
    part = Part(
        kind="spikes", elements=elements, nonzero=events // 2, level_sum=events // 2, dense_macs=dense,
        valid_macs=dense, events=events, by_value=events, effective=events, left=2 * events, right=3 * events,
    )  # fmt: skip
    operands = [
        Operand(role="data", quantum=1.0, levels=1, fed_by=[name], histogram=[elements - events // 2, events // 2])
        for name in fed_by
    ]
    return OpRecord(
        layer=layer, op="matmul", index=index, calls=1, steps=T, parts=[part], operands=operands,
        shape={"left": [TOKENS, WIDTH], "right": [WIDTH, TOKENS], "output": [TOKENS, TOKENS]},
    )  # fmt: skip


def _neuron(layer: str, spikes: int, widening: int = 1) -> NeuronRecord:
    size = TOKENS * WIDTH * widening
    updates = SAMPLES * T * size
    return NeuronRecord(
        layer=layer, type="LIF", size=size, steps=T, spikes=spikes, level_sum=spikes,
        spikes_per_step=[spikes // 4, spikes - spikes // 4], updates=updates, driven=updates * 3 // 4,
    )  # fmt: skip
