"""Audits: which readings give a printed energy. Each expected energy is worked out from the formula in the test."""

from __future__ import annotations

from itertools import product

import pytest

from snnprof import catalogue
from snnprof.audit import Audit, Counted, Figures, audit, shared, variants
from snnprof.audit.printed import ENERGIES, Quantity, Range, quantity
from snnprof.audit.published import from_published, siblings
from snnprof.audit.readings import AXES, Choice, Sheet, dense, first_layer, head, printed_macs, spiking
from snnprof.render.audit import audit_document, result

GIGA = 1e9
TABLE_2 = {
    "SSA": ("1.29", "0.099334", "1.32", "0.101", "5.73", "0.441", "5.91", "0.455"),
    "baseline": ("0.78", "0.060", "0.83", "0.064", "3.76", "0.289", "3.94", "0.303"),
    "w/ shift": ("0.69", "0.053", "0.82", "0.063", "3.17", "0.244", "3.76", "0.289"),
    "w/ mean": ("0.64", "0.049", "0.71", "0.055", "3.64", "0.280", "3.27", "0.252"),
    "SSA_Bin": ("0.51", "0.039", "0.54", "0.041", "3.22", "0.248", "3.16", "0.243"),
}
SETS = ("CIFAR-10/T4", "CIFAR-100/T4", "CIFAR10-DVS/T16", "N-Caltech101/T16")


def exactly(count: float) -> Range:
    return Range(count, count)


def figures(sheet: Sheet, energy: str, **facts: object) -> Figures:
    return Figures("row", quantity(energy, ENERGIES, "mJ"), (Counted(sheet),), **facts)  # type: ignore[arg-type]


def published(id: str) -> Audit:
    row = catalogue.published_row(id)
    return audit(from_published(row), siblings(row))


def keys(found: Audit) -> list[dict[str, str]]:
    """The choices of the readings that give the energy, without those that go without saying."""
    return [
        {axis: choice.key for axis, choice in reading.choices.items() if choice.key not in ("once", "one")}
        for reading in found.plain_matching
    ]


# -- the fixtures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "column"), list(product(TABLE_2, range(4))))
def test_all_cells_of_ssa_bin_are_77_fj_per_sop(method: str, column: int) -> None:
    sops, energy = TABLE_2[method][2 * column : 2 * column + 2]
    assert float(sops) * 0.077 == pytest.approx(float(energy), abs=0.005 * 0.077 + 0.0005)
    found = published(f"ssabin/{method}@{SETS[column]}")
    assert found.figures.printed.number.text == energy
    assert keys(found) == [{"ac": "0.077"}]
    assert found.stated is True


def test_one_reading_gives_the_whole_table_of_ssa_bin() -> None:
    audits = [published(f"ssabin/{method}@{name}") for method in TABLE_2 for name in SETS]
    (common,) = shared(audits)
    assert (len(common.rows), common.of) == (20, 20)
    assert common.reading.choices["ac"].factor == 0.077


def test_three_versions_of_spikformer_8_512() -> None:
    """11.09 G · 77 fJ = 0.854 mJ; 0.9 · 11.09 + 4.6 · 4 · 0.0867 = 11.577 mJ; 18.82 mJ needs x G of SOPs as MACs with
    0.9 · 11.09 + 4.6 · 0.3468 + 3.7 x = 18.82."""
    v1, iclr, recount = (published(f"{paper}/Spikformer-8-512") for paper in
                         ("spikformer_v1", "spikformer_iclr", "spikingformer"))  # fmt: skip
    assert keys(v1) == [{"ac": "0.077", "first": "left_out"}]
    assert keys(iclr) == [{"ac": "0.9", "mac": "4.6", "first": "mac_each_step"}]
    assert (recount.matching, recount.stated) == ((), None)
    share = (18.82 - 0.9 * 11.09 - 4.6 * 4 * 0.086704128) / 3.7
    assert recount.hints == (
        f"It would follow if {share:.3f} G of the SOPs were priced as MACs instead of ACs, such as those of integer "
        "inputs.",
    )


@pytest.mark.parametrize(("model", "own"), [("8-384", 0.065028096), ("8-768", 0.130056192)])
def test_spikformers_that_were_charged_the_first_layer_of_another(model: str, own: float) -> None:
    row = catalogue.published_row(f"spikformer_iclr/Spikformer-{model}")
    assert row.sops_g is not None
    assert row.recomputed_mj == pytest.approx(0.9 * row.sops_g + 4.6 * 4 * own)
    charged = 0.9 * row.sops_g + 4.6 * 4 * 0.086704128
    assert charged == pytest.approx(float(row.energy_mj or 0), abs=0.0045 + 0.0005)
    found = audit(from_published(row), siblings(row))
    assert not found.plain_matching
    assert found.hints == (
        "The stated formula gives it with the first layer of paper:spikformer_iclr/Spikformer-6-512@224/T4.",
    )


