"""A claim under all conventions and price lists: each cell against the slow way, and what may be said of all."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

import snnprof
from snnprof import conventions, hardware
from snnprof.activity import Activity, Uncounted
from snnprof.agreement import Agreement, Cell, Pair, Reading, Versus, agreement_of
from snnprof.charts.agreement import matrix_in
from snnprof.comparison import Entry
from snnprof.errors import SnnprofError
from snnprof.hardware import prices
from snnprof.pricing import price, summed
from snnprof.render import csv, json, latex, terminal
from snnprof.render.agreement import agreement_document
from snnprof.render.figures.agreement import draw_matrix
from snnprof.render.figures.look import Look
from snnprof.render.plots import conventions as conventions_figure
from snnprof.statistics import Interval

RUNS = Path(__file__).parent / "data" / "runs"
NAMES = ("spikformer", "ssa_bin", "saformer")
LISTS = ("cmos45-fp32", "cmos45-fp32-mem", "lemaire2022-int32", "cmos7-int8", "rolls-77fj", "loihi1-davies2018")
RULES = ("exact", "exact:levels=mac", "formula:rate=neuron", "spikformer", "ssa-bin", "neurobench")


@pytest.fixture(scope="module")
def runs() -> dict[str, Activity]:
    return {name: Activity.load(RUNS / f"{name}.json") for name in NAMES}


@pytest.fixture(scope="module")
def found(runs: dict[str, Activity]) -> Agreement:
    lists = [hardware.load_hardware(id) for id in LISTS]
    return agreement_of({name: [run] for name, run in runs.items()}, "spikformer", lists)


def cell(value: float | None, low: float | None = None, high: float | None = None, **facts: object) -> Cell:
    ratio = None if value is None else Interval(value, low, high)
    return Cell(**{"reading": "exact", "hardware": "cmos", "ratio": ratio, **facts})  # type: ignore[arg-type]


# -- each cell -------------------------------------------------------------------------------------------------


def test_a_sum_is_the_total_of_the_price(runs: dict[str, Activity]) -> None:
    for convention in map(conventions.find, RULES):
        for run in runs.values():
            lines = convention.lines(run)
            for profile in map(hardware.load_hardware, LISTS):
                slow, quick = price(run, profile, convention), summed(run, lines, profile, {})
                assert quick.pj == pytest.approx(slow.energy_pj, rel=1e-12, abs=0), (convention.label, profile.id)
                assert quick.unpriced == set(slow.totals.unpriced)


def test_a_cell_is_what_compare_says(runs: dict[str, Activity], found: Agreement) -> None:
    for rule in RULES:
        slow = snnprof.compare(runs, hardware=["cmos45-fp32", "cmos45-fp32-mem"], convention=rule)
        for ratio in slow.ratios:
            (pair,) = (pair for pair in found.pairs if pair.name == ratio.name)
            (quick,) = (cell for cell in pair.cells if (cell.reading, cell.hardware) == (rule, ratio.hardware))
            assert quick.ratio is not None
            assert quick.ratio.value == pytest.approx(ratio.energy.value, rel=1e-12)
            assert (quick.ratio.low, quick.ratio.high) == pytest.approx((ratio.energy.low, ratio.energy.high))


def test_every_convention_and_list_has_a_cell(found: Agreement) -> None:
    assert {reading.convention.id for reading in found.readings} == set(conventions.names())
    for pair in found.pairs:
        assert len(pair.cells) == len(found.readings) * len(LISTS)


def test_a_list_without_a_price_for_what_is_counted_has_no_ratio(found: Agreement) -> None:
    analog = {cell.reading: cell for cell in found.pairs[0].cells if cell.hardware == "rolls-77fj"}
    assert analog["exact"].missing == "no price for MACs"
    assert analog["ssa-bin"].ratio  # which counts SOPs alone


def test_a_ratio_that_a_list_before_gave_is_no_evidence(runs: dict[str, Activity]) -> None:
    lists = [prices("a", mac=4.6, ac=0.9), prices("twice", mac=9.2, ac=1.8), prices("other", mac=1.0, ac=0.9)]
    pair = agreement_of({name: [runs[name]] for name in NAMES[:2]}, "spikformer", lists).pairs[0]
    for reading in ("exact", "formula"):
        assert [cell.repeats for cell in pair.cells if cell.reading == reading] == [False, True, False]
    assert [cell.repeats for cell in pair.cells if cell.reading == "ssa-bin"] == [False, True, True]
    assert len(pair.evidence) == sum(not cell.repeats for cell in pair.cells)


def test_readings_that_count_alike_are_one(runs: dict[str, Activity]) -> None:
    first = conventions.find("exact:max_levels=33")
    found = agreement_of({name: [runs[name]] for name in NAMES[:2]}, "spikformer", hardware.bundled()[:1], first)
    assert found.readings[0].label == "exact:max_levels=33"
    assert "exact" in found.readings[0].others
    assert "exact" not in [reading.label for reading in found.readings]


def test_excluded_layers_are_excluded_everywhere_and_listed(runs: dict[str, Activity]) -> None:
    rule = conventions.find("exact").excluding(conventions.Exclusion(("head",)))
    sides = {name: [runs[name]] for name in NAMES[:2]}
    lists = [hardware.load_hardware("cmos45-fp32")]
    found = agreement_of(sides, "spikformer", lists, rule)
    assert all(reading.convention.without.names == ("head",) for reading in found.readings)
    assert [(side, name) for side, name, _ in found.excluded] == [(name, "head") for name in NAMES[:2]]
    texts = [text for notes in agreement_document(found).notes for text in notes.texts]
    assert any(text.startswith("ssa_bin: head is excluded from all counts, 640 dense MACs") for text in texts)
    nothing = rule.excluding(conventions.Exclusion(("nowhere",)))
    with pytest.raises(SnnprofError, match="unknown layer to exclude"):
        agreement_of(sides, "spikformer", lists, nothing)


def test_an_energy_of_nothing_has_no_ratio(runs: dict[str, Activity]) -> None:
    sides = {name: [runs[name]] for name in NAMES[:2]}
    pair = agreement_of(sides, "spikformer", [prices(mac=1.0, ac=0.0)]).pairs[0]
    assert {cell.missing for cell in pair.cells if cell.reading == "ssa-bin"} == {
        "an energy of 0, to which there is no ratio"
    }


def test_what_was_not_counted_makes_lower_bounds(runs: dict[str, Activity]) -> None:
    strange = runs["ssa_bin"].model_copy(update={"uncounted": [Uncounted(layer="x", op="fft", calls=1)]})
    lists = [hardware.load_hardware("cmos45-fp32")]
    found = agreement_of({"a": [runs["spikformer"]], "b": [strange]}, "a", lists)
    assert all(cell.unpriced for cell in found.pairs[0].evidence)


def test_several_runs_of_a_network_are_their_mean(runs: dict[str, Activity]) -> None:
    a, b, c = (runs[name] for name in NAMES)
    lists = [hardware.load_hardware("cmos45-fp32")]
    cell = agreement_of({"first": [a, b], "second": [b, c]}, "first", lists).pairs[0].cells[0]
    each = {id(run): (price(run).energy_pj or 0.0) / (run.samples or 1) for run in (a, b, c)}
    mine, theirs = (statistics.fmean(each[id(run)] for run in group) for group in ((b, c), (a, b)))
    assert cell.ratio is not None
    assert cell.ratio.value == pytest.approx(mine / theirs)
    assert cell.ratio.low is not None


# -- in words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((0.9, 0.8, 0.99), "less"),
        ((0.9, 0.8, 1.0), "undecided"),
        ((1.1, 1.01, 1.2), "more"),
        ((0.5, None, None), "undecided"),
        ((None, None, None), "not priced"),
    ],
)
def test_the_whole_interval_decides(ratio: tuple[float | None, ...], verdict: str) -> None:
    assert cell(*ratio).verdict == verdict


def test_the_sentence_gives_the_share_the_size_and_the_exceptions() -> None:
    less = [cell(0.61, 0.6, 0.62), cell(0.93, 0.9, 0.95, hardware="odin")]
    others = [cell(1.2, 1.1, 1.3, reading="formula", hardware="odin"), cell(0.99, 0.9, 1.1, reading="ssa-bin")]
    unused = [cell(None, missing="no price for MACs"), cell(0.61, 0.6, 0.62, hardware="twice", repeats=True)]
    pair = Pair("A", "B", (*less, *others, *unused), Versus(Interval(0.001, -0.004, 0.006), margin=1.0))
    assert pair.sentence == (
        "A needs less energy than B in 2 of 4 combinations of convention and price list (0.61–0.93 times as much); it "
        "needs more in 1 (formula on odin, 1.20), and is undecided in 1 (ssa-bin on cmos, 0.99)."
    )
    assert (
        pair.accuracy == "Its accuracy differs by +0.10 points (95 % CI −0.40 to +0.60), within the margin of 1 point."
    )


def test_the_claim_is_that_of_most_cells() -> None:
    pair = Pair("A", "B", (cell(1.5, 1.4, 1.6), cell(1.7, 1.6, 1.8, hardware="odin")))
    assert pair.sentence == (
        "A needs more energy than B in 2 of 2 combinations of convention and price list (1.50–1.70 times as much)."
    )
    undecided = Pair("A", "B", (cell(1.0, 0.9, 1.1),)).sentence
    assert undecided.startswith("None of 1 combinations")
    assert "prices both" in Pair("A", "B", (cell(None),)).sentence


@pytest.mark.parametrize(
    ("low", "high", "saves", "within"),
    [(-0.004, 0.5, True, True), (-0.02, 0.0, True, False), (-0.5, 0.004, False, True), (0.0, 0.02, False, False)],
)
def test_the_margin_is_about_the_accuracy_of_whom_needs_less(
    low: float, high: float, saves: bool, within: bool
) -> None:
    sentence = Versus(Interval((low + high) / 2, low, high), margin=1.0).sentence(saves)
    assert ("not directly comparable" not in sentence) is within


def test_runs_on_different_data_are_not_compared() -> None:
    assert "different data" in Versus(same_data=False).sentence(saves=True)
    assert "accuracy of one is unknown" in Versus().sentence(saves=True)


# -- as values and documents -----------------------------------------------------------------------------------


def test_a_comparison_offers_the_same(runs: dict[str, Activity], found: Agreement) -> None:
    comparison = snnprof.compare(runs)
    agreement = comparison.under_all_conventions(LISTS)
    assert [pair.cells for pair in agreement.pairs] == [pair.cells for pair in found.pairs]
    assert str(agreement).startswith(f"{len(found.readings)} conventions on")
    assert len(agreement.to_dataframe()) == sum(len(pair.cells) for pair in found.pairs)
    assert "Agreement" in repr(agreement)
    assert agreement.to_latex()
    assert agreement.plot("conventions")


def test_a_published_row_is_no_baseline(runs: dict[str, Activity]) -> None:
    row = "paper:ssa_bin-bin-cifar10"
    with pytest.raises(SnnprofError, match="has one convention, its paper's"):
        snnprof.compare([row, runs["spikformer"]]).under_all_conventions()
    with pytest.raises(SnnprofError, match="needs two runs"):
        snnprof.compare([runs["spikformer"], row]).under_all_conventions()


def test_every_cell_is_in_the_csv(found: Agreement) -> None:
    lines = csv.render(agreement_document(found)).splitlines()
    assert lines[0].startswith("name,baseline,convention,hardware,energy_ratio,energy_ratio_low")
    assert len(lines) == 1 + sum(len(pair.cells) for pair in found.pairs)


def test_hostile_names_reach_no_format_raw(runs: dict[str, Activity]) -> None:
    names = ("a_b%c<script>{}", "\x1b[31mred\u202e")
    sides = dict(zip(names, ([runs["spikformer"]], [runs["ssa_bin"]]), strict=True))
    document = agreement_document(agreement_of(sides, names[1], hardware.bundled()[:2]), "snnprof compare")
    for text in (latex.render(document), terminal.render(document, 80), json.render(document)):
        assert "\x1b[31m" not in text
    assert r"a\_b\%c\textless{}script" in latex.render(document)


def test_the_picture_s_squares_are_the_cells(found: Agreement) -> None:
    matrix = matrix_in(found)
    assert matrix.hardware == found.telling
    for panel, pair in zip(matrix.panels, found.pairs, strict=True):
        cells = {(cell.reading, cell.hardware): cell for cell in pair.cells}
        for label, row in zip(matrix.conventions, panel.rows, strict=True):
            for id, square in zip(matrix.hardware, row, strict=True):
                cell = cells[label, id]
                assert square.verdict == cell.verdict
                assert square.ratio == (cell.ratio.value if cell.ratio else None)
                assert square.power is None or 2**square.power == pytest.approx(square.ratio)
    assert matrix.reach == max(abs(math.log2(c.ratio.value)) for p in found.pairs for c in p.cells if c.ratio
                               and c.hardware in found.telling)  # fmt: skip


def test_lists_without_a_column_are_named_with_the_reason(runs: dict[str, Activity]) -> None:
    exact = Reading(conventions.find("exact"))
    missing = "no price for MACs"
    cells = [cell(2.0, 1.9, 2.1, hardware="a"), cell(2.0, 1.9, 2.1, hardware="b", repeats=True)]
    cells += [cell(None, hardware=id, missing=missing) for id in "cd"]
    found = Agreement((Pair("y", "x", tuple(cells)),), "x", (exact,), tuple("abcd"))
    repeats = "the same ratios as on a list before it"
    assert found.not_telling == {repeats: ["b"], missing: ["c", "d"]}
    assert [str(each) for each in matrix_in(found).left_out] == [f"b: {repeats}", f"c, d: {missing}"]
    texts = [text for notes in agreement_document(found).notes for text in notes.texts]
    assert "No price for MACs: 2 cells on c, d." in texts
    assert "The same ratios as on a list before it: b." in texts
    sides = [Entry(name, runs=((price(runs[name], "cmos45-fp32"),),)) for name in ("spikformer", "ssa_bin")]
    drawing = conventions_figure(sides, [hardware.load_hardware(id) for id in LISTS])
    assert any("rolls-77fj" in str(each) and "no price for MACs" in str(each) for each in drawing.left_out)


@pytest.mark.parametrize(("ratio", "ends"), [(1.1, "neither"), (100.0, "max"), (0.01, "min")])
def test_the_scale_says_that_ratios_lie_beyond_it(ratio: float, ends: str) -> None:
    pair = Pair("b", "a", (cell(ratio, 0.9 * ratio, 1.05 * ratio),))
    drawn = draw_matrix(matrix_in(Agreement((pair,), "a", (Reading(conventions.find("exact")),), ("cmos",))), Look())
    (scale,) = [image.colorbar for axis in drawn.axes for image in axis.images if image.colorbar]
    assert scale.extend == ends


def test_what_a_convention_has_no_count_of_is_said(found: Agreement, runs: dict[str, Activity]) -> None:
    """The script sums layers named conv or head; of a Spikformer on digits it misses all that are named linear."""
    missed = dict(found.uncounted)
    run = runs["spikformer"]
    linear = sum(op.dense_macs for op in run.ops if "linear" in op.layer)
    products = sum(op.dense_macs for op in run.ops if not op.weights)
    assert linear > 0
    assert missed["spikingformer-script"]["spikformer"] == linear / (run.samples or 1)
    assert missed["neurobench"]["spikformer"] == products / (run.samples or 1)
    assert "exact" not in missed
    texts = [text for notes in agreement_document(found).notes for text in notes.texts]
    assert any(text.startswith("spikingformer-script has no count of") for text in texts)
