"""The web page's values: what every line costs on every price list, what its charts show, what it may not hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from snnprof import catalogue, repricing
from snnprof.activity import Activity, Finding, NeuronRecord
from snnprof.comparison import Entry, compared
from snnprof.grouping import grouped
from snnprof.hardware import bundled, load_hardware
from snnprof.pricing import price
from snnprof.render import html, web
from snnprof.render.comparison import comparison_document
from snnprof.render.facts import WORK
from snnprof.render.figures import colours
from snnprof.render.tables import report_document
from snnprof.render.web.comparison import ROLE_HUES, SPARE_HUES, comparison_page
from snnprof.render.web.layers import LEVELS
from snnprof.render.web.places import against_ann
from snnprof.render.web.report import report_page
from snnprof.render.web.values import Layer, ReportPage
from snnprof.summary import Total
from snnprof.units import brief_energy, rate_text


def layers(page: ReportPage) -> list[Layer]:
    return [layer for block in page.tree for layer in block.layers]


# -- price lists -----------------------------------------------------------------------------------------------


def test_every_line_costs_what_price_says_on_every_list(activity: Activity) -> None:
    """Memory, static power, all-in figures and lists without a MAC price are among them; unknown is never 0."""
    page = report_page([price(activity, "cmos45-fp32")])
    assert {prices.id for prices in page.prices} == {hardware.id for hardware in bundled()}
    lines = {(line.name, line.op): line for line in layers(page)}
    unknown = 0
    for prices in page.prices:
        report = price(activity, prices.id)
        for group in grouped([report], "op"):
            line = lines[group.name, group.op.replace("_", " ")]
            pj, missing = prices.pj[line.priced.number], prices.kinds[prices.missing[line.priced.number]]
            assert missing == ", ".join(WORK[kind] for kind in group.rows[0].unpriced)
            expected = group.rows[0].energy_pj
            assert pj == (None if expected is None else pytest.approx(expected / 20, rel=1e-6))
            unknown += pj is None and bool(missing)
        total = report.totals.energy_pj
        assert total is not None
        assert prices.total.value == pytest.approx(total / 20, rel=1e-6)
        assert prices.total.text.startswith("≥ ") == report.lower_bound
    assert unknown > len(page.prices)


def test_blocks_and_roles_add_up(activity: Activity) -> None:
    page = report_page([price(activity, "cmos45-fp32")])
    for prices in page.prices:
        for block in page.tree:
            known = [prices.pj[line.priced.number] for line in block.layers]
            total = sum(pj for pj in known if pj is not None)
            assert (prices.pj[block.priced.number] or 0.0) == pytest.approx(total, rel=1e-5)
        for _, bars in page.bars:
            shown = sum(prices.pj[bar.priced.number] or 0.0 for bar in bars)
            assert shown <= (prices.total.value or 0.0) * (1 + 1e-5)


def test_what_is_unknown_is_no_zero(activity: Activity) -> None:
    page = report_page([price(activity, "rolls-77fj")])
    stem = next(line for line in layers(page) if line.name == "patch_embed.proj_conv")
    assert (stem.priced.energy.text, stem.priced.share, stem.priced.missing) == ("–", None, "MACs")
    assert page.prices[0].total.text.startswith("≥ ")


def test_the_users_own_price_lists_stay_at_home(
    activity: Activity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is sent to others; only what its command named goes into it."""
    own = Path(__file__).parents[2] / "hardware_profiles" / "cmos45-fp32.yaml"
    text = own.read_text(encoding="utf-8").replace("id: cmos45-fp32", "id: secret-chip", 1)
    (tmp_path / "secret-chip.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SNNPROF_HARDWARE", str(tmp_path))
    assert "secret-chip" not in html.render(report_document([price(activity, "cmos45-fp32")], figures=True))
    named = report_document([price(activity, load_hardware("secret-chip"))], figures=True)
    assert "secret-chip" in html.render(named)


def test_options_of_the_pricing_hold_on_every_list(activity: Activity) -> None:
    report = price(activity, "cmos45-fp32", "spikformer", latency_s=0.25)
    for each in repricing.on_every_list([report]):
        assert (each.convention, each.latency_s) == (report.convention, 0.25)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(6.66, "6.7× below its ANN twin"), (0.75, "1.3× above its ANN twin"), (250.4, "250× below its ANN twin"),
     (1.02, "2 % below its ANN twin"), (1.001, "equal to its ANN twin"), (None, "ANN twin unknown")],
)  # fmt: skip
def test_the_ratio_to_the_ann_twin(ratio: float | None, said: str) -> None:
    assert against_ann(Total(load_hardware("cmos45-fp32"), 1.0, None, False, ratio)) == said


def test_a_list_without_a_mac_price_has_no_ann(activity: Activity) -> None:
    assert report_page([price(activity, "rolls-77fj")]).prices[0].against == "no ANN price on this list"


