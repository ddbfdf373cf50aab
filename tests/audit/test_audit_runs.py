"""A run against a printed energy: its conventions on the axes, and its reports on hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

import snnprof
from snnprof import conventions
from snnprof.activity import Activity
from snnprof.audit import Figures, audit
from snnprof.audit.printed import ENERGIES, quantity
from snnprof.audit.runs import from_run
from snnprof.errors import SnnprofError

RUN = Path(__file__).parent.parent / "data" / "runs" / "spikformer.json"
ACTIVITY = Activity.load(RUN)


def against(picojoules: float) -> Figures:
    return from_run(ACTIVITY, "run", quantity(f"{picojoules / 1e6:.9f} uJ", ENERGIES, None))


def test_the_first_layer_once_and_at_each_step() -> None:
    """By Spikformer's formula, 0.9 · SOPs + 4.6 · MACs at each step; once, the MACs count 1/T."""
    report = snnprof.price(ACTIVITY, "cmos45-fp32", "spikformer")
    sops, macs = (report.per_inference(count) for count in (report.totals.sops, report.totals.macs))
    assert sops is not None
    assert macs is not None
    steps = ACTIVITY.run.timesteps
    assert steps == 4
    for key, energy in (("mac_each_step", 0.9 * sops + 4.6 * macs), ("mac_once", 0.9 * sops + 4.6 * macs / steps)):
        found = audit(against(energy))
        choices = [{axis: choice.key for axis, choice in reading.choices.items()} for reading in found.plain_matching]
        assert any(each.get("convention") == "spikformer" and each.get("first") == key for each in choices), key


def test_no_spike_of_any_convention_is_lost() -> None:
    """Every convention's ACs and MACs, priced alike, give its own report on cmos45-fp32 without element-wise work."""
    figures = against(1e6)
    for counted in figures.counted:
        rule = counted.decided["convention"].key
        report = snnprof.price(ACTIVITY, "cmos45-fp32", rule)
        terms = [report.totals.terms[term] for term in ("sop", "mac")]
        expected = report.per_inference(sum(pj for pj in terms if pj is not None))
        keys = {"first": "mac_each_step", "head": "counted", "macs": "mac"}
        reading = counted.sheet.reading({axis: key for axis, key in keys.items() if axis in counted.sheet.axes})
        assert reading is not None
        assert reading.energy.middle == pytest.approx(expected), rule


def test_reports_on_hardware_are_readings() -> None:
    report = snnprof.price(ACTIVITY, "loihi1-davies2018", "exact")
    energy = report.per_inference(report.energy_pj)
    assert energy is not None
    keys = [reading.key for reading in audit(against(energy)).plain_matching]
    assert (("convention", "exact"), ("hardware", "loihi1-davies2018")) in keys


def test_only_the_conventions_that_give_it_are_named() -> None:
    report = snnprof.price(ACTIVITY, "cmos45-fp32", "exact")
    energy = report.per_inference(report.energy_pj)
    assert energy is not None
    groups = [group for group in audit(against(energy)).groups if "hardware" in group.choices]
    assert [[choice.key for choice in group.choices["convention"]] for group in groups] == [["exact"]]


def test_all_conventions_are_tried() -> None:
    tried = {reading.choices["convention"].key for reading in against(1e6).readings}
    assert tried == set(conventions.names())


def test_unknown_samples_are_refused() -> None:
    with pytest.raises(SnnprofError, match="how many samples"):
        from_run(ACTIVITY.model_copy(update={"samples": None}), "run", quantity("1 mJ", ENERGIES, None))
