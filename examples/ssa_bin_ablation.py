"""The SSA_Bin ablation at digits size: how much each mechanism saves, on trained networks and several seeds.

    python examples/ssa_bin_ablation.py --output ablation/

Trains the paper's five attention rows and the SAFormer reconstruction with one budget, profiles each on the test
digits, and prints the paper's tables 1 and 2 for them in Markdown, then where the operations are. Finished
checkpoints and runs in the folder are used again. The row SSA is Spikformer itself, so it is not trained twice.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from train_digits import SIZE, save, train

import snnprof
from snnprof import catalogue, estimates
from snnprof.grouping import is_contraction, role_of
from snnprof.models import digits
from snnprof.pricing import EnergyReport
from snnprof.workload import models

ROWS = {
    "SSA (Spikformer)": "ssa_bin:digits-ssa",
    "binary baseline": "ssa_bin:digits-baseline",
    "centred (w/ shift)": "ssa_bin:digits-centred",
    "threshold (w/ mean)": "ssa_bin:digits-threshold",
    "SSA_Bin": "ssa_bin:digits",
    "SAFormer (reconstruction)": "saformer:digits",
}
COLUMNS = (
    "attention", "accuracy, %", "fr_attn", "fr_out", "SOPs, M", "at 77 fJ, nJ", "at 45 nm FP32, µJ", "SOPs against SSA",
    "published, CIFAR-10",
)  # fmt: skip
PUBLISHED = "ssa_bin-{}-cifar10"
PLACES = {
    "stem and SPS": ("stem", "SPS"), "Q, K, V": ("QKV", "QK", "DWC"), "attention products": ("QK^T", "AV"),
    "projection": ("projection",), "MLP": ("MLP",), "other": ("head",),
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One trained network on the test digits; counts and energies are per inference.

    Attributes:
        places: SOPs by place in the network.
        attention_share: dense MACs of the attention products / those of the whole network.
    """

    accuracy: float
    attention_rate: float | None
    output_rate: float | None
    sops: float
    analog_nj: float
    digital_uj: float
    places: dict[str, float]
    attention_share: float


def run(spec: str, seed: int, epochs: int, folder: Path, device: str) -> snnprof.Activity:
    """Trains and profiles one network, or reads what an earlier call left in the folder."""
    name, preset = catalogue.split(spec)
    weights = folder / f"{name}_{preset}_seed{seed}.pt"
    record = weights.with_suffix(".json")
    if record.exists():
        return snnprof.Activity.load(record)
    if not weights.exists():
        trained = train(models.untrained(spec, seed=seed), seed, epochs, device)
        save(trained, spec, seed, weights)
        print(f"{spec} seed {seed}: {trained.accuracy:.2%}", flush=True)
    loaded = models.resolve(spec, checkpoint=weights)
    x, y = (torch.from_numpy(array) for array in digits.load(SIZE))
    batches = zip(x.split(30), y.split(30), strict=True)
    activity = snnprof.profile(loaded.module, batches, layout="batch", timesteps=loaded.timesteps)
    used = {"parameters_used": activity.run.model.parameters_used}
    activity.run.model = loaded.facts.model_copy(update=used)
    activity.save(record)
    return activity


def result(activity: snnprof.Activity) -> Result:
    """What the tables show of a run."""
    digital, analog = (snnprof.price(activity, hardware=id) for id in ("cmos45-fp32", "rolls-77fj"))
    products = estimates.attention_products(activity)
    accuracy = activity.accuracy
    assert accuracy is not None, "the digits have labels"
    return Result(
        accuracy=accuracy.correct / accuracy.total,
        attention_rate=estimates.attention_rate(products),
        output_rate=estimates.output_rate(activity, products),
        sops=analog.per_inference(analog.totals.sops),
        analog_nj=analog.per_inference(analog.energy_pj) / 1e3,
        digital_uj=digital.per_inference(digital.energy_pj) / 1e6,
        places=places(analog),
        attention_share=sum(op.dense_macs for op in activity.ops if op.op == "matmul") / analog.totals.dense_macs,
    )


def places(report: EnergyReport) -> dict[str, float]:
    """SOPs per inference by place in the network."""
    found = dict.fromkeys(PLACES, 0.0)
    for row in filter(is_contraction, report.rows):
        role = role_of(report.activity, row.layer, row.index)
        found[next(place for place, roles in PLACES.items() if role in roles)] += report.per_inference(row.sops)
    return found


def table(results: dict[str, list[Result]]) -> str:
    """Markdown: mean ± standard deviation over the seeds, and the change against the first row."""
    base = statistics.mean(result.sops for result in next(iter(results.values())))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
    for name, runs in results.items():
        change = statistics.mean(result.sops for result in runs) / base - 1
        cells = [
            name,
            _spread(runs, lambda r: 100 * r.accuracy, 2),
            _spread(runs, lambda r: r.attention_rate, 3),
            _spread(runs, lambda r: r.output_rate, 3),
            _spread(runs, lambda r: r.sops / 1e6, 3),
            _spread(runs, lambda r: r.analog_nj, 1),
            _spread(runs, lambda r: r.digital_uj, 2),
            f"{change:+.1%}",
            _published_change(ROWS[name]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def place_table(results: dict[str, list[Result]]) -> str:
    """Markdown: thousands of SOPs per inference by place, and the attention products' share of the dense MACs."""
    columns = ("SOPs, k", *PLACES, "attention, % of dense MACs")
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for name, runs in results.items():
        cells = [_spread(runs, lambda r, place=place: r.places[place] / 1e3, 1) for place in PLACES]
        cells.append(f"{100 * runs[0].attention_share:.2f}")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def _published_change(spec: str) -> str:
    name, preset = catalogue.split(spec)
    row = preset.removeprefix("digits").removeprefix("-") or "bin"
    rows = catalogue.published()
    published, base = rows.get(PUBLISHED.format(row)), rows[PUBLISHED.format("ssa")]
    return "–" if name != "ssa_bin" or published is None else f"{published.sops_g / base.sops_g - 1:+.1%}"


def _spread(runs: list[Result], value: Callable[[Result], float | None], digits: int) -> str:
    values = [found for found in map(value, runs) if found is not None]
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("ablation"), help="folder for checkpoints and runs")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    results = {
        name: [result(run(spec, seed, options.epochs, options.output, options.device)) for seed in range(options.seeds)]
        for name, spec in ROWS.items()
    }
    print(table(results), place_table(results), sep="\n\n")


if __name__ == "__main__":
    main()
