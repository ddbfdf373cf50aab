"""Prices that a user states in one line."""

from __future__ import annotations

import re

import pytest

import snnprof
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.hardware import prices, prices_in
from snnprof.hardware.loader import check
from snnprof.hardware.schema import Energy
from snnprof.pricing import price
from snnprof.render import citation
from snnprof.render.tables import report_document


def test_constants_are_what_operations_cost(activity: Activity) -> None:
    report = price(activity, prices_in("mac=4.6pJ, ac = 900 fJ,neuron_update=2 pJ"))
    totals = report.totals
    updates = sum(neuron.updates for neuron in activity.neurons)
    assert totals.terms["sop"] == pytest.approx(0.9 * totals.sops)
    assert totals.terms["mac"] == pytest.approx(4.6 * totals.macs)
    assert totals.terms["neuron"] == pytest.approx(2 * updates)
    assert report.grade == "unstated"


def test_the_field_s_constants_cost_what_its_profile_says(activity: Activity) -> None:
    own, profile = (price(activity, each).totals.terms for each in (prices_in("mac=4.6pJ,ac=0.9pJ"), "cmos45-fp32"))
    assert (own["sop"], own["mac"]) == (profile["sop"], profile["mac"])


def test_every_price_can_be_named() -> None:
    for name in Energy.model_fields:
        found = prices_in(f"ac=1pJ,{name}=3nJ" if name != "ac" else "ac=3nJ")
        assert getattr(found.energy, name).value == 3000


def test_python_takes_picojoules_too() -> None:
    found = snnprof.prices(mac=4.6, ac="77 fJ")
    assert found.title == "your own prices: MAC 4.6 pJ, AC 77 fJ"
    assert found.energy.mac is not None
    assert found.energy.mac.value == 4.6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "NAME=ENERGY"),
        ("mac", "NAME=ENERGY, not 'mac'"),
        ("mac=", "NAME=ENERGY"),
        ("mac=4.6", "mac=4.6 has no unit"),
        ("mac=4.6kWh", "price mac=4.6kWh: unknown energy unit 'kWh'"),
        ("mac=-1pJ", "price mac=-1pJ: must not be negative"),
        ("mac=1e999pJ", "must be finite"),
        ("mac=nan pJ", "must be a number of picojoules"),
        ("mac=1pJ,mac=2pJ", "price mac is there twice"),
        ("mca=1pJ", "unknown price 'mca'"),
        ("neuron_update=1pJ", "at least one of mac, ac, sop"),
    ],
)
def test_what_is_no_price_is_refused(text: str, message: str) -> None:
    with pytest.raises(SnnprofError, match=re.escape(message)):
        prices_in(text)


@pytest.mark.parametrize("value", [True, float("inf"), -1.0, "1"])
def test_what_is_no_energy_is_refused(value: str | float) -> None:
    with pytest.raises(SnnprofError, match="price mac="):
        prices(mac=value)
    with pytest.raises(SnnprofError):
        prices("Not an id", mac=1.0)


def test_a_profile_s_text_is_checked_as_its_numbers_are(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Energy.model_validate({"mac": "-1 pJ"})
    with pytest.raises(ValueError, match="must be finite"):
        Energy.model_validate({"mac": "1e999 pJ"})
    assert check("nothing.yaml")


def test_a_paper_states_the_constants_and_cites_nobody(activity: Activity) -> None:
    text = citation.render([price(activity, prices_in("mac=4.6pJ,ac=0.9pJ"))])
    assert "with our own prices (own-prices) charges 4.6~pJ per multiply-accumulate and 0.9~pJ per accumulate" in text
    assert r"\cite{}" not in text
    assert "your own prices: MAC 4.6 pJ, AC 0.9 pJ" in text


def test_reports_name_the_constants(activity: Activity) -> None:
    document = report_document([price(activity, prices_in("mac=4.6pJ,ac=0.9pJ"))])
    assert dict(document.facts)["prices, own-prices"] == "your own prices: MAC 4.6 pJ, AC 0.9 pJ"
    (hardware,) = document.data["hardware"]
    assert (hardware["energy"]["mac"]["value"], hardware["energy"]["ac"]["value"]) == (4.6, 0.9)
    assert any("your own, without a source" in text for notes in document.notes for text in notes.texts)
