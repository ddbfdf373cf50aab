"""Fitted prices: known ones come back, intervals cover them, and what cannot be told apart is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from snnprof.activity import Activity
from snnprof.calibration import DEFAULT_TERMS, LoggedStretch, Work, fitted, work_of
from snnprof.calibration.fit import _non_negative
from snnprof.errors import SnnprofError

TRUE = {"static": 0.0644, "sop": 23.6e-12, "neuron_update": 81e-12, "mac": 4.6e-12, "spike_out": 0.0}
RUNS = {
    "a": Work(sops=3.1e6, macs=0.0, updates=1.1e5, spikes=1.4e4),
    "b": Work(sops=0.9e6, macs=1e5, updates=6.0e5, spikes=9.0e4),
    "c": Work(sops=6.0e6, macs=0.0, updates=2.0e4, spikes=3.0e3),
    "d": Work(sops=2.0e6, macs=5e4, updates=9.0e5, spikes=2.0e4),
}


def energy(work: Work, prices: Mapping[str, float] = TRUE) -> float:
    return (
        prices["sop"] * work.sops + prices["neuron_update"] * work.updates
        + prices["mac"] * work.macs + prices["spike_out"] * work.spikes
    )  # fmt: skip


def logged(
    runs: Sequence[str] = ("", *RUNS), repeats: int = 4, noise: float = 0.0, seed: int = 0,
    prices: Mapping[str, float] = TRUE, miss: Mapping[str, float] = {},
) -> list[LoggedStretch]:  # fmt: skip
    """Stretches of 1 to 2 s in which the machine is busy 60 % of the time; `noise` in watts at 1 s."""
    random = np.random.default_rng(seed)
    found = []
    for repeat, run in itertools.product(range(repeats), runs):
        seconds = 1.0 + 0.3 * repeat
        count = round(0.03 * seconds / energy(RUNS[run])) if run else 0
        watts = prices["static"] + (count / seconds * energy(RUNS[run], prices) if run else 0.0) + miss.get(run, 0.0)
        watts += random.normal(0, noise / seconds**0.5) if noise else 0.0
        found.append(LoggedStretch(f"{run}-{repeat}", run, seconds, watts, count))
    return found


def test_known_prices_come_back() -> None:
    prices = {**TRUE, "mac": 0.0}
    fit = fitted(logged(prices=prices), RUNS)
    assert {t.term: t.value for t in fit.terms} == pytest.approx({name: prices[name] for name in DEFAULT_TERMS})
    assert all(abs(run.residual_w) < 1e-12 for run in fit.runs)
    five = fitted(logged(prices={**TRUE, "spike_out": 5e-12}), RUNS, [*DEFAULT_TERMS, "mac", "spike_out"])
    assert {t.term: t.value for t in five.terms} == pytest.approx({**TRUE, "spike_out": 5e-12}, rel=1e-6)


def test_intervals_cover_the_true_prices() -> None:
    """600 logs with noise: each interval holds its price in 95 % of them; less two standard errors, 93.2 %."""
    prices, fits = {**TRUE, "mac": 0.0}, 600
    held = dict.fromkeys(DEFAULT_TERMS, 0)
    for seed in range(fits):
        for term in fitted(logged(noise=2e-4, seed=seed, prices=prices), RUNS).terms:
            held[term.term] += term.low <= prices[term.term] <= term.high
    assert all(0.932 <= count / fits <= 0.98 for count in held.values()), held


def test_an_interval_by_hand() -> None:
    """Static power alone from idle stretches of equal length is their mean, its interval Student's of the mean."""
    watts = [0.9, 1.0, 1.1, 1.2]
    (static,) = fitted([LoggedStretch(str(w), "", 1.0, w, 0) for w in watts], {}, ["static"]).terms
    error = (sum((w - 1.05) ** 2 for w in watts) / 3 / 4) ** 0.5
    assert (static.low, static.high) == pytest.approx((1.05 - 3.18245 * error, 1.05 + 3.18245 * error), rel=1e-5)


