"""Measured cases: sizes by brute force, estimates by hand, what counts as a check, and the page and figure of it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.charts.validation import marks_of
from snnprof.errors import SnnprofError
from snnprof.hardware import HardwareProfile, load_hardware, names
from snnprof.pricing import price
from snnprof.render.figures import Look
from snnprof.render.figures.validation import draw_validation
from snnprof.validation import Check, cases, check, checks, find, need, tally
from snnprof.validation.activities import activity_of, traffic_of
from snnprof.validation.layers import Layer, Network, neurons, sizes

ROOT = Path(__file__).parent.parent.parent
MJ, UJ = 1e9, 1e6


@pytest.fixture(scope="module")
def every() -> list[Check]:
    """All cases on the profiles that they name."""
    return checks()


def checked(case: str, profile: str) -> Check:
    return next(each for each in checks([find(case)]) if each.hardware.id == profile)


# -- sizes --------------------------------------------------------------------------------------------------------


def brute_force(side: tuple[int, int], kernel: int, stride: tuple[int, int], padding: tuple[int, int]) -> list[int]:
    """Output rows, output columns, all taps, taps on the input."""
    places = [range(-pad, n + pad - kernel + 1, by) for n, by, pad in zip(side, stride, padding, strict=True)]
    taps = [
        (row + dy, column + dx)
        for row, column in itertools.product(*places)
        for dy, dx in itertools.product(range(kernel), repeat=2)
    ]
    inside = [0 <= row < side[0] and 0 <= column < side[1] for row, column in taps]
    return [len(places[0]), len(places[1]), len(taps), sum(inside)]


@pytest.mark.parametrize("side", [(5, 7), (8, 8), (24, 7)], ids=str)
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("padding", [(0, 0), (1, 0), (2, 1)], ids=str)
def test_a_convolution_has_the_taps_that_a_loop_finds(side, stride, padding):
    network = Network(input=[3, *side], layers=[Layer(conv=4, kernel=3, stride=stride, padding=padding)])
    (size,) = sizes(network)
    rows, columns, taps, inside = brute_force(side, 3, stride, padding)
    assert size.output == (4, rows, columns)
    assert (size.dense_macs, size.valid_macs) == (12 * taps, 12 * inside)


def test_a_pool_makes_the_next_layer_smaller_and_has_no_weights():
    network = Network(input=[2, 9, 9], layers=[Layer(pool=4), Layer(dense=5)])
    (size,) = sizes(network)
    assert (size.input, size.dense_macs, neurons(network)) == ((2 * 2 * 2,), 40, 5)


@pytest.mark.parametrize("wrong", [{}, {"conv": 1, "dense": 2}, {"dense": 1, "kernal": 3}])
def test_a_layer_is_one_of_three_kinds(wrong):
    with pytest.raises(ValueError, match=r"one of conv, dense and pool|kernal"):
        Layer(**wrong)


def test_pilotnet_has_the_sizes_that_its_notebook_prints():
    """Columns, rows and channels: 99 x 32 x 24, 49 x 15 x 36, 24 x 7 x 48, 22 x 4 x 64, 20 x 2 x 64."""
    network = find("loihi2-pilotnet-lif").layers
    shapes = [size.output for size in sizes(network)]
    assert shapes[:5] == [(24, 32, 99), (36, 15, 49), (48, 7, 24), (64, 4, 22), (64, 2, 20)]
    assert shapes[5:] == [(100,), (50,), (10,), (1,)]
    assert 16 * neurons(network) == 16 * (3 * 66 * 200 + sum(map(math.prod, shapes))) == 2_536_144


def test_the_keyword_network_has_172_800_synapses():
    (steps, size) = (find("aloha-loihi-yan").layers.steps, sizes(find("aloha-loihi-yan").layers))
    assert (steps, sum(each.dense_macs for each in size)) == (10, 390 * 256 + 256 * 256 + 256 * 29)


# -- estimates ----------------------------------------------------------------------------------------------------


def test_silent_and_all_firing_by_hand():
    """Loihi 1: 541 neurons x 10 steps at 52 or 81 pJ, 1,728,000 SOPs at 23.6 pJ, a spike of 1.7 pJ each."""
    span = checked("aloha-loihi-yan", "loihi1-davies2018").estimate
    cells, sops = 541 * 10, 172_800 * 10
    assert span.value is None
    assert span.low == pytest.approx(cells * 52)
    assert span.high == pytest.approx(cells * (81 + 1.7) + sops * 23.6)


def test_a_spike_of_speck_meets_288_synapses():
    found = checked("speck-gait-night-vanilla", "cmos45-fp32")
    assert found.case.measured.energy == pytest.approx((46.8 - 0.42) * 0.540 * MJ)
    assert found.estimate.value == pytest.approx(3.3e6 * 288 * 0.9)
    assert found.error == pytest.approx(3.3e6 * 288 * 0.9 / ((46.8 - 0.42) * 0.54 * MJ) - 1)
    assert found.unpriced == ("neuron update",)


def test_static_power_and_latency_make_the_total_of_the_sigma_delta_network():
    found = checked("loihi2-pilotnet-sdnn", "loihi2-bound-pilotnet")
    assert found.estimate.value == pytest.approx(0.232 * 0.0592 * 1e12 + 118_909 * 431)
    assert found.relation == "own"


def test_static_power_is_no_part_of_an_energy_above_rest():
    case = find("aloha-loihi-yan")
    demand = next(each for each in case.checks if each.profile == "loihi1-davies2018")
    raw = load_hardware("loihi1-davies2018")
    timed = raw.model_copy(update={"static": raw.static.model_copy(update={"latency_s": 1.0})})
    assert check(case, demand, timed).estimate == check(case, demand, raw).estimate


def test_a_processor_runs_every_multiplication_once():
    assert checked("aloha-cpu", "cmos45-fp32").estimate.value == pytest.approx(172_800 * 4.6)
    assert need(find("aloha-cpu")).operation_pj == pytest.approx(6.32 * MJ / 172_800)


def test_sanafes_case_is_its_golden_network():
    case = find("sanafe-dvs")
    stored = price(ROOT / "tests" / "data" / "sanafe_dvs.json", "loihi1-sanafe", traffic=traffic_of(case))
    assert price(activity_of(case), "loihi1-sanafe", traffic=traffic_of(case)).energy_pj == stored.energy_pj
    found = checked("sanafe-dvs", "loihi1-sanafe")
    assert (found.relation, found.counts, found.holds) == ("same prices", False, True)
    assert round(found.estimate.value / UJ, 3) == 331.760


def test_what_an_event_would_have_to_cost():
    speck = [need(case) for id, case in cases().items() if id.startswith("speck-") and case.layers is None]
    spikes = [each.spike_pj / 1e3 for each in speck if each]
    assert (round(min(spikes), 1), round(max(spikes), 1)) == (2.9, 7.6)
    sops = [each.operation_pj for each in speck if each]
    assert (round(min(sops)), round(max(sops))) == (10, 26)
    loihi2 = need(find("loihi2-pilotnet-lif"))
    assert round(loihi2.neuron_step_pj) == 431
    assert loihi2.at_least
    assert need(find("xylo-a3-rest")) is None


# -- what counts as a check -----------------------------------------------------------------------------------------


def test_no_profile_is_checked_by_what_it_was_made_from(every):
    for each in every:
        made = each.case.id in each.hardware.derived_from
        assert (each.relation == "derived") == made
        assert not (made and each.counts)


def test_every_profile_names_cases_that_there_are():
    named = {case for id in names() for case in load_hardware(id).derived_from}
    assert named <= set(cases())
    assert len(named) == 7


def test_specks_prices_are_those_of_its_six_runs():
    """All energy above rest / all SOPs, and the least and the most of one run, rounded outwards."""
    runs = [find(id) for id in load_hardware("speck-yao2024").derived_from]
    energies = [case.measured.energy for case in runs]
    sops = [case.activity.spikes * 288 for case in runs]
    price = load_hardware("speck-yao2024").energy.sop
    assert price.value == pytest.approx(sum(energies) / sum(sops), rel=1e-3)
    each = [energy / count for energy, count in zip(energies, sops, strict=True)]
    assert 0 < min(each) - price.low < 0.01
    assert 0 < price.high - max(each) < 0.01


def test_loihi_2s_bound_is_all_dynamic_energy_on_neuron_steps():
    bound = load_hardware("loihi2-bound-pilotnet").energy
    assert (
        bound.neuron_update.value == bound.neuron_update.high == pytest.approx(0.447e12 / 408.9 / 2_536_144, rel=1e-3)
    )
    report = price(ROOT / "tests" / "data" / "sanafe_dvs.json", "loihi2-bound-pilotnet")
    assert report.energy_pj == pytest.approx(18_678 * 128 * 431)
    assert report.totals.terms["sop"] is None
    assert "sop" not in report.totals.unpriced


def test_all_estimates_err_to_the_side_that_they_must(every):
    wrong = [(each.case.id, each.hardware.id) for each in every if each.holds is False]
    assert not wrong
    found = tally(every)
    assert found.directed == found.holding > 40
    assert found.checks < found.estimates


def test_an_estimate_on_the_wrong_side_is_seen():
    """Ten times the measured energy, where the price of an addition must give less."""
    case = find("speck-gesture-vanilla")
    demand = next(each for each in case.checks if each.profile == "cmos45-fp32")
    dear = profile_of("cmos45-fp32", ac=170.0)
    assert check(case, demand, dear).holds is False
    assert check(case, demand.model_copy(update={"errs": "high"}), dear).holds is True


def profile_of(id: str, **energy: float) -> HardwareProfile:
    raw = load_hardware(id).model_dump(by_alias=True)
    return HardwareProfile.model_validate({**raw, "energy": energy})


def test_every_case_says_who_measured_it_and_what_is_missing():
    for case in cases().values():
        assert case.sources
        assert case.missing
        assert (case.measured.energy is None) != (case.measured.power is None)
        assert all(source.doi or source.url for source in case.sources), case.id
    assert {case.id for case in cases().values() if case.evidence == "simulated"} == {"sanafe-dvs"}


# -- the command, the page, the figure --------------------------------------------------------------------------------


def test_the_page_is_current():
    """Make it anew with: python docs/make_validation.py"""
    script = [sys.executable, str(ROOT / "docs" / "make_validation.py"), "--check"]
    made = subprocess.run(script, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def test_json_and_csv_have_every_number(every, capsys):
    assert main(["hardware", "validate", "--format", "json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert {case["id"] for case in held["cases"]} == set(cases())
    assert main(["hardware", "validate", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(every)
    (row,) = (r for r in rows if (r["case"], r["hardware"]) == ("aloha-cpu", "cmos45-fp32"))
    assert float(row["error"]) == pytest.approx(172_800 * 4.6 / (6.32 * MJ) - 1)
    assert row["is_check"] in ("True", "true")


def test_a_profile_of_ones_own_is_held_against_every_case(tmp_path, capsys):
    text = (ROOT / "hardware_profiles" / "odin-incremental.yaml").read_text(encoding="utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("id: odin-incremental", "id: mine"), encoding="utf-8")
    assert main(["hardware", "validate", "--hardware", str(mine), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["case"] for row in rows] == list(cases())
    assert {row["must_err"] for row in rows} == {"either"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speck"], "unknown measured case 'speck'"),
        (["--hardware", "loihi2"], "has no prices"),
        (["--output", "v.pdf", "--format", "json"], "is a figure"),
        (["xylo-a3-rest", "--output", "v.svg"], "nothing to plot"),
        (["--output", "v.xyz"], "cannot tell a format"),
    ],
)
def test_bad_usage_is_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["hardware", "validate", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_figure_is_a_file_and_overwrites_none(suffix, start, tmp_path, capsys):
    file = tmp_path / f"validation.{suffix}"
    command = ["hardware", "validate", "speck-gesture-vanilla", "aloha-loihi-yan", "--output", str(file)]
    assert main(command) == 0
    first = file.read_bytes()
    assert first.startswith(start)
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert file.read_bytes() == first


def test_the_figure_has_logarithmic_axes_and_a_colour_for_each_evidence(every):
    chart = marks_of(every)
    figure = draw_validation(chart, Look())
    (axis,) = figure.axes
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [f"price {each}" for each in chart.evidence] == [text for text in texts if text.startswith("price ")]
    assert chart.evidence == ("measured", "simulated", "derived", "arithmetic", "convention")
    colours = [line.get_color() for line in figure.legends[0].get_lines()[: len(chart.evidence)]]
    assert len(set(colours)) == len(chart.evidence)
    assert [energy for _, energy in chart.cases] == sorted(energy for _, energy in chart.cases)


def test_an_empty_figure_is_refused():
    with pytest.raises(SnnprofError, match="nothing to plot"):
        marks_of([])
