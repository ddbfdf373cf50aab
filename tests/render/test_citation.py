"""`cite`: written from the run's own facts."""

from __future__ import annotations

from snnprof.activity import Activity
from snnprof.pricing import price
from snnprof.render import citation


def test_it_names_samples_convention_prices_and_sources(activity: Activity) -> None:
    text = citation.render([price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")])
    assert "20 of 360 samples of digits (T = 2, seed 0)" in text
    assert "4.6 pJ per MAC" in text
    assert "0.077 pJ per SOP" in text
    for key in ("snnprof", "zhou2023spikformer", "horowitz2014", "qiao2015"):
        assert text.count(f"{{{key},\n") == 1, key
    assert r"\cite{zhou2023spikformer}" in text


def test_an_unknown_model_is_named_but_not_cited(activity: Activity) -> None:
    model = activity.run.model.model_copy(update={"name": "mine", "source": "my_net.py:build"})
    run = activity.run.model_copy(update={"model": model})
    text = citation.methods([price(activity.model_copy(update={"run": run}))])
    assert r"my\_net.py:build were counted" in text
