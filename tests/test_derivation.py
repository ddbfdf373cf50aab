"""Where a layer's figures come from: closed forms against what the recorder counted, and each step's numbers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import snnprof
from snnprof import derivation
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.derivation import Derivation, closed_form, derivations
from snnprof.errors import SnnprofError

ROOT = Path(__file__).parent.parent
RUNS = sorted((ROOT / "tests" / "data" / "runs").glob("*.json"))


class Net(nn.Module):
    """A convolution with stride and groups, a transposed one, a linear layer on tokens, and two products of data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
        self.up = nn.ConvTranspose2d(6, 2, 2, stride=2, bias=False)
        self.token = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes = (self.conv(x) > 0).float()
        tokens = (self.up(spikes) > 0).float().flatten(1, 2)
        attention = (tokens @ tokens.transpose(1, 2) > 1).float()
        mean: torch.Tensor = self.token(attention @ tokens).mean(1)
        return mean


@pytest.fixture(scope="module")
def net() -> Activity:
    torch.manual_seed(0)
    return snnprof.profile(Net(), (torch.rand(3, 4, 8, 8) > 0.5).float(), timesteps=1, self_check=False)


def figures(found: Derivation) -> dict[str, float | None]:
    return {step.what: step.value for step in found.steps}


def test_closed_forms_are_the_dense_macs_of_a_sample(net: Activity) -> None:
    """By hand: 6·4·4 outputs × 4/2 channels × 3·3; 6·4·4 inputs × 2 channels × 2·2; 8 → 5 for 16 tokens; 16×8×16."""
    by_hand = {"conv": 6 * 16 * 2 * 9, "up": 96 * 2 * 4, "token": 8 * 5, "": 16 * 8 * 16}
    for op in net.ops:
        assert math.prod(closed_form(op)) == by_hand[op.layer]
        assert op.dense_macs == 3 * by_hand[op.layer] * (16 if op.layer == "token" else 1)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_closed_forms_divide_what_was_recorded(path: Path) -> None:
    """Each operation ran a whole number of times: steps × samples, for each head where it has several."""
    activity = Activity.load(path)
    for op in activity.ops:
        once = math.prod(closed_form(op))
        assert once
        assert op.dense_macs % once == 0
        assert (op.dense_macs // once) % ((op.steps or 1) * (activity.samples or 1)) == 0


@pytest.mark.parametrize("hardware", ["cmos45-fp32", "cmos45-fp32-mem", "loihi1-davies2018", "rolls-77fj"])
@pytest.mark.parametrize("convention", ["exact", "spikformer"])
def test_every_layer_of_a_run_is_explained_by_its_own_numbers(hardware: str, convention: str) -> None:
    """The steps of all lines add up to the report's totals."""
    report = snnprof.price(ROOT / "tests/data/runs/saformer.json", hardware, convention)
    found = [figures(each) for layer in derivation.layers(report) for each in derivations(report, layer)]
    assert sum(each.get("SOPs") or 0 for each in found) == pytest.approx(report.totals.sops)
    assert sum(each.get("MACs") or 0 for each in found) == pytest.approx(report.totals.macs)
    energy = sum(each.get("energy per inference") or 0 for each in found)
    assert energy == pytest.approx(report.per_inference(report.energy_pj))


@pytest.mark.parametrize(
    "hardware", ["cmos45-fp32-mem", "lemaire2022-int32", "cmos45-fp32-reuse-os", "loihi1-sanafe", "loihi1-davies2018"]
)
def test_an_energy_is_what_its_formula_gives(hardware: str) -> None:
    """Counts × prices of the text, added up, are the figure beside it."""
    report = snnprof.price(ROOT / "tests/data/runs/saformer.json", hardware)
    steps = [s for layer in derivation.layers(report) for each in derivations(report, layer) for s in each.steps]
    energies = [step for step in steps if step.what.endswith(" energy")]
    assert len(energies) > 10
    for step in energies:
        products = re.findall(r"(\d[\d,.]*) [\w ]+? × (\d[\d.e+-]*) pJ", step.how)
        assert step.value == pytest.approx(sum(float(n.replace(",", "")) * float(pj) for n, pj in products), rel=1e-5)


def test_the_steps_of_a_layer_in_order(net: Activity) -> None:
    (found,) = derivations(snnprof.price(net, "cmos45-fp32"), "conv")
    (op,) = [op for op in net.ops if op.layer == "conv"]
    assert [step.what for step in found.steps] == [
        "shape", "dense MACs", "valid MACs", "non-zero inputs", "events", "SOPs", "rate × MACs", "sop energy",
        "SOPs per inference", "energy per inference",
    ]  # fmt: skip
    assert found.steps[0].how.startswith("4×8×8 → 6×4×4, weight 6×2×3×3, stride 2×2, padding 1×1, groups 2")
    assert found.steps[1].how == "96 outputs × 2 × 3 × 3 × 1 time step × 3 samples"
    numbers = figures(found)
    assert (numbers["dense MACs"], numbers["events"], numbers["SOPs"]) == (op.dense_macs, op.events, op.events)
    assert numbers["sop energy"] == pytest.approx(0.9 * op.events)
    assert found.steps[7].how.startswith(f"{op.events:,} SOPs × 0.9 pJ (cmos45-fp32, M. Horowitz")


def test_what_has_no_price_is_said() -> None:
    report = snnprof.price(ROOT / "tests/data/runs/saformer.json", "cmos45-fp32")
    neuron = next(layer for layer in derivation.layers(report) if layer.endswith("proj_lif"))
    steps = {step.what: step for each in derivations(report, neuron) for step in each.steps}
    assert steps["unpriced neuron update"].how.endswith("it is missing from the energy, not 0")
    assert "energy" not in steps


@pytest.mark.parametrize(
    ("convention", "layer", "what", "how"),
    [
        ("exact", "conv", "SOPs", "one for each event of spikes"),
        ("exact:attention=left", "(root)", "SOPs", "each non-zero of the left operand × all products"),
        ("exact:attention=dense", "(root)", "SOPs", "all products, zeros included"),
        ("neurobench", "conv", "SOPs", "one for each event of spikes on a weight that is not zero"),
        ("formula", "up", "SOPs", "input rate"),
        ("spikformer", "conv", "MACs", "convention spikformer multiplies here: dense MACs"),
        ("spikingformer-script", "conv", "SOPs", "input rate"),
    ],
)
def test_the_rule_beside_a_count_is_the_one_that_gives_it(
    net: Activity, convention: str, layer: str, what: str, how: str
) -> None:
    found = derivations(snnprof.price(net, "cmos45-fp32", convention), layer)[0]
    (step,) = [step for step in found.steps if step.what == what]
    assert step.how.startswith(how)
    assert not {"SOPs", "MACs"} - {what} & {step.what for step in found.steps}


def test_a_layer_that_a_convention_leaves_out_is_explained() -> None:
    """A batch norm behind a biased convolution has no line, nor has a neuron layer under Spikformer's convention."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    activity = snnprof.profile(net, (torch.rand(2, 1, 5, 5) > 0.5).float(), timesteps=1, self_check=False)
    report = snnprof.price(activity, "cmos45-fp32")
    assert "1" in derivation.layers(report)
    (norm,) = derivations(report, "1")
    assert "folds into the weights" in norm.steps[-1].how
    run = snnprof.price(ROOT / "tests/data/runs/saformer.json", "cmos45-fp32", "spikformer")
    neuron = run.activity.neurons[0]
    (left_out,) = derivations(run, neuron.layer)
    assert figures(left_out)["spikes"] == neuron.spikes
    assert left_out.steps[-1].how == "convention spikformer does not count this operation"


def test_unknown_layers_get_suggestions(net: Activity) -> None:
    report = snnprof.price(net)
    with pytest.raises(SnnprofError, match="unknown layer 'tokn'") as caught:
        derivations(report, "tokn")
    assert "'token'" in caught.value.hint
    inner = snnprof.price(ROOT / "tests/data/runs/saformer.json")
    with pytest.raises(SnnprofError, match="computes nothing itself") as caught:
        derivations(inner, "block.0.mlp")
    assert "block.0.mlp.fc1_conv" in caught.value.hint


def test_a_run_file_may_have_any_name_that_is_no_term(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "tests/data/runs/saformer.json").read_text(encoding="utf-8")
    for name in ("My Run.JSON", "first-run", "sops"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert main(["explain", name]) == 0
        assert ("patch_embed.proj_conv\n" in capsys.readouterr().out) == (name != "sops")


def test_explain_prints_layers_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(ROOT / "tests/data/runs/saformer.json")
    assert main(["explain", run]) == 0
    layers = capsys.readouterr().out.split()
    assert main(["explain", run, layers[0], "--format", "json"]) == 0
    loaded = json.loads(capsys.readouterr().out)
    assert loaded["schema"] == "snnprof.derivation/0"
    assert [row["step"] for row in loaded["rows"]][:2] == ["shape", "dense MACs"]
    for form in ("table", "csv", "markdown", "latex", "html"):
        assert main(["explain", run, layers[0], layers[1], "--format", form, "--hardware", "rolls-77fj"]) == 0
        assert "dense MACs" in capsys.readouterr().out
    assert main(["explain", "W02", "--format", "json"]) == 2
    assert main(["explain", "missing.json", "x"]) == 2
