"""What a report says beside its own total: twins, the ends of the range, the other machine."""

from __future__ import annotations

import pytest

from snnprof.activity import Activity
from snnprof.pricing import price
from snnprof.render.tables import report_document


def twins(activity: Activity, *hardware: str) -> dict[str, dict]:
    document = report_document([price(activity, id) for id in hardware])
    table = next(table for table in document.tables if table.name == "twins")
    return {str(row.values["run"]): dict(row.values) for row in table.rows}


def test_the_ends_of_the_range_and_the_narrow_twin(activity):
    """T = 2 steps carry as much as 2-bit activations."""
    rows, report = twins(activity, "cmos45-fp32"), price(activity)
    silent, firing = report.energy_range_pj
    assert rows["Lower bound: no neuron fires"]["energy_pj"] == pytest.approx(silent / activity.samples)
    assert rows["Upper bound: every neuron fires at every step"]["energy_pj"] == pytest.approx(
        firing / activity.samples
    )
    narrow = rows["Equivalent ANN, 2-bit activations as INT8"]["energy_pj"]
    assert narrow == pytest.approx(report.quantised_twin.energy_pj / activity.samples)


def test_no_narrow_twin_where_no_profile_has_an_int8_table(activity):
    assert not any("INT8" in name for name in twins(activity, "loihi1-davies2018", "rolls-77fj"))


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        (("cmos45-fp32", "rolls-77fj", "loihi1-davies2018"), "instead of rolls-77fj changes the energy"),
        (("cmos45-fp32",), "Priced on cmos45-fp32 alone"),
    ],
)
def test_how_much_the_machine_decides_is_said_once(activity, hardware, words):
    document = report_document([price(activity, id) for id in hardware])
    sentences = [text for notes in document.notes for text in notes.texts]
    assert sum(words in text for text in sentences) == 1
    assert "W20" in {finding["code"] for finding in document.data["findings"]}
