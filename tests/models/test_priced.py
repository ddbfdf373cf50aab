"""What the bundled models did on real digits, on every machine; sums worked out from the raw counts."""

from __future__ import annotations

import pytest
import torch

import snnprof
from snnprof.conventions import spikingformer_script
from snnprof.hardware import load_hardware, names
from snnprof.models import digits
from snnprof.workload import models

MODELS = ("spikformer", "ssa_bin", "saformer", "sdt", "qkformer", "spikingformer")


@pytest.fixture(scope="module", params=MODELS)
def run(request) -> snnprof.Activity:
    images, _ = digits.load(16)
    model = models.load_model(f"{request.param}:digits")
    return snnprof.profile(model, torch.from_numpy(images[:2]), layout="batch", timesteps=4)


@pytest.mark.parametrize("id", names())
def test_every_machine_prices_every_model(run, id):
    report, profile = snnprof.price(run, id), load_hardware(id)
    terms, totals = report.totals.terms, report.totals
    assert totals.sops > 1e5
    assert terms["sop"] == pytest.approx(price_of_sops(report, profile))
    assert report.energy_pj == pytest.approx(sum(pj or 0.0 for pj in terms.values()))
    assert (terms["mac"] is None) == (profile.energy.mac is None)
    assert ("mac" in dict(report.unpriced)) == (profile.energy.mac is None)
    assert report.lower_bound
    silent, firing = report.energy_range_pj
    assert silent <= report.energy_pj <= firing


def price_of_sops(report, profile) -> float | None:
    """A product of two data operands is a matmul; null where another price contains that of synapses."""
    if "sop" in profile.supersedes:
        return None
    kinds = {op.key: "matmul" if len(op.data) > 1 else op.op for op in report.activity.ops}
    rows = [row for row in report.rows if row.category == "contraction"]
    return sum(row.sops * profile.synapse(kinds[row.layer, row.op, row.index]).value for row in rows)


def test_loihi_by_hand(run):
    """23.6 pJ per SOP; 81 pJ per driven neuron-step, 52 pJ per idle one; 1.7 pJ per spike, 3.5 pJ per hop."""
    driven = sum(neuron.driven for neuron in run.neurons)
    idle = sum(neuron.updates for neuron in run.neurons) - driven
    spikes = sum(neuron.spikes for neuron in run.neurons)
    assert min(driven, spikes) > 0
    report = snnprof.price(run, "loihi1-davies2018")
    assert report.totals.terms["neuron"] == pytest.approx(81 * driven + 52 * idle)
    assert report.totals.terms["spike"] == pytest.approx(1.7 * spikes)
    assert report.totals.terms["static"] is None
    assert dict(report.unpriced)["hop"] == spikes
    assert report.energy_pj == pytest.approx(23.6 * report.totals.sops + 81 * driven + 52 * idle + 1.7 * spikes)


def test_loihi_with_routers_and_a_latency(run):
    """2 hops per spike; 104 mW for 1 ms and 2 samples on one chip."""
    spikes = sum(neuron.spikes for neuron in run.neurons)
    known = snnprof.price(run, "loihi1-davies2018", latency_s=1e-3, hops=2)
    assert known.totals.terms["spike"] == pytest.approx((1.7 + 2 * 3.5) * spikes)
    assert known.totals.terms["static"] == pytest.approx(0.104 * 1e-3 * 2 * 1e12)
    assert "hop" not in dict(known.unpriced)


def test_spinnaker_by_hand(run):
    report = snnprof.price(run, "spinnaker1")
    updates = sum(neuron.updates for neuron in run.neurons)
    assert report.energy_pj == pytest.approx(13_300 * report.totals.sops + 26_000 * updates)


def test_the_spikingformer_scripts_totals_of_a_real_run():
    """The official script's totals for Spikformer-4-384, whatever its weights, if the residual streams hold a 2."""
    model = models.untrained("spikformer:4-384-cifar10").eval()
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.running_var.fill_(0.02)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    totals = spikingformer_script.operations(snnprof.profile(model, image, layout="batch", timesteps=4))
    assert (totals.total, totals.macs) == (3_703_662_346, 1_073_133_322)