def test_no_sensible_reading_gives_the_energy_of_sdt() -> None:
    """Table S1: 5.35 mJ as stated, 6.81 mJ with Q, K, V at the rate of their input, 4.16 mJ with conv1 once."""
    found = published("sdt/SDT-8-512@224/T4")
    assert (found.stated, found.plain_matching) == (False, ())
    assert found.matching
    assert min(reading.unusual for reading in found.matching) >= 2
    sheet, stated = found.figures.sheet, dict(found.figures.stated or {})
    changes: tuple[dict[str, str], ...] = ({}, {"qkv": "input_rates"}, {"first": "mac_once"})
    energies = [reading.energy.middle / 1e9 for v in changes if (reading := sheet.reading({**stated, **v}))]
    assert energies == pytest.approx([5.35, 6.81, 4.16], abs=0.005)
    assert len(found.figures.layers) == 5 + 8 * 8 + 1
    told = {choice.words: near.reading.energy.middle / 1e9 for choice, near in variants(found.figures)}
    assert told["Q, K, V at the rate of their input"] == pytest.approx(6.81, abs=0.005)
    assert told["first layer as MACs, once"] == pytest.approx(4.16, abs=0.005)


def test_spikeyolo_prices_the_first_layer_at_the_product() -> None:
    """0.9 · 37.2137 + 0.9 · 4.6 · 0.2408 = 34.4894; at 4.6 pJ it is 34.600."""
    assert pytest.approx(34.4894, abs=3e-4) == 0.9 * 37.2137 + 0.9 * 4.6 * 0.2408
    found = published("spikeyolo")
    assert found.stated is False
    assert keys(found) == [{"ac": "0.9", "mac": "4.6", "first": "product_each_step"}]
    stated = found.figures.stated_reading
    assert stated is not None
    assert stated.energy.middle / 1e9 == pytest.approx(34.600, abs=5e-4)


def test_spikingresformer_leaves_its_stem_out() -> None:
    """0.9 · 6.07 = 5.463."""
    for model in ("Ti", "M"):
        assert keys(published(f"srf/SpikingResformer-{model}")) == [{"ac": "0.9", "first": "left_out"}]


def test_qkformers_row_of_sew_resnet_34_is_that_of_50() -> None:
    found = published("qkformer/SEW-ResNet-34")
    assert (found.stated, found.plain_matching) == (False, ())
    assert found.hints == (
        "4.890 mJ stands at paper:spikformer_iclr/SEW-ResNet-50@224/T4, where it follows: it may have been copied "
        "from there.",
    )
    assert pytest.approx(4.890, abs=5e-4) == 0.9 * 4.83 + 4.6 * 0.118013952


def test_every_row_with_counts_can_be_audited_and_agrees_with_its_verdict() -> None:
    for row in catalogue.published().values():
        if row.energy is not None and row.sheet.terms:
            assert audit(from_published(row)).stated in (row.follows, None), row.id


# -- the algebra ---------------------------------------------------------------------------------------------------

SHEET = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(0.1 * GIGA), 4), head(exactly(0.01 * GIGA), 4)), 4)
BY_HAND = {
    # SOPs 10 G, first layer 0.1 G a step, head 0.01 G a step, T = 4; millijoules
    0.9 * 10 + 4.6 * 0.4: {"ac": "0.9", "mac": "4.6", "first": "mac_each_step", "head": "left_out"},
    0.9 * 10 + 4.6 * 0.1 + 4.6 * 0.01: {"ac": "0.9", "mac": "4.6", "first": "mac_once", "head": "mac_once"},
    0.9 * 10 + 0.9 * 0.4 + 4.6 * 0.04: {"ac": "0.9", "mac": "4.6", "first": "ac_each_step", "head": "mac_each_step"},
    0.9 * 10 + 0.9 * 4.6 * 0.4: {"ac": "0.9", "mac": "4.6", "first": "product_each_step", "head": "left_out"},
    0.9 * 10 + 0.9 * 0.04: {"ac": "0.9", "first": "left_out", "head": "ac_each_step"},
    0.077 * 10 + 12.5 * 0.1: {"ac": "0.077", "mac": "12.5", "first": "mac_once", "head": "left_out"},
    4 * 0.9 * 10 + 4.6 * 0.4: {"ac": "0.9", "mac": "4.6", "first": "mac_each_step", "head": "left_out",
                               "steps": "twice"},
    0.9 * 10 / 4 + 4.6 * 0.1: {"ac": "0.9", "mac": "4.6", "first": "mac_once", "head": "left_out", "steps": "never"},
    2 * (0.9 * 10 + 4.6 * 0.4): {"ac": "0.9", "mac": "4.6", "first": "mac_each_step", "head": "left_out",
                                 "flops": "double"},
    0.9 * 10 + 4.6 * 0.4 / 2: {"ac": "0.9", "mac": "4.6", "first": "mac_each_step", "head": "left_out",
                               "flops": "half_first"},
}  # fmt: skip


