"""The SSA_Bin ablation at digits size: how much each mechanism saves, on trained networks and several seeds.

    python examples/ssa_bin_ablation.py --output ablation/

Trains the paper's five attention rows and the SAFormer reconstruction with one budget, profiles each on the test
digits, and prints a Markdown table. Finished checkpoints and runs in the folder are used again. The row `ssa` is
Spikformer itself, so it is not trained twice.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from train_digits import SIZE, save, train

import snnprof
from snnprof.models import digits
from snnprof.workload import catalogue, models

ROWS = {
    "SSA (Spikformer)": "ssa_bin:digits-ssa",
    "binary baseline": "ssa_bin:digits-baseline",
    "centred (w/ shift)": "ssa_bin:digits-centred",
    "threshold (w/ mean)": "ssa_bin:digits-threshold",
    "SSA_Bin": "ssa_bin:digits",
    "SAFormer (reconstruction)": "saformer:digits",
}
COLUMNS = (
    "attention", "accuracy, %", "attention rate", "output rate", "SOPs, M", "at 77 fJ, nJ", "SOPs against SSA",
    "published, CIFAR-10",
)  # fmt: skip
PUBLISHED = "ssa_bin-{}-cifar10"
HARDWARE = "rolls-77fj"


@dataclass(frozen=True)
class Result:
    """One trained network on the test digits; counts and energy are per inference."""

    accuracy: float
    attention_rate: float | None
    output_rate: float | None
    sops: float
    energy_nj: float


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
    activity.save(record)
    return activity


def result(activity: snnprof.Activity) -> Result:
    """What the table shows of a run."""
    report = snnprof.price(activity, hardware=HARDWARE, convention="exact")
    totals = report.totals
    values = [op for op in activity.ops if op.op == "matmul" and op.index == 1]
    outputs = [neuron for neuron in activity.neurons if neuron.layer.endswith("attn_lif")]
    accuracy = activity.accuracy
    assert accuracy is not None, "the digits have labels"
    return Result(
        accuracy=accuracy.correct / accuracy.total,
        attention_rate=_share((op.nonzero, op.elements) for op in values),
        output_rate=_share((neuron.spikes, neuron.updates) for neuron in outputs),
        sops=report.per_inference(totals.sops),
        energy_nj=report.per_inference(report.energy_pj) / 1e3,
    )


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
            _spread(runs, lambda r: r.energy_nj, 1),
            f"{change:+.1%}",
            _published_change(ROWS[name]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
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


def _share(counts: Iterable[tuple[int, int]]) -> float | None:
    pairs = list(counts)
    total = sum(of for _, of in pairs)
    return sum(part for part, _ in pairs) / total if total else None


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
    print(table(results))


if __name__ == "__main__":
    main()