def test_only_the_lists_that_were_named_have_intervals(activity: Activity) -> None:
    page = report_page([price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")])
    assert [bool(prices.interval) for prices in page.prices] == [True, True] + [False] * (len(page.prices) - 2)


def test_a_run_whose_samples_nobody_knows(activity: Activity) -> None:
    unknown = activity.model_copy(update={"samples": None, "accuracy": None, "blocks": []})
    page = report_page([price(unknown, "cmos45-fp32")])
    assert "all figures are of the whole run" in page.subtitle
    assert page.prices[0].total.value == pytest.approx(price(unknown, "cmos45-fp32").energy_pj, rel=1e-6)


def test_a_run_without_anything() -> None:
    page = html.render(report_document([price(Activity(), "cmos45-fp32")], figures=True))
    shown = page[page.index("<body>") : page.index("<script>")]
    assert not re.search(r"NaN|None|nan\b|inf\b", shown)


# -- layers ----------------------------------------------------------------------------------------------------


def test_a_line_opens_to_what_the_run_knows(activity: Activity) -> None:
    page = report_page([price(activity, "cmos45-fp32")])
    product = next(line for line in layers(page) if line.op == "matmul 0")
    facts = dict(product.facts)
    assert facts["Shapes"] == "4×8 · 8×4"
    assert [source.name for source in product.fed_by] == ["block.0.attn.k_lif", "block.0.attn.q_lif"]
    anchors = {line.anchor: line.name for line in layers(page) if line.anchor}
    assert [anchors[source.anchor] for source in product.fed_by] == ["block.0.attn.k_lif", "block.0.attn.q_lif"]
    titles = [chart.title for chart in product.charts]
    assert titles[:2] == ["Left operand values", "Right operand values"]
    assert titles[2].startswith("Firing rate of block.0.attn.k_lif")


def test_rates_by_step_and_histograms(activity: Activity) -> None:
    """Spikes of a step / neurons · samples; elements of a level / elements."""
    page = report_page([price(activity, "cmos45-fp32")])
    neuron: NeuronRecord = activity.neurons[0]
    line = next(each for each in layers(page) if each.name == neuron.layer)
    rates = [spikes / (neuron.size * 20) for spikes in neuron.spikes_per_step]
    assert [column.text for column in line.charts[0].columns] == list(map(rate_text, rates))
    assert [column.height for column in line.charts[0].columns] == pytest.approx([rate / max(rates) for rate in rates])
    linear = next(each for each in layers(page) if each.name == "block.0.attn.q_linear")
    histogram = next(op for op in activity.ops if op.layer == "block.0.attn.q_linear").data[0].histogram
    shares = [rate_text(count / sum(histogram)) for count in histogram]
    assert [(column.name, column.text) for column in linear.charts[0].columns] == list(zip("012", shares, strict=True))


def test_a_long_histogram_ends_in_one_column(activity: Activity) -> None:
    op = activity.ops[1]
    operand = op.data[0].model_copy(update={"histogram": [1] * (LEVELS + 5)})
    changed = op.model_copy(update={"operands": [operand, op.operands[1]]})
    ops = [changed if each is op else each for each in activity.ops]
    page = report_page([price(activity.model_copy(update={"ops": ops}), "cmos45-fp32")])
    columns = next(line for line in layers(page) if line.name == op.layer).charts[0].columns
    assert len(columns) == LEVELS + 1
    assert (columns[-1].name, columns[-1].text) == (f"{LEVELS} and more", rate_text(5 / (LEVELS + 5)))


# -- comparisons -----------------------------------------------------------------------------------------------


def test_models_on_one_scale(activity_maker: Callable[..., Activity]) -> None:
    runs = {name: price(activity_maker(firing=firing), "cmos45-fp32") for name, firing in (("a", 3), ("b", 5))}
    page = comparison_page(compared([Entry(name, ((report,),)) for name, report in runs.items()]))
    scale = next(scale for scale in page.scales if scale.title == "Energy, cmos45-fp32")
    energies = [mark.at for mark in scale.marks]
    assert all(energies)
    totals = [(report.energy_pj or 0.0) / 20 for report in runs.values()]
    assert [mark.text for mark in scale.marks] == [brief_energy(total) for total in totals]
    assert (energies[0] or 0.0) / (energies[1] or 1.0) == pytest.approx(totals[0] / totals[1])
    assert scale.note.startswith("Lower bounds")
    ratio = next(scale for scale in page.scales if scale.title == "Energy over that of a")
    assert ratio.line is not None
    assert ratio.marks[0].at is not None
    assert ratio.marks[0].at > ratio.line, "b needs more than a"
    (_, stacks), *_ = page.stacks
    for stack, total in zip(stacks, totals, strict=True):
        assert sum(part.width for part in stack.segments) == pytest.approx(total / max(totals))


def test_a_comparison_on_every_list(activity_maker: Callable[..., Activity]) -> None:
    """Energies and ratios are those that `price` gives, list by list; of several runs joined, their mean."""
    low, high, other = activity_maker(firing=3), activity_maker(firing=5), activity_maker(firing=1)
    entries = [
        Entry("two", tuple((price(run, "cmos45-fp32"),) for run in (low, high))),
        Entry("one", ((price(other, "cmos45-fp32"),),)),
    ]
    page = comparison_page(compared(entries))
    assert {row.id for row in page.lists} == {hardware.id for hardware in bundled()}
    less = more = 0
    for row in page.lists:
        two, one = ([(price(run, row.id).energy_pj or 0.0) / 20 for run in runs] for runs in ((low, high), (other,)))
        assert [number.value for number in row.energies] == pytest.approx([sum(two) / 2, one[0]])
        assert row.ratios[0].value == pytest.approx(one[0] / (sum(two) / 2))
        assert row.energies[1].text.startswith("≥ ") == price(other, row.id).lower_bound
        less += one[0] < sum(two) / 2
        more += one[0] > sum(two) / 2
    assert less + more == len(page.lists) - 1, (
        "a neuron-step costs the same whether it fires or not: the bound of Loihi 2"
    )
    assert page.verdicts == (
        f"one needs less energy than two on {less} of {len(page.lists)} price lists, more on {more}.",
    )


def test_published_rows_share_no_scale_with_runs(activity: Activity) -> None:
    row = next(row for row in catalogue.published().values() if row.energy_mj and row.sops_g)
    comparison = compared([Entry("run", ((price(activity, "cmos45-fp32"),),)), Entry("printed", published=row)])
    shown = {scale.title: [mark.name for mark in scale.marks] for scale in comparison_page(comparison).scales}
    assert shown["SOPs per inference"] == ["run on digits"]
    assert shown["Energy as published"] == [f"printed on {row.dataset}"]


def test_only_published_rows() -> None:
    rows = list(catalogue.published().values())[:2]
    document = comparison_document(compared([Entry(row.title, published=row) for row in rows]), figures=True)
    assert "Energy as published" in html.render(document)


# -- the file --------------------------------------------------------------------------------------------------

BREAKING = "</script><!-- <script>alert(1)</script> ]]> \u2028 {{ 7*7 }} {% x %} \" ' & <"


def test_what_the_script_reads_holds_no_tag(activity: Activity) -> None:
    hardware = load_hardware("cmos45-fp32").model_copy(update={"title": BREAKING})
    text = html.render(report_document([price(activity, hardware)], figures=True))
    data = re.search(r'<script type="application/json" id="amounts">(.*?)</script>', text, re.S)
    assert data
    assert not re.search(r"[<>&']", data[1])
    assert json.loads(data[1], parse_constant=pytest.fail)[0]["title"] == BREAKING.replace("\u2028", r"\u2028")
    assert text.count("<script") == 2
    assert "49" not in re.findall(r"alert.{60}", text)[0]


def test_the_policy_names_the_script(activity: Activity) -> None:
    import base64
    import hashlib

    text = html.render(report_document([price(activity)], figures=True))
    script = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert len(script) == 1
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert not re.search(r"\son\w+=|javascript:", text)


def test_a_finding_opens_to_its_explanation(activity: Activity) -> None:
    finding = Finding(code="C06", text="the network hardly fires", hint="train it")
    changed = activity.model_copy(update={"findings": [finding, Finding(code="C99", text="nobody knows", hint="")]})
    text = html.render(report_document([price(changed)]))
    assert re.search(
        r'<details class="finding"><summary>[^<]*\(C06\)</summary>\s*<p><b>C06</b> [^<]+</p>\s*<dl><dt>What', text
    )
    assert re.search(r"<li>nobody knows\. \(C99\)</li>", text)


def test_what_comes_first_is_said_first(activity: Activity) -> None:
    data = activity.run.data.model_copy(update={"kind": "random"})
    run = activity.run.model_copy(update={"data": data})
    text = html.render(report_document([price(activity.model_copy(update={"run": run}))], figures=True))
    assert text.index('class="tiles"') < text.index("The input is random data") < text.index('class="bars"')


def test_a_role_has_one_colour_in_pages_and_figures() -> None:
    """Except the first layer's near black, which the page turns white in the dark."""
    css = (Path(web.__file__).parent / "web.css").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\.hue-(\d+), .* background: (.*); }$", css, re.M))
    shown["0"] = re.findall(r"--stem: (#\w+);", css)[0]
    expected = [*(colours.ROLES[role].colour for role in ROLE_HUES), colours.ROLES["other"].colour]
    assert [shown[str(hue)].upper() for hue in range(len(expected))] == expected
    assert {str(hue) for hue in SPARE_HUES} == shown.keys() - set(map(str, range(len(expected))))