@pytest.mark.parametrize(("energy", "choices"), BY_HAND.items(), ids=lambda value: str(value)[:40])
def test_energies_of_readings_by_hand(energy: float, choices: dict[str, str]) -> None:
    reading = SHEET.reading(choices)
    assert reading is not None
    assert reading.energy.middle / 1e9 == pytest.approx(energy)
    lines = SHEET.lines(reading)
    assert sum(line.energy.middle for line in lines) == pytest.approx(reading.energy.middle)
    found = audit(figures(SHEET, f"{energy:.6f}"))
    assert {axis: choice.key for axis, choice in found.matching[0].choices.items()} == {
        "steps": "once", "flops": "one", **choices,
    }  # fmt: skip


def test_each_reading_is_there_once_and_all_are_tried() -> None:
    """ac 2, mac 2, first 7, head 5, T 3, FLOPs 5, less what has no effect."""
    readings = list(SHEET.readings())
    assert len({reading.key for reading in readings}) == len(readings)
    without_mac = [reading for reading in readings if "mac" not in reading.choices]
    assert all(reading.choices["first"].key in ("left_out", "ac_each_step", "ac_once") for reading in without_mac)
    assert 2 * 2 * 7 * 5 * 3 * 5 * 0.5 < len(readings) < 2 * 2 * 7 * 5 * 3 * 5


def test_an_ann_at_one_or_two_flops_per_mac() -> None:
    sheet = Sheet((dense(exactly(8.33 * GIGA)),))
    assert len(list(sheet.readings())) == 6
    twice = audit(figures(sheet, f"{2 * 4.6 * 8.33:.3f}"))
    assert [{a: c.key for a, c in r.choices.items()} for r in twice.matching] == [{"mac": "4.6", "flops": "double"}]


def test_printed_macs_and_further_prices() -> None:
    """0.1 pJ · 2.2 G + 3.2 pJ · 0.5 G = 1.82 mJ."""
    prices = {
        "ac": (Choice("0.1", "0.1 pJ per AC", factor=0.1),),
        "mac": (Choice("3.2", "3.2 pJ per MAC", factor=3.2),),
    }
    terms = (spiking(exactly(2.2 * GIGA)), printed_macs(exactly(0.5 * GIGA)))
    assert not audit(figures(Sheet(terms, 4), "1.820")).plain_matching
    found = audit(figures(Sheet(terms, 4, prices), "1.820"))
    assert found.plain_matching[0].choices["ac"].factor == 0.1


def test_without_t_nothing_is_multiplied_by_it() -> None:
    sheet = Sheet((spiking(exactly(GIGA)), first_layer(exactly(GIGA), None)))
    assert "steps" not in sheet.axes
    assert {choice.key for choice in sheet.axes["first"]} == {"mac_once", "left_out", "ac_once", "product_once"}
    assert sheet.reading({"first": "mac_each_step"}) is None


def test_with_one_step_once_is_each_step() -> None:
    sheet = Sheet((spiking(exactly(GIGA)), first_layer(exactly(GIGA), 1)), 1)
    assert sheet.reading({"first": "mac_once"}) == sheet.reading({"first": "mac_each_step"})
    assert "steps" not in sheet.axes


def test_choices_that_do_not_matter_are_joined() -> None:
    """A head of 2 · 10⁻⁶ G is lost in the rounding: whatever it counts as, the energy is 10.8 mJ."""
    sheet = Sheet((spiking(exactly(12 * GIGA)), head(exactly(2e3), 4)), 4)
    found = audit(figures(sheet, "10.80"))
    assert found.groups[0].free >= {"head", "mac"}
    assert "ac" not in found.groups[0].free
    assert sum(len(group.readings) for group in found.groups) >= len(found.plain_matching)


