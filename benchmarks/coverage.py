"""How often the 95 % intervals that snnprof prints hold the truth: simulated with the project's own functions.

    python benchmarks/coverage.py                                  # the tables, on stdout
    python benchmarks/coverage.py --markdown docs/statistics.md    # writes them below the marker of that page

A cell is one setting: how many samples, in blocks of which size, of data with which rate or accuracy. Binomials are
summed exactly; all else is simulated. Every random number follows from --seed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean

import numpy as np

from snnprof import statistics
from snnprof.merging import span
from snnprof.statistics import Interval
from snnprof.workload.stopping import StoppingRule

MARKER = "<!-- below this line: python benchmarks/coverage.py --markdown docs/statistics.md -->"
WITHIN = (92.0, 98.0)
SYNAPSES = 1000  # inputs of a sample that may spike
SHARES = (0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
SAMPLES = (16, 32, 64, 100, 200, 360, 1000)
LAYOUTS = ((16, 1), (16, 2), (32, 2), (64, 4), (64, 8), (360, 8), (1000, 16), (1000, 64))
RAGGED = ((19, 2), (100, 12), (360, 32), (360, 50), (1000, 15), (1000, 96))
"""Samples and batch size. 1000 in batches of 15 are 67 batches, which merge to 34 blocks."""

Numbers = np.ndarray
Draw = Callable[[np.random.Generator, tuple[int, ...]], Numbers]


@dataclass(frozen=True)
class Cell:
    """One setting, and the percentage of intervals that hold the truth."""

    setting: str
    covered: float

    @property
    def fits(self) -> bool:
        return WITHIN[0] <= self.covered <= WITHIN[1]


@dataclass(frozen=True)
class Study:
    """One interval that is printed, in all its cells; `note` says why some lie outside the limits."""

    title: str
    cells: list[Cell]
    note: str = ""

    @property
    def mean(self) -> float:
        return fmean(cell.covered for cell in self.cells)

    @property
    def outside(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.fits]


@dataclass(frozen=True)
class Simulation:
    seed: int
    trials: int

    def rng(self, *key: object) -> np.random.Generator:
        """Numbers of its own for each cell, so that no cell depends on which others run."""
        return np.random.default_rng([self.seed, *repr(key).encode()])


def studies(simulation: Simulation) -> Iterator[Study]:
    """Every interval that is printed."""
    both = [(n, share) for n in SAMPLES for share in SHARES]
    yield Study("accuracy, new data (Wilson)", [_accuracy(*each) for each in both], FEW)
    yield Study("accuracy, this test set (Wilson, part of it ran)", [_set_accuracy(*each) for each in both], FEW)
    yield Study("difference of accuracies, same samples (Tango, from blocks)", list(_pairs(simulation, PAIRED)), WIDE)
    yield Study("difference of accuracies, other samples (Newcombe)", list(_unpaired(simulation)), WIDE)
    yield Study("operations, energy, rates (ratio estimator, t)", list(_operations(simulation, LAYOUTS)))
    yield Study("the same, ragged last batch", list(_operations(simulation, RAGGED)))
    yield Study("the same, this test set, sorted by class, in a seeded order", list(_sorted(simulation)))
    yield Study("the same, stopped by --until-ci", list(_stopped(simulation, accuracy=False)))
    yield Study("accuracy, stopped by --until-ci", list(_stopped(simulation, accuracy=True)))
    yield Study("ratio of energies, same samples (jackknife of its logarithm)", list(_ratios(simulation, paired=True)))
    yield Study("ratio of energies, other samples (Welch)", list(_ratios(simulation, paired=False)))
    yield Study("ratio of counts that vary both (block jackknife)", list(_jackknifed(simulation)))
    yield Study("mean over training runs (t), difference of two (Welch)", list(_seeds(simulation)), SEEDS)
    few = list(_pairs(simulation, ((64, 16), (360, 100))))
    yield Study("limit: difference of accuracies, same samples, below 8 blocks", few, BOUND)
    yield Study("limit: heavy tails, a fixed number of samples", list(_heavy(simulation)), UNSEEN)
    yield Study("limit: heavy tails, stopped by --until-ci", list(_heavy_stopped(simulation)), UNSEEN)
    yield Study("limit: a whole set, sorted by class, run as it is stored", list(_stored_order(simulation)), STORED)


FEW = "Few errors are one of few counts: no interval can hold 95 % at each accuracy, so some hold more, some less."
WIDE = "With less than about three samples that only one model gets right, the interval is wider than it need be."
SEEDS = "Welch's degrees of freedom, rounded down, are 1 here."
UNSEEN = (
    "No interval knows a tail that no sample showed. `--until-ci` waits while a block is above four times the median, "
    "and reports say so; more samples help."
)
BOUND = "Without blocks enough for an estimate, the interval is the widest that the totals allow."
STORED = "Blocks then differ as the classes do, which a new sample of the same mix does not: the interval is too wide."


# -- accuracies ------------------------------------------------------------------------------------------------


def _accuracy(n: int, share: float) -> Cell:
    """Exact: the probability of all counts whose interval holds the share."""
    held = sum(_binomial(k, n, share) for k in range(n + 1) if _holds(statistics.proportion(k, n), share))
    return Cell(f"n = {n}, {100 * share:g} %", 100 * held)


def _set_accuracy(n: int, share: float, population: int = 2000) -> Cell:
    """Exact: n of 2000 samples without replacement."""
    right = round(share * population)
    held = 0.0
    for k in range(max(0, n + right - population), min(n, right) + 1):
        of_set = statistics.proportion(k, n, population).of_set
        if of_set and of_set[0] - 1e-12 <= right / population <= of_set[1] + 1e-12:
            held += math.exp(
                _log_choose(right, k) + _log_choose(population - right, n - k) - _log_choose(population, n)
            )
    return Cell(f"n = {n} of {population}, {100 * share:g} %", 100 * held)


def _binomial(k: int, n: int, share: float) -> float:
    return math.exp(_log_choose(n, k) + k * math.log(share) + (n - k) * math.log1p(-share))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


PAIRS = ((0.5, 0.5), (0.8, 0.75), (0.9, 0.85), (0.95, 0.9), (0.98, 0.96), (0.999, 0.99))


PAIRED = ((16, 1), (64, 4), (100, 12), (360, 8), (360, 32), (1000, 16), (1000, 64))


def _pairs(simulation: Simulation, layouts: Sequence[tuple[int, int]]) -> Iterator[Cell]:
    """Two models that find the same samples hard, more or less."""
    for layout in layouts:
        for right_a, right_b in PAIRS:
            for shared in (0.0, 0.6, 0.9):
                setting = f"{_layout(*layout)}, {100 * right_a:g} and {100 * right_b:g} %, correlation {shared:g}"
                rng = simulation.rng("pairs", setting)
                a, b = _both_right(rng, (simulation.trials, layout[0]), right_a, right_b, shared)
                (blocks_a, sizes), (blocks_b, _) = _blocks(a, layout[1]), _blocks(b, layout[1])
                found = [statistics.paired_proportions(x, y, sizes) for x, y in zip(blocks_a, blocks_b, strict=True)]
                yield Cell(setting, _covered(found, right_a - right_b))


def _unpaired(simulation: Simulation) -> Iterator[Cell]:
    for n, m in ((16, 32), (64, 64), (100, 360), (360, 360), (1000, 360), (1000, 1000)):
        for right_a, right_b in PAIRS:
            rng = simulation.rng("unpaired", n, m, right_a, right_b)
            counts = zip(
                rng.binomial(n, right_a, simulation.trials), rng.binomial(m, right_b, simulation.trials), strict=True
            )
            found = [statistics.unpaired_proportions((int(x), n), (int(y), m)) for x, y in counts]
            yield Cell(
                f"n = {n} and {m}, {100 * right_a:g} and {100 * right_b:g} %", _covered(found, right_a - right_b)
            )


def _both_right(
    rng: np.random.Generator, shape: tuple[int, int], right_a: float, right_b: float, shared: float
) -> tuple[Numbers, Numbers]:
    """Who is right on which sample; `shared` is the part of the difficulty that both feel."""
    common, normal = rng.normal(size=shape), NormalDist()
    results = []
    for right in (right_a, right_b):
        difficulty = math.sqrt(shared) * common + math.sqrt(1 - shared) * rng.normal(size=shape)
        results.append((difficulty < normal.inv_cdf(right)).astype(np.int64))
    return results[0], results[1]


# -- operations ------------------------------------------------------------------------------------------------

SPREAD = 0.5
"""Standard deviation of the log odds of firing between samples: at 10 %, most samples fire at 4 to 20 %."""
RATES = (0.005, 0.02, 0.1, 0.3, 0.5, 0.9, 0.99, 0.999)


def _fired(rate: float, spread: float = SPREAD) -> Draw:
    """Spikes of a sample: binomial, at a rate that differs between samples."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
        return rng.binomial(SYNAPSES, _logistic(_log_odds(rate) + spread * rng.normal(size=shape)))

    return draw


