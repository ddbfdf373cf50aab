"""Curves over a setting, their Pareto front, and energies at equal accuracy."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import pairwise

import pytest

from snnprof.activity import Activity, Finding
from snnprof.comparison import Entry, Estimate, Side
from snnprof.errors import SnnprofError
from snnprof.pricing import price
from snnprof.render import csv as csv_text
from snnprof.render import html, latex, markdown, terminal
from snnprof.render import json as json_text
from snnprof.render.sweep import sweep_document
from snnprof.statistics import Interval
from snnprof.sweeps import Curve, Stop, Sweep, sweep_of

LIST = "cmos45-fp32"
Points = list[tuple[str, float | None, float | None]]


def curve(name: str, points: Points, data: str = "digits") -> Curve:
    """A family from (value, accuracy, picojoules); energies are known to within 10 %."""
    stops = []
    for value, accuracy, pj in points:
        energy = Estimate() if pj is None else Estimate(pj, 0.1 * pj, Interval(pj, 0.9 * pj, 1.1 * pj))
        side = Side(
            Entry(f"{name} {value}"), Estimate(accuracy), None, None, None, Estimate(), None, {LIST: energy}, 10
        )
        stops.append(Stop(value, side))
    return Curve(name, data, tuple(stops), {})


def sweep(*curves: Curve) -> Sweep:
    values = tuple(dict.fromkeys(stop.value for each in curves for stop in each.stops))
    data = tuple(dict.fromkeys(each.data for each in curves))
    return Sweep("timesteps", values, True, (LIST,), curves, data)


FIRST = curve("a", [("1", 0.90, 100), ("2", 0.94, 200), ("4", 0.93, 300), ("8", 0.98, 400)])


def test_the_front_is_what_nothing_beats() -> None:
    """T = 4 costs more than T = 2 and is worse; of the other family only its cheap stop is on the common front."""
    second = curve("b", [("1", 0.80, 50), ("2", 0.90, 150)])
    assert sweep(FIRST, second).fronts == {LIST: {(0, "1"), (0, "2"), (0, "8"), (1, "1")}}


def test_data_sets_have_fronts_of_their_own() -> None:
    elsewhere = curve("b", [("1", 0.5, 500), ("2", 0.6, 900)], "cifar10")
    assert {(1, "1"), (1, "2")} < sweep(FIRST, elsewhere).fronts[LIST]
    assert not sweep(FIRST, elsewhere).matched


def test_energy_at_equal_accuracy_is_interpolated_between_neighbours() -> None:
    """At 0.96, the first lies half-way from (0.94, 200) to (0.98, 400); what both reach is 0.92 to 0.96."""
    second = curve("b", [("1", 0.92, 30), ("2", 0.96, 60), ("4", 0.955, 90)])
    matches = {round(match.accuracy, 6): match for match in sweep(FIRST, second).matched}
    assert list(matches) == [0.92, 0.94, 0.96]
    mine, theirs = matches[0.96].energies
    assert [mine.value, mine.low, mine.high, theirs.value] == pytest.approx([300, 270, 330, 60])
    assert matches[0.96].ratio == pytest.approx(0.2)
    mine, theirs = matches[0.94].energies
    assert [mine.value, theirs.value] == pytest.approx([200, 45])


def test_nothing_is_extrapolated() -> None:
    apart = sweep(FIRST, curve("b", [("1", 0.985, 10), ("2", 0.99, 20)]))
    assert not apart.matched
    (sentence,) = apart.unmatched
    assert sentence.startswith("a (90.00–98.00 %) and b (98.50–99.00 %) have no accuracy in common")
    touching = sweep(FIRST, curve("b", [("1", 0.98, 10)]))
    assert [match.accuracy for match in touching.matched] == [0.98]


def test_stops_without_accuracy_or_energy_are_on_no_front() -> None:
    odd = curve("a", [("1", None, 100), ("2", 0.9, None), ("4", 0.9, 100), ("8", 0.95, 120)])
    assert sweep(odd).fronts == {LIST: {(0, "4"), (0, "8")}}
    nothing = sweep(curve("a", [("1", None, 100), ("2", None, 50)]))
    assert nothing.fronts == {LIST: frozenset()}
    assert not nothing.matched
    assert not nothing.unmatched


def test_two_sweeps_at_equal_accuracy() -> None:
    bits = Sweep(
        "bits", ("2", "4"), True, (LIST, "other"), (curve("ann", [("2", 0.94, 10), ("4", 0.98, 40)]),), ("digits",)
    )
    matches = sweep(FIRST).matched_with(bits)
    assert [(match.accuracy, match.ratio) for match in matches] == [(0.94, 0.05), (0.98, 0.1)]
    elsewhere = sweep(curve("b", [("1", 0.9, 10)], "cifar10"))
    with pytest.raises(SnnprofError, match="a ran on digits and b on cifar10"):
        sweep(FIRST).matched_with(elsewhere)


# -- from runs -------------------------------------------------------------------------------------------------


def changed(activity: Activity, conditions: dict[str, str], **facts: object) -> Activity:
    run = activity.run.model_copy(update={"conditions": {**activity.run.conditions, **conditions}, **facts})
    return activity.model_copy(update={"run": run})


@pytest.fixture
def runs(activity_maker: Callable[..., Activity]) -> list[Entry]:
    """A grid of two thresholds and three time steps; more fires at the lower threshold."""
    made = {
        (threshold, steps): changed(
            activity_maker(firing=steps + (threshold == "0.5")), {"--threshold": threshold}, timesteps=steps
        )
        for threshold in ("0.5", "1")
        for steps in (2, 4, 8)
    }
    return [Entry(str(key), ((price(run, LIST), price(run, "rolls-77fj")),)) for key, run in made.items()]


def test_a_grid_has_a_curve_for_each_other_setting(runs: list[Entry]) -> None:
    found = sweep_of(runs, "timesteps")
    assert found.families == ("threshold",)
    assert [(each.family, [stop.value for stop in each.stops]) for each in found.curves] == [
        ({"threshold": "0.5"}, ["2", "4", "8"]), ({"threshold": "1"}, ["2", "4", "8"]),
    ]  # fmt: skip
    across = sweep_of(runs, "threshold")
    assert [each.family for each in across.curves] == [{"timesteps": str(steps)} for steps in (2, 4, 8)]
    with pytest.raises(SnnprofError, match="differ in timesteps, threshold"):
        sweep_of(runs)


def test_a_setting_that_says_the_same_is_no_family(activity: Activity) -> None:
    made = [changed(activity, {"--set": f"T={steps}"}, timesteps=steps) for steps in (2, 4)]
    found = sweep_of([Entry(str(place), ((price(run),),)) for place, run in enumerate(made)])
    assert (found.setting, found.families, len(found.curves)) == ("timesteps", (), 1)


def test_a_value_may_hold_blanks(activity: Activity) -> None:
    made = [changed(activity, {"--set": f"depth=2 widths=[8, {width}] z=1"}) for width in (16, 32)]
    found = sweep_of([Entry(str(place), ((price(run),),)) for place, run in enumerate(made)])
    assert (found.setting, found.values) == ("widths", ("[8, 16]", "[8, 32]"))


def test_an_argument_with_the_name_of_a_fact_is_another_setting(activity: Activity) -> None:
    made = [changed(activity, {"--set": f"seed={value}"}, seed=0) for value in (0, 1)]
    entries = [Entry(str(place), ((price(run),),)) for place, run in enumerate(made)]
    assert (sweep_of(entries, "set.seed").values, sweep_of(entries).setting) == (("0", "1"), "set.seed")
    steps = [changed(activity, {"--set": f"timesteps={value}"}, timesteps=value) for value in (2, 4)]
    found = sweep_of([Entry(str(place), ((price(run),),)) for place, run in enumerate(steps)], "set.timesteps")
    assert (found.setting, found.values) == ("timesteps", ("2", "4"))


def test_checkpoints_of_one_name_are_told_apart(activity: Activity) -> None:
    models = [
        activity.run.model.model_copy(update={"checkpoint": "best.pt", "sha256": key * 8}) for key in ("ab", "cd")
    ]
    made = [changed(activity, {}, model=model) for model in models]
    found = sweep_of([Entry(str(place), ((price(run),),)) for place, run in enumerate(made)], "checkpoint")
    assert found.values == ("best.pt ababab", "best.pt cdcdcd")


def test_the_same_numbers_in_every_format(runs: list[Entry]) -> None:
    document = sweep_document(sweep_of(runs, "timesteps"), "snnprof sweep m --over timesteps=2,4,8")
    rows = list(csv.DictReader(io.StringIO(csv_text.render(document))))
    assert [(row["threshold"], row["timesteps"]) for row in rows[:2]] == [("0.5", "2"), ("0.5", "4")]
    energies = [float(row["energy_pj_cmos45_fp32"]) for row in rows]
    assert energies == [pytest.approx(entry.reports[0].energy_pj / 20) for entry in runs]  # type: ignore[operator]
    loaded = json.loads(json_text.render(document))
    assert (loaded["setting"], loaded["families"]) == ("timesteps", ["threshold"])
    assert "Pareto front" in terminal.render(document)
    assert "| time steps T |" in markdown.render(document)
    assert "\\begin{tabular}" in latex.render(document)
    assert "<table" in html.render(document)


def test_why_there_is_no_front(activity: Activity) -> None:
    note = Finding(code="C26", text="There is no accuracy: the labels number 3 for 2 samples")
    for findings, why in (([], "the data has no labels"), ([note], "the labels number 3 for 2 samples")):
        bare = activity.model_copy(update={"accuracy": None, "findings": findings})
        made = [changed(bare, {}, timesteps=steps) for steps in (1, 2)]
        document = sweep_document(sweep_of([Entry(str(n), ((price(run),),)) for n, run in enumerate(made)]))
        assert f"no Pareto front, because there is no accuracy: {why}." in terminal.render(document)


def test_names_and_settings_cannot_break_a_format(activity: Activity) -> None:
    hostile = ["<script>alert(1)</script>", "a_b%c|x", "n" * 300, "Ünïcode"]
    made = [changed(activity, {"--set": f"accuracy={value}"}) for value in hostile]
    found = sweep_of([Entry(value, ((price(run),),)) for value, run in zip(hostile, made, strict=True)])
    document = sweep_document(found)
    assert document.tables[0].columns[0].key == "set_accuracy"  # the column of the accuracy is another
    assert "<script>alert" not in html.render(document)
    assert "\\%c" in latex.render(document)
    assert terminal.render(document, 60)


def test_a_sweep_shows_itself(runs: list[Entry]) -> None:
    found = sweep_of(runs, "timesteps")
    assert repr(found).startswith("<Sweep over timesteps: ")
    assert "threshold" in str(found)
    frame = found.to_dataframe()
    assert (len(frame), frame.attrs["per"]) == (6, "inference")
    assert found.plot().axes
    assert len(found.comparison.sides) == 6
    with pytest.raises(SnnprofError, match="figures of a sweep are per inference"):
        found.to_dataframe(per="run")


def test_intervals_of_the_front_rise(runs: list[Entry]) -> None:
    for match, later in pairwise(sweep_of(runs, "timesteps").matched):
        assert match.hardware != later.hardware or match.accuracy < later.accuracy