def test_a_coarse_figure_identifies_nothing() -> None:
    found = audit(figures(SHEET, "9"))
    assert len(found.groups) > 1
    assert found.chance > audit(figures(SHEET, "9.000")).chance


def test_a_choice_without_an_effect_is_no_alternative() -> None:
    """9.0 mJ is 0.9 pJ · 10 G: with the first layer left out, nobody chooses its FLOPs per MAC."""
    sheet = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(GIGA / 8), 4)), 4)
    group = audit(figures(sheet, "9.000")).groups[0]
    assert {axis: [choice.key for choice in side] for axis, side in group.choices.items()} == {
        "ac": ["0.9"], "first": ["left_out"], "steps": ["once"], "flops": ["one"],
    }  # fmt: skip


def test_a_figure_that_papers_would_get_needs_no_other_explanation() -> None:
    sheet = Sheet((spiking(Range(9.95 * GIGA, 10.05 * GIGA)), first_layer(exactly(GIGA / 8), 4)), 4)
    assert not audit(figures(sheet, "11.301")).hints, "0.9 · 10 + 4.6 · 0.5 = 11.3, but for the rounding of the SOPs"
    assert "priced as MACs" in audit(figures(sheet, "15.0")).hints[0]
    unknown = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(GIGA / 8), None)), None)
    assert "T is not given" in audit(figures(unknown, "11.300")).hints[0]


@pytest.mark.parametrize(
    ("energy", "words"), [("11.3", ""), ("11300", "1,000 times smaller"), ("11.3 nJ", "1,000,000 times larger")]
)
def test_units_that_are_a_thousand_apart(energy: str, words: str) -> None:
    """0.9 pJ · 10 G + 4.6 pJ · 4 · 0.125 G = 11.3 mJ."""
    sheet = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(GIGA / 8), 4)), 4)
    assert words in "".join(audit(figures(sheet, energy)).hints)
    assert bool(words) == bool(audit(figures(sheet, energy)).hints)


@pytest.mark.parametrize(("head_macs", "energy", "words"), [
    (1e5, "9.575", "differ only in the head"),
    (1e5, "10", "by different choices"),
])  # fmt: skip
def test_what_several_readings_leave_open(head_macs: float, energy: str, words: str) -> None:
    sheet = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(GIGA / 8), 4), head(exactly(head_macs), 4)), 4)
    assert words in result(audit(figures(sheet, energy)))


def test_the_stated_formula_comes_first() -> None:
    stated = {"ac": "0.9", "mac": "4.6", "first": "mac_once", "head": "mac_each_step"}
    found = audit(figures(SHEET, "9.6", stated=stated))
    assert found.stated is True
    assert {axis: found.matching[0].choices[axis].key for axis in stated} == stated


def test_unknown_choices_are_refused() -> None:
    from snnprof.errors import SnnprofError

    with pytest.raises(SnnprofError, match="unknown axis"):
        SHEET.reading({"frist": "mac_once"})
    with pytest.raises(SnnprofError, match="unknown choice"):
        SHEET.reading({"first": "mac_twice"})


def test_axes_have_a_usual_first_choice_and_keys_of_their_own() -> None:
    for choices in AXES.values():
        assert not choices[0].unusual
        assert len({choice.key for choice in choices}) == len(choices)


def test_a_quantity_prints_its_range_in_its_own_unit() -> None:
    assert Quantity(quantity("99.334 µJ", ENERGIES, None).number, "µJ", 1e6).between == "99.3335 to 99.3345 µJ"


def test_a_table_tells_slips_from_what_papers_state() -> None:
    """0.9 pJ · 10 G + 4.6 pJ · 4 · 0.125 G = 11.3 mJ; 4.14 pJ for 4.6: 11.07 mJ; no reading gives 15.0 mJ."""
    sheet = Sheet((spiking(exactly(10 * GIGA)), first_layer(exactly(GIGA / 8), 4)), 4)
    document = audit_document([audit(figures(sheet, energy)) for energy in ("11.300", "11.070", "15.000")])
    assert (
        document.title
        == "Audit of 3 printed energies: 1 follows from its counts, 1 only by a choice that no paper states"
    )
    assert [row.values["unusual"] for row in document.tables[0].rows] == [0, 1, None]
    assert all(0 < row.values["chance"] < 1 for row in document.tables[0].rows)  # type: ignore[operator]