def test_longer_stretches_weigh_more() -> None:
    """Weights 1 and 3: the mean of 1 W and 2 W is 1.75 W."""
    stretches = [LoggedStretch("x", "", 1.0, 1.0, 0), LoggedStretch("y", "", 3.0, 2.0, 0)]
    assert fitted(stretches, {}, ["static"]).terms[0].value == pytest.approx(1.75)


def test_a_price_never_is_negative() -> None:
    """The updates pay the machine back here: their price is held at 0, and the interval says how large it can be."""
    fit = fitted(logged(prices={**TRUE, "mac": 0.0, "neuron_update": -20e-12}, noise=1e-4), RUNS)
    update = fit.price("neuron_update")
    assert update is not None
    assert (update.value, update.low, update.is_zero) == (0.0, 0.0, True)
    assert update.high >= 0


def test_the_non_negative_solution_is_optimal() -> None:
    """Karush, Kuhn, Tucker: no gradient at positive entries, none that falls at those held at 0."""
    random = np.random.default_rng(1)
    for _ in range(50):
        a, b = random.normal(size=(8, 3)), random.normal(size=8)
        x = _non_negative(a, b)
        gradient = a.T @ (a @ x - b)
        assert (x >= 0).all()
        assert np.abs(gradient[x > 0]).max(initial=0) < 1e-9
        assert (gradient[x == 0] > -1e-9).all()


def test_one_run_cannot_tell_its_prices_apart() -> None:
    with pytest.raises(SnnprofError, match="apart: per SOP and per neuron update;") as caught:
        fitted(logged(["", "a"]), RUNS)
    assert "whose proportion differs" in caught.value.hint
    fit = fitted(logged(["", "a"]), RUNS, ["static", "sop"])  # one of them stands for both
    sop = fit.price("sop")
    assert sop is not None
    assert sop.value == pytest.approx(energy(RUNS["a"]) / RUNS["a"].sops)
    assert fit.miss is None


def test_without_idle_and_with_one_pace_static_power_is_no_price() -> None:
    stretches = [LoggedStretch(str(n), "a", 1.0, 0.1, 100) for n in range(4)]
    with pytest.raises(SnnprofError, match="apart: static power and per SOP;"):
        fitted(stretches, RUNS, ["static", "sop"])


def test_nearly_proportional_runs_are_named() -> None:
    twin = {**RUNS, "b": Work(RUNS["a"].sops * 1.01, 0, RUNS["a"].updates, 0)}
    stretches = [s for s in logged(noise=1e-5) if s.run in ("", "a", "b")]
    assert fitted(stretches, twin).near == ("per SOP", "per neuron update")
    assert fitted(logged(noise=1e-5), RUNS).near == ()


def test_a_model_that_is_off_widens_the_intervals() -> None:
    """One run draws 3 mW more than its counts explain; its stretches scatter by 0.01 mW."""
    prices = {**TRUE, "mac": 0.0}
    good, off = (fitted(logged(noise=1e-5, miss=miss, prices=prices), RUNS) for miss in ({}, {"b": 3e-3}))
    assert (good.by_runs, off.by_runs, off.freedom) == (False, True, 2)  # five kinds of stretches, three prices
    sop = off.price("sop")
    assert sop is not None
    assert sop.low < TRUE["sop"] < sop.high


def test_too_few_stretches_and_absent_work() -> None:
    with pytest.raises(SnnprofError, match="3 stretches are too few for 3 prices"):
        fitted(logged(["", "a", "b"], repeats=1), RUNS)
    silent = {"a": Work(0, 1e5, 1e5, 0)}
    with pytest.raises(SnnprofError, match="no run of the log has any SOPs"):
        fitted(logged(["", "a"]), silent)


def test_the_work_of_a_run_is_per_inference(activity: Activity, activity_maker: Callable[..., Activity]) -> None:
    work = work_of(activity, "run")
    assert work.updates == sum(neuron.updates for neuron in activity.neurons) / 20
    assert work.spikes == sum(neuron.spikes for neuron in activity.neurons) / 20
    assert work.sops > 0
    assert work.macs > 0
    with pytest.raises(SnnprofError, match="does not say how many samples"):
        work_of(activity.model_copy(update={"samples": None}), "run")
