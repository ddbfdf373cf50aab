"""Reports and comparisons as Python users see them: printed, in a notebook, as documents, figures and data frames."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import snnprof
from snnprof.activity import Activity
from snnprof.comparison import Comparison
from snnprof.errors import SnnprofError
from snnprof.pricing import EnergyReport, Reports
from snnprof.render import csv, summary
from snnprof.render.tables import report_document
from snnprof.shown import Shown

LISTS = ["cmos45-fp32", "rolls-77fj"]


@pytest.fixture
def values(activity: Activity, activity_maker: Callable[..., Activity]) -> dict[str, Shown]:
    """One of each kind."""
    return {
        "report": snnprof.price(activity),
        "reports": snnprof.price(activity, LISTS),
        "comparison": snnprof.compare({"one": activity, "two": activity_maker("b", firing=2)}, LISTS),
    }


@pytest.mark.parametrize("kind", ["report", "reports", "comparison"])
def test_every_value_shows_itself_in_every_way(kind: str, values: dict[str, Shown]) -> None:
    value = values[kind]
    assert str(value)
    assert len(repr(value)) < 250
    assert repr(value).startswith(f"<{type(value).__name__} of ")
    assert "<table>" in value._repr_html_()
    assert value.to_html().startswith("<!doctype html>")
    assert r"\toprule" in value.to_latex()
    assert "| --- |" in value.to_markdown()
    assert len(value.to_dataframe())
    assert value.plot("tradeoff").axes


def test_print_is_the_first_screen(values: dict[str, Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    report = values["report"]
    assert isinstance(report, EnergyReport)
    assert f"{report}\n" == summary.text([report], 100)


def test_a_list_of_hardware_gives_a_tuple_of_reports(activity: Activity, run_file: Path) -> None:
    reports = snnprof.price(str(run_file), LISTS)
    assert isinstance(reports, Reports)
    arithmetic, analog = reports
    assert [each.hardware.id for each in reports] == LISTS
    assert (arithmetic.energy_pj, analog.energy_pj) == tuple(snnprof.price(activity, id).energy_pj for id in LISTS)
    assert isinstance(snnprof.price(run_file, [snnprof.load_hardware(LISTS[0])]), Reports)
    for wrong in ([], [LISTS[0], LISTS[0]]):
        with pytest.raises(SnnprofError, match="at least one profile, and each only once"):
            snnprof.price(activity, wrong)


def test_runs_are_compared_by_path_name_and_published_row(activity: Activity, run_file: Path) -> None:
    found = snnprof.compare(
        [activity, run_file, "paper:ssa_bin-bin-cifar10"], baseline=f"spikformer:digits [{run_file}]"
    )
    assert isinstance(found, Comparison)
    assert [side.name for side in found.sides] == [
        "spikformer:digits", f"spikformer:digits [{run_file}]", "SSA_Bin (published)",
    ]  # fmt: skip
    assert found.ratios[0].energy.value == 1
    assert snnprof.compare({"mine": activity, "old": run_file}, baseline="old").baseline.name == "old"
    with pytest.raises(SnnprofError, match="takes a list of runs"):
        snnprof.compare(activity)  # type: ignore[arg-type]
    with pytest.raises(SnnprofError, match="unknown baseline 'new'"):
        snnprof.compare([activity], baseline="new")


def test_the_name_compare_stays_a_function(activity: Activity) -> None:
    """A module of that name would take its place as soon as somebody imported it."""
    str(snnprof.compare([activity]))
    assert callable(snnprof.compare)


def test_a_data_frame_is_the_csv(activity: Activity) -> None:
    reports = snnprof.price(activity, LISTS)
    frame = reports.to_dataframe()
    read = pd.read_csv(io.StringIO(csv.render(report_document(reports))))
    assert list(frame.columns) == list(read.columns)
    numbers = frame.select_dtypes("number").columns
    pd.testing.assert_frame_equal(frame[numbers], read[numbers].astype(float), rtol=1e-9)
    assert set(read["per"]) == {"inference"}


def test_a_record_tells_steps_neurons_spikes_and_shapes(activity: Activity) -> None:
    frame = snnprof.price(activity).to_dataframe().set_index(["layer", "category"])
    neuron, recorded = frame.loc[("patch_embed.rpe_lif", "neuron")], activity.neurons[0]
    assert (neuron["timesteps"], neuron["neurons"]) == (recorded.steps, recorded.size)
    assert neuron["spikes"] == recorded.spikes / 20
    first, second = (n / (20 * recorded.size) for n in recorded.spikes_per_step)
    assert [float(rate) for rate in neuron["rate_by_step"].split()] == pytest.approx([first, second], rel=1e-5)
    product = frame.loc[("block.0.attn", "contraction")].iloc[0]
    assert (product["input_shape"], product["output_shape"]) == ("4x8 @ 8x4", "4x4")


def test_neurons_are_rows_whatever_the_convention_counts(activity: Activity) -> None:
    """NeuroBench counts no neuron updates; that they fired is a fact of the run all the same."""
    frame = snnprof.price(activity, convention="neurobench").to_dataframe()
    neurons = frame[frame["category"] == "neuron"]
    assert neurons["layer"].tolist() == [neuron.layer for neuron in activity.neurons]
    assert neurons["spikes"].sum() == pytest.approx(sum(neuron.spikes for neuron in activity.neurons) / 20)


def test_figures_of_one_run_refuse_several(values: dict[str, Shown]) -> None:
    assert values["report"].plot("rates").axes
    with pytest.raises(SnnprofError, match="draws one run, not 2"):
        values["comparison"].plot("rates")
    with pytest.raises(SnnprofError, match="unknown kind of figure 'pie'"):
        values["report"].plot("pie")  # type: ignore[arg-type]


def test_latex_has_the_columns_that_were_asked_for(values: dict[str, Shown]) -> None:
    text = values["reports"].to_latex(columns=["dense_macs", "energy"], caption="50 % of it", label="tab:a_b")
    assert r"\caption{50 \% of it}" in text
    assert r"\label{tab:a_b}" in text
    assert text.count(r"\toprule") == 1
    assert r"\begin{tabular}{@{}lrrr@{}}" in text
    with pytest.raises(SnnprofError, match="unknown column 'joules'"):
        values["report"].to_latex(columns=["joules"])


def test_what_is_not_known_is_refused(values: dict[str, Shown]) -> None:
    for ask in (lambda v: v.to_html(by="layers"), lambda v: v.plot(by="layers"), lambda v: v.to_dataframe(per="image")):
        for value in values.values():
            with pytest.raises(SnnprofError, match=r"unknown (by|per) '(layers|image)'"):
                ask(value)


def test_one_line_stays_one_line(activity: Activity) -> None:
    shown = repr(snnprof.compare({"a\x1b[2J\nb": activity}))
    assert shown == "<Comparison of a\\x1b[2J b; baseline: a\\x1b[2J b>"


class Markup(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes = set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {f"{name}={value}" for name, value in attrs}


def test_no_name_becomes_markup_in_a_notebook(hostile_activity: Activity) -> None:
    """Nor a formula: notebooks typeset `$…$` unless a class tells them not to."""
    ops = [op.model_copy(update={"layer": "<img src=x onerror=alert(1)> $\\sum$"}) for op in hostile_activity.ops[:1]]
    run = hostile_activity.model_copy(update={"ops": [*ops, *hostile_activity.ops[1:]], "blocks": []})
    values: list[Shown] = [snnprof.price(run), snnprof.compare({"<script>alert(1)</script>": run, "$x$": run})]
    for value in values:
        found = Markup(value._repr_html_())
        assert found.tags <= {
            "div",
            "p",
            "strong",
            "br",
            "table",
            "caption",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "code",
        }
        assert found.attributes == {
            "class=tex2jax_ignore mathjax_ignore", "style=text-align: left", "style=text-align: right",
        }  # fmt: skip


def test_a_long_network_is_light_in_a_notebook(activity: Activity) -> None:
    ops = [op.model_copy(update={"layer": f"block.{n}.{op.layer}"}) for n in range(40) for op in activity.ops]
    report = snnprof.price(activity.model_copy(update={"ops": ops, "blocks": []}))
    assert report._repr_html_().count("<tr>") < 60
    assert len(report._repr_html_()) < 30_000


def test_a_notebook_prints_text_and_draws_figures(run_file: Path) -> None:
    """rich displays to a notebook itself, whatever stream it was given, unless it is told not to."""
    pytest.importorskip("IPython", reason="IPython is not installed (pip install ipykernel)")
    code = (
        "from IPython.core.formatters import DisplayFormatter\n"
        "import builtins, snnprof\n"
        "class Shell: pass\n"
        "Shell.__name__ = 'ZMQInteractiveShell'\n"
        "builtins.get_ipython = lambda: Shell()\n"
        f"report = snnprof.price({str(run_file)!r})\n"
        "assert 'Accuracy' in str(report) and 'Accuracy' in str(snnprof.compare([report.activity]))\n"
        "data, metadata = DisplayFormatter().format(report.plot('energy'))\n"
        "assert data['image/png'] and metadata['image/png']['width'] > 100\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
