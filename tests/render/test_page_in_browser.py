"""The web page in a real browser: what its script does, and that nothing a file says becomes a script.

Needs Chromium and a driver for it: `apt-get install chromium` (or a Chromium that $CHROMIUM names) and
`python -m pip install playwright`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from snnprof.activity import Activity, Finding
from snnprof.comparison import Entry, compared
from snnprof.grouping import grouped
from snnprof.hardware import bundled, load_hardware
from snnprof.pricing import price
from snnprof.render import html
from snnprof.render.comparison import comparison_document
from snnprof.render.tables import report_document
from snnprof.units import brief_energy, rate_text

sync_api = pytest.importorskip("playwright.sync_api", reason="no browser driver: python -m pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
if not CHROMIUM:
    pytest.skip("no browser: apt-get install chromium, or name one in $CHROMIUM", allow_module_level=True)
ARGUMENTS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
PHONE, DESKTOP = 390, 1280
OWN = "window.owned=(window.owned||0)+1"
ATTACKS = (
    f"</script><script>{OWN}</script>", f"<!--<script>{OWN}</script>", f'"><img src=x onerror="{OWN}">',
    f"' onmouseover='{OWN}' x='", f"<svg onload={OWN}>", f"</title><script>{OWN}</script>", f"javascript:{OWN}",
    f"{{{{ {OWN} }}}} {{% x %}} ${{{OWN}}}", "n" * 300, "脉冲" * 60, "a_b%c&amp;\u202e", "constructor", "__proto__",
)  # fmt: skip


@dataclass
class Shown:
    """A page in the browser and what went wrong on it."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]

    def names(self) -> list[str]:
        """The lines of the tree that can be seen, from top to bottom."""
        return self.texts("#tree tr.layer:visible .name")

    def choose(self, hardware: str) -> None:
        options = self.texts("#prices option")
        self.page.select_option("#prices", index=[text.split(":")[0] for text in options].index(hardware))

    def head(self, text: str) -> Any:
        return self.page.locator("#tree thead th", has_text=text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Opens a page; at the end nothing may have gone wrong on it."""
    opened: list[Shown] = []

    def open_page(text: str, scripts: bool = True) -> Shown:
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(text, encoding="utf-8")
        shown = Shown(browser.new_context(java_script_enabled=scripts).new_page())
        shown.page.on("console", lambda message: shown.complaints.append(message.text))
        shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.page.on("dialog", lambda dialog: shown.complaints.append(dialog.message))
        shown.page.on("request", lambda request: shown.complaints.append(request.url))
        shown.page.goto(path.as_uri())
        shown.complaints.remove(path.as_uri())
        opened.append(shown)
        return shown

    yield open_page
    for shown in opened:
        assert shown.complaints == []
        shown.page.context.close()


def report(activity: Activity, *ids: str) -> str:
    reports = [price(activity, id) for id in ids or ("cmos45-fp32", "rolls-77fj")]
    return html.render(report_document(reports, command="snnprof report run.json", figures=True))


def comparison(*activities: Activity) -> str:
    entries = [
        Entry(
            f"{activity.run.model.label} {number}", ((price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")),)
        )
        for number, activity in enumerate(activities)
    ]
    return html.render(comparison_document(compared(entries), "layer", "snnprof compare", figures=True))


def hostile(activity: Activity) -> Activity:
    """The run with an attack wherever a file can say something."""
    text = " ".join(ATTACKS)
    model = activity.run.model.model_copy(
        update={"title": text, "source": text, "note": text, "preset": text, "checkpoint": text}
    )
    data = activity.run.data.model_copy(update={"source": text, "note": text})
    names = {op.layer: f"{ATTACKS[number % len(ATTACKS)]}.{number}" for number, op in enumerate(activity.ops)}
    names |= {neuron.layer: f"{attack}.lif" for neuron, attack in zip(activity.neurons, ATTACKS, strict=False)}
    fed = {name: names.get(name, name) for op in activity.ops for name in op.fed_by}
    ops = [
        op.model_copy(
            update={
                "layer": names[op.layer],
                "source": text,
                "feeds": list(ATTACKS),
                "operands": [
                    operand.model_copy(update={"fed_by": [fed[name] for name in operand.fed_by]})
                    for operand in op.operands
                ],
            }
        )
        for op in activity.ops
    ]
    neurons = [neuron.model_copy(update={"layer": names[neuron.layer], "type": text}) for neuron in activity.neurons]
    findings = [Finding(code="C01", layer=attack, text=attack, hint=attack) for attack in ATTACKS]
    run = activity.run.model_copy(update={"model": model, "data": data})
    changed = {"run": run, "ops": ops, "neurons": neurons, "findings": findings, "blocks": []}
    return activity.model_copy(update=changed)


def everything_open(shown: Shown) -> None:
    """Unfolds, opens and hovers over all there is."""
    shown.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    if shown.page.locator("#tree").count():
        shown.page.check(".kinds input[data-kind='other']")
        shown.page.evaluate("for (const row of document.querySelectorAll('tr.layer')) row.click()")
        shown.page.evaluate(
            "for (const link of document.querySelectorAll('a')) link.dispatchEvent(new Event('mouseover'))"
        )


def attacked(activity: Activity) -> str:
    hardware = load_hardware("cmos45-fp32").model_copy(update={"title": " ".join(ATTACKS), "note": ATTACKS[0]})
    return html.render(report_document([price(hostile(activity), hardware)], figures=True))


PAGES: dict[str, Callable[[Activity], str]] = {
    "report": report,
    "attacked": attacked,
    "comparison": lambda activity: comparison(activity, activity),
    "attacked comparison": lambda activity: comparison(hostile(activity), activity),
    "empty": lambda _: report(Activity()),
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_no_name_runs_and_nothing_overflows(
    make: Callable[[Activity], str], activity: Activity, show: Callable[..., Shown]
) -> None:
    shown = show(make(activity))
    for width in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            shown.page.set_viewport_size({"width": width, "height": 900})
            shown.page.emulate_media(color_scheme=scheme)
            assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    everything_open(shown)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert shown.page.evaluate("window.owned") is None
    assert shown.page.locator("img, iframe, svg, object").count() == 0
    assert shown.page.locator("script").count() == 1 + shown.page.locator("#amounts").count()


def test_charts_follow_the_scheme(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    parts = ("body", ".bars .track", ".bars .track i", ".chart .room i", ".tile")
    script = "parts => parts.map(part => getComputedStyle(document.querySelector(part)).backgroundColor)"
    light = shown.page.evaluate(script, parts)
    shown.page.emulate_media(color_scheme="dark")
    dark = shown.page.evaluate(script, parts)
    assert all(a != b for a, b in zip(light, dark, strict=True))


# -- the switch of price lists ---------------------------------------------------------------------------------


def test_every_list_shows_what_price_says(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    for hardware in bundled():
        shown.choose(hardware.id)
        priced = price(activity, hardware)
        expected = {}
        for group in grouped([priced], "op"):
            row, pj = group.rows[0], group.rows[0].energy_pj
            bound = "≥ " if row.unpriced and pj is not None else ""
            expected[group.name, group.op.replace("_", " ")] = bound + brief_energy(None if pj is None else pj / 20)
        script = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        seen = {(cells[0], cells[1]): cells[6] for cells in shown.page.locator("tr.layer").evaluate_all(script)}
        assert {key: seen[key] for key in expected} == expected
        assert set(seen) - set(expected) <= {("(root)", "static")}
        assert priced.energy_pj is not None
        total = ("≥ " if priced.lower_bound else "") + brief_energy(priced.energy_pj / 20)
        assert shown.texts("#tree tfoot .energy") == [total]
        assert shown.texts("#chosen-total") == [total]
        assert shown.texts("#chosen-id") == [hardware.id]


def test_shares_and_bars_follow(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    shown.choose("loihi1-davies2018")
    priced = price(activity, "loihi1-davies2018")
    assert priced.energy_pj
    bars = shown.page.locator(".bars:not(.rates)").last.locator("li")
    script = "bars => bars.map(bar => ['.label', '.percent'].map(part => bar.querySelector(part).textContent))"
    seen = dict(bars.evaluate_all(script))
    expected = {group.name: group.energies["loihi1-davies2018"] for group in grouped([priced], "block")}
    del expected["static"]
    assert seen == {name: rate_text(None if pj is None else pj / priced.energy_pj) for name, pj in expected.items()}
    widths = (
        shown.page.locator(".bars:not(.rates)")
        .first.locator("i")
        .evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
    )
    assert widths == sorted(widths, reverse=True), "the dearest comes first"


def test_a_tile_chooses_its_list(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    tile = shown.page.locator(".tile[data-prices='1']")
    tile.press("Enter")
    assert shown.texts("#chosen-id") == ["rolls-77fj"]
    assert shown.page.locator(".tile[aria-pressed='true']").all_text_contents() == tile.all_text_contents()
    assert "MACs" in shown.page.locator("tr.layer:has-text('proj_conv') .energy").first.get_attribute("title")


def test_numbers_read_as_python_prints_them(activity: Activity, show: Callable[..., Shown]) -> None:
    """Also exactly between two texts, where Python takes the even one."""
    shown = show(report(activity))
    values = [0.0, 0.5e-3, 1.25e-3, 0.1, 0.9995, 1.0, 9.995, 12.25, 12.35, 112.5, 113.5, 999.5, 999.96, 1e3, 1.125e6,
              1.135e6, 112500.0, 113500.0, 4.6e9, 1e12, 1.2345e15]  # fmt: skip
    texts = shown.page.evaluate("values => values.map(energyText)", values)
    assert texts == [brief_energy(value) for value in values]
    shares = [0.0, 4e-4, 5e-4, 0.0625, 0.1875, 0.5, 1.0]
    assert shown.page.evaluate("shares => shares.map(shareText)", shares) == [rate_text(share) for share in shares]
    assert shown.page.evaluate("energyText(null)") == brief_energy(None)


# -- the tree --------------------------------------------------------------------------------------------------


def test_the_filter(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    every = len(shown.names())
    shown.page.fill("#filter", "Attn linear")
    assert shown.names() == [f"block.0.attn.{name}_linear" for name in ("q", "k", "v", "proj")]
    assert shown.texts("#found")[0].startswith("4 of ")
    shown.page.fill("#filter", "no such layer")
    assert shown.names() == []
    shown.page.fill("#filter", "")
    assert len(shown.names()) == every
    shown.page.uncheck(".kinds input[data-kind='neurons']")
    assert not [name for name in shown.names() if name.endswith("_lif")]


def test_sorting_shows_its_direction(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    attention = "#tree tbody:nth-of-type(2) tr.layer:visible"
    for direction in ("descending", "ascending"):
        shown.head("SOPs").click()
        assert shown.head("SOPs").get_attribute("aria-sort") == direction
        arrow = shown.page.evaluate(
            "getComputedStyle(document.querySelector(\"#tree th[aria-sort$='ending']\"), '::after').content"
        )
        assert arrow == {"descending": '" ▼"', "ascending": '" ▲"'}[direction]
        script = "cells => cells.map(cell => cell.dataset.sort).filter(Boolean).map(Number)"
        for body in range(shown.page.locator("#tree tbody").count()):
            values = shown.page.locator("#tree tbody").nth(body).locator("tr.layer td.sops").evaluate_all(script)
            assert values == sorted(values, reverse=direction == "descending")
    shown.head("Layer").press("Enter")
    assert shown.head("SOPs").get_attribute("aria-sort") == "none"
    names = shown.texts(f"{attention} .name")
    assert names == sorted(names)


def test_an_open_line_stays_under_its_layer(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    line = shown.page.locator("tr.operation", has=shown.page.locator("text=mlp.fc1_linear"))
    line.locator("button").press("Enter")
    shown.head("Energy").click()
    following = line.evaluate("row => row.nextElementSibling.textContent")
    assert "Dense MACs" in following
    assert "block.0.mlp.fc1_linear" in following
    assert shown.page.locator("tr.more:visible").count() == 1


def test_blocks_fold(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    every = len(shown.names())
    block = shown.page.locator("button.fold").first
    inside = shown.page.locator("#tree tbody").first.locator("tr.layer:visible").count()
    block.click()
    assert block.get_attribute("aria-expanded") == "false"
    assert len(shown.names()) == every - inside
    shown.page.fill("#filter", "proj_conv")
    assert "patch_embed.proj_conv" in shown.names(), "what is looked for is found in a folded block too"
    shown.page.fill("#filter", "")
    shown.page.click("#fold")
    assert shown.names() == []
    shown.page.click("#unfold")
    assert len(shown.names()) == every


def test_a_layer_opens_and_leads_to_what_feeds_it(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    assert shown.page.locator("tr.more:visible").count() == 0
    line = shown.page.locator("tr.operation", has=shown.page.locator("text=mlp.fc2_linear"))
    line.click()
    more = shown.page.locator("tr.more:visible")
    assert more.locator(".chart").count() == 2, "a histogram, and the rates of the layer that feeds it"
    shown.page.uncheck(".kinds input[data-kind='neurons']")
    more.locator("a", has_text="fc1_lif").first.click()
    target = shown.page.locator("tr.layer:target")
    assert target.is_visible()
    assert target.locator(".name").text_content() == "block.0.mlp.fc1_lif"
    shown.page.uncheck(".kinds input[data-kind='neurons']")
    more.locator("a", has_text="fc1_lif").first.click()
    assert target.is_visible(), "the same link again"


def test_a_link_unfolds_a_section(activity: Activity, show: Callable[..., Shown]) -> None:
    for text in (report(activity), comparison(activity, activity)):
        shown = show(text)
        shown.page.click("nav a[href='#lists']")
        assert shown.page.locator("#lists table").is_visible()


def test_a_name_can_be_copied(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity))
    name = shown.page.locator("tr.operation .name").first
    name.dblclick()
    assert shown.page.evaluate("getSelection().toString()") in (name.text_content() or "")
    assert shown.page.evaluate("getSelection().toString()")


def test_plain_tables_sort_too(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(comparison(activity, activity))
    shown.page.locator("#table-1 th", has_text="Model").click()
    shown.page.locator("#table-1 th", has_text="Model").click()
    names = shown.texts("#table-1 tbody td:first-child")
    assert names == sorted(names, reverse=True)


# -- without a script ------------------------------------------------------------------------------------------


def test_without_scripts_everything_can_be_read(activity: Activity, show: Callable[..., Shown]) -> None:
    shown = show(report(activity), scripts=False)
    assert shown.page.locator(".scripted:visible").count() == 0
    assert shown.page.locator("tr.layer:visible").count() == shown.page.locator("tr.layer").count()
    energy = brief_energy((price(activity, "cmos45-fp32").energy_pj or 0.0) / 20)
    assert shown.texts("#tree tfoot .energy") == [f"≥ {energy}"]
    more = shown.page.locator("tr.more").first
    more.locator("summary").click()
    assert more.locator("dt", has_text="Dense MACs").is_visible()