def _true_mean(rate: float, spread: float = SPREAD) -> float:
    """What a sample of `_fired` expects, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float(SYNAPSES * (weights * _logistic(_log_odds(rate) + spread * nodes)).sum() / weights.sum())


def _operations(simulation: Simulation, layouts: Sequence[tuple[int, int]]) -> Iterator[Cell]:
    for n, batch in layouts:
        for rate in RATES:
            setting = f"{_layout(n, batch)}, rate {100 * rate:g} %"
            draw = _fired(rate)(simulation.rng("operations", setting), (simulation.trials, n))
            yield Cell(setting, _covered(_ratio_intervals(draw, batch), _true_mean(rate)))


def _sorted(simulation: Simulation, population: int = 2000) -> Iterator[Cell]:
    """Ten classes, stored one after the other, whose rates differ; n of 2000 samples in a random order."""
    for n, batch in LAYOUTS[1:]:
        for rate in (0.005, 0.1, 0.5, 0.999):
            setting = f"{_layout(n, batch)} of {population}, rate {100 * rate:g} %"
            rng = simulation.rng("sorted", setting)
            stored = _by_class(rng, rate, population)
            drawn = np.stack([stored[rng.permutation(population)[:n]] for _ in range(simulation.trials)])
            found = _ratio_intervals(drawn, batch, population)
            held = [i.of_set is not None and i.of_set[0] <= stored.mean() <= i.of_set[1] for i in found]
            yield Cell(setting, 100 * fmean(held))


def _stored_order(simulation: Simulation) -> Iterator[Cell]:
    """A whole test set of ten equal classes, as it is stored: blocks differ by class, which no new sample would."""
    trials = simulation.trials // 4
    for n, batch in ((360, 8), (1000, 16)):
        for rate in (0.1, 0.5):
            rng = simulation.rng("stored", n, batch, rate)
            sets = np.stack([_by_class(rng, rate, n) for _ in range(trials)])
            truth = float(np.mean([_true_mean(float(each)) for each in _class_rates(rate)]))
            yield Cell(f"{_layout(n, batch)}, rate {100 * rate:g} %", _covered(_ratio_intervals(sets, batch), truth))


def _class_rates(rate: float) -> Numbers:
    return _logistic(_log_odds(rate) + np.linspace(-0.7, 0.7, 10))


def _by_class(rng: np.random.Generator, rate: float, samples: int) -> Numbers:
    return np.concatenate([_fired(float(each))(rng, (samples // 10,)) for each in _class_rates(rate)])


def _ratios(simulation: Simulation, paired: bool) -> Iterator[Cell]:
    """A model that fires 0.7 times as often as another; on the same samples what is hard for one is for both."""
    for n, batch in LAYOUTS:
        for rate in (0.005, 0.02, 0.1, 0.5, 0.9):
            setting = f"{_layout(n, batch)}, rate {100 * rate:g} %"
            rng = simulation.rng("ratios", paired, setting)
            common = SPREAD * rng.normal(size=(simulation.trials, n))
            other = common if paired else SPREAD * rng.normal(size=common.shape)
            a = rng.binomial(SYNAPSES, _logistic(_log_odds(rate * 0.7) + common + 0.2 * rng.normal(size=common.shape)))
            b = rng.binomial(SYNAPSES, _logistic(_log_odds(rate) + other + 0.2 * rng.normal(size=common.shape)))
            spread = math.hypot(SPREAD, 0.2)
            truth = _true_mean(rate * 0.7, spread) / _true_mean(rate, spread)
            (blocks_a, sizes), (blocks_b, _) = _blocks(a, batch), _blocks(b, batch)
            yield Cell(setting, _covered(list(_each_ratio(blocks_a, blocks_b, sizes, paired)), truth))


def _each_ratio(
    a: Sequence[Sequence[int]], b: Sequence[Sequence[int]], sizes: Sequence[int], paired: bool
) -> Iterator[Interval]:
    for x, y in zip(a, b, strict=True):
        if not sum(x) or not sum(y):
            continue  # no ratio is printed
        if paired:
            yield statistics.paired_ratio(x, y)
        else:
            yield statistics.ratio_of(statistics.ratio_interval(x, sizes), statistics.ratio_interval(y, sizes))


def _jackknifed(simulation: Simulation) -> Iterator[Cell]:
    """Spikes per active input: both counts differ between samples."""
    for n, batch in LAYOUTS:
        for rate in (0.02, 0.1, 0.5, 0.9):
            setting = f"{_layout(n, batch)}, rate {100 * rate:g} %"
            rng = simulation.rng("jackknife", setting)
            inputs = rng.integers(200, SYNAPSES, (simulation.trials, n))
            spikes = rng.binomial(inputs, _logistic(_log_odds(rate) + SPREAD * rng.normal(size=inputs.shape)))
            blocks = zip(_blocks(spikes, batch)[0], _blocks(inputs, batch)[0], strict=True)
            found = [_jackknife(x, y) for x, y in blocks]
            yield Cell(setting, _covered(found, _true_mean(rate) / SYNAPSES))


def _jackknife(a: Sequence[int], b: Sequence[int]) -> Interval:
    """As `statistics.jackknifed` does with the blocks of a run."""
    without = [(sum(a) - x) / (sum(b) - y) for x, y in zip(a, b, strict=True)]
    return statistics.jackknife_interval(sum(a) / sum(b), without)


def _seeds(simulation: Simulation) -> Iterator[Cell]:
    for runs in (2, 3, 5, 10):
        rng = simulation.rng("seeds", runs)
        drawn = [rng.normal(0.95, 0.01, (simulation.trials, runs)).tolist() for _ in range(2)]
        means = [[statistics.mean_of_runs(each) for each in side] for side in drawn]
        yield Cell(f"mean of {runs} runs", _covered(means[0], 0.95))
        found = [statistics.difference_of(a, b) for a, b in zip(*means, strict=True)]
        yield Cell(f"difference of {runs} and {runs} runs", _covered(found, 0.0))


# -- optional stopping and heavy tails -------------------------------------------------------------------------


def _stopped(simulation: Simulation, accuracy: bool) -> Iterator[Cell]:
    """Harder samples fire more and are wrong more often, so that the stopping rule could bias the accuracy."""
    for batch in (1, 4, 16):
        for rate, percent in ((0.005, 10), (0.02, 10), (0.02, 5), (0.1, 5), (0.1, 2), (0.5, 2), (0.5, 1), (0.999, 0.1)):
            setting = f"batches of {batch}, rate {100 * rate:g} %, within {percent:g} %"
            rng = simulation.rng("stopped", setting)
            found, truth = [], _true_mean(rate)
            for _ in range(simulation.trials // 4):
                hard = rng.normal(size=3000)
                fired = rng.binomial(SYNAPSES, _logistic(_log_odds(rate) + SPREAD * hard))
                right = 0.7 * hard + math.sqrt(1 - 0.7**2) * rng.normal(size=3000) < NormalDist().inv_cdf(0.9)
                interval, n = _until(fired, batch, percent)
                found.append(statistics.proportion(int(right[:n].sum()), n) if accuracy else interval)
            yield Cell(setting, _covered(found, 0.9 if accuracy else truth))


def _until(figures: Numbers, batch: int, percent: float) -> tuple[Interval, int]:
    """Runs batch by batch as `profile --until-ci` does; the interval at the end, and how many samples ran."""
    goal = StoppingRule(percent)
    sums = np.add.reduceat(figures, np.arange(0, len(figures), batch))
    for batches in range(8, len(sums) + 1, 8):
        width = span(batches)
        if goal.is_due(batches, width) and batches * batch <= len(figures):
            blocks = np.add.reduceat(sums[:batches], np.arange(0, batches, width)).tolist()
            if goal.reached((number, count, batch * width) for number, count in enumerate(blocks)):
                return statistics.ratio_interval(blocks, [batch * width] * len(blocks)), batches * batch
    (blocks, sizes) = _blocks(figures[None, :], batch)
    return statistics.ratio_interval(blocks[0], sizes), len(figures)


def _skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    return rng.lognormal(0.0, 1.0, shape)


def _rarely_dense(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """One sample in a hundred fires at twenty times the rate of the others."""
    return _fired(0.02)(rng, shape) * np.where(rng.random(shape) < 0.01, 20, 1)


def _tails() -> dict[str, tuple[Draw, float]]:
    """Heavy-tailed data, and the true mean of each."""
    return {
        "lognormal (σ = 1)": (_skewed, math.exp(0.5)),
        "1 % of samples 20 times as dense": (_rarely_dense, 1.19 * _true_mean(0.02)),
    }


def _heavy(simulation: Simulation) -> Iterator[Cell]:
    for name, (draw, truth) in _tails().items():
        for n, batch in LAYOUTS:
            figures = draw(simulation.rng("heavy", name, n, batch), (simulation.trials, n))
            yield Cell(f"{_layout(n, batch)}, {name}", _covered(_ratio_intervals(figures, batch), truth))


def _heavy_stopped(simulation: Simulation) -> Iterator[Cell]:
    for name, (draw, truth) in _tails().items():
        for batch in (1, 4, 16):
            for percent in (10, 5):
                rng = simulation.rng("heavy, stopped", name, batch, percent)
                trials = simulation.trials // 4
                found = [_until(draw(rng, (3000,)), batch, percent)[0] for _ in range(trials)]
                yield Cell(f"batches of {batch}, {name}, within {percent} %", _covered(found, truth))


# -- parts -----------------------------------------------------------------------------------------------------


def _blocks(figures: Numbers, batch: int) -> tuple[list[list[int]], list[int]]:
    """Sums over the blocks that a run would have, for each trial, and the samples in each block."""
    samples = figures.shape[1]
    starts = np.arange(0, samples, batch * span(-(-samples // batch)))
    sizes = np.diff(np.append(starts, samples)).tolist()
    return np.add.reduceat(figures, starts, axis=1).tolist(), sizes


def _ratio_intervals(figures: Numbers, batch: int, population: int | None = None) -> list[Interval]:
    blocks, sizes = _blocks(figures, batch)
    return [statistics.ratio_interval(each, sizes, population) for each in blocks]


def _covered(intervals: Sequence[Interval], truth: float) -> float:
    """Percentage of the intervals that hold the truth."""
    return 100 * fmean(_holds(interval, truth) for interval in intervals)


def _holds(interval: Interval, truth: float) -> bool:
    if interval.low is None or interval.high is None:
        return False
    return interval.low - 1e-12 <= truth <= interval.high + 1e-12


def _logistic(log_odds: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-log_odds))


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _layout(samples: int, batch: int) -> str:
    return f"n = {samples} in batches of {batch}"


# -- the page --------------------------------------------------------------------------------------------------


def page(results: Sequence[Study], simulation: Simulation) -> str:
    """The table of means, and below it every cell outside the limits."""
    low, high = WITHIN
    lines = [
        f"Percentage of 95 % intervals that hold the truth. {simulation.trials} trials a cell (a quarter of that where "
        f"a run is simulated batch by batch), seed {simulation.seed}; proportions without stopping are exact sums.",
        "",
        f"| interval | cells | mean (%) | lowest | highest | outside {low:g}–{high:g} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for study in results:
        covered = [cell.covered for cell in study.cells]
        lines.append(
            f"| {study.title} | {len(covered)} | {study.mean:.1f} | {min(covered):.1f} | {max(covered):.1f} "
            f"| {len(study.outside)} |"
        )
    lines += ["", f"### Cells outside {low:g}–{high:g} %", ""]
    for study in results:
        lines += _outside(study)
    return "\n".join(lines)


def _outside(study: Study) -> list[str]:
    if not study.outside:
        return []
    cells = "; ".join(f"{cell.setting}: {cell.covered:.1f}" for cell in study.outside)
    note = f" {study.note}" if study.note else ""
    return [f"**{study.title[0].upper()}{study.title[1:]}.**{note} {cells}.", ""]


def needed() -> str:
    """From how many samples on two models that are equally often right pass a margin of 1 point."""
    lines = ["| samples that only one of the two gets right | samples needed |", "|--:|--:|"]
    lines += [f"| {100 * share:g} % | {_samples_for(share)} |" for share in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)]
    return "\n".join(lines)


def _samples_for(discordant: float, margin: float = 0.01) -> int:
    z, low, high = statistics.normal_quantile(0.975), 16, 1 << 20
    while low < high:
        n = (low + high) // 2
        passes = statistics.tango(discordant * n / 2, discordant * n / 2, n, z)[0] > -margin
        low, high = (low, n) if passes else (n + 1, high)
    return low


def written(path: Path, text: str) -> None:
    """Keeps what stands above the marker."""
    above, marker, _ = path.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise SystemExit(f"{path} has no line {MARKER}")
    path.write_text(f"{above}{MARKER}\n\n{text.rstrip()}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path, help="page to write the tables into")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    simulation, started = Simulation(arguments.seed, arguments.trials), time.monotonic()
    results = []
    for study in studies(simulation):
        results.append(study)
        print(
            f"{time.monotonic() - started:6.1f} s  {study.mean:5.1f} %  {len(study.outside):3} outside  {study.title}"
        )
    text = f"{page(results, simulation)}\n### Samples for a margin of 1 point\n\n{needed()}"
    if arguments.markdown:
        written(arguments.markdown, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
