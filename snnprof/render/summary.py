"""The first screen: the result, where the operations go, the firing rates, and what to check before publishing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from snnprof.activity import Activity
from snnprof.hardware import WHOLE, HardwareProfile
from snnprof.measured import MEANS, HostEnergy
from snnprof.pricing import EnergyReport
from snnprof.render import facts, mapping, notes
from snnprof.render.page import GAP, Cell, Page, sparkline
from snnprof.render.terminal import printed
from snnprof.statistics import Interval
from snnprof.summary import BREAK_EVEN, Choice, Part, Parts, Rates, Summary, Total, summarise
from snnprof.units import brief_count, brief_energy, energy_text, percent_text, rate_text, seconds_text

WIDTH = 100
NARROWEST, WIDEST = 60, 120
MOST_FIRST, MOST_SPARKS, MOST_WORKS = 4, 12, 3
ROLES = {
    "stem": "first layer", "SPS": "patch embedding (SPS)", "QKV": "Q, K, V", "QK": "Q, K", "QK^T": "Q × Kᵀ",
    "AV": "attention × V", "K^TV": "Kᵀ × V", "Q(K^TV)": "Q × (Kᵀ V)", "DWC": "depth-wise convolution",
    "residual": "residual additions", "other contraction": "other products", "other elementwise": "other arithmetic",
    "other neuron": "other neurons", "other static": "static power",
}  # fmt: skip
"""Names for readers of the catalogue's roles; the other roles are shown unchanged."""
HEADINGS = {
    "rate": "Input rate", "sops": "SOPs", "macs": "MACs", "dense_macs": "Dense MACs", "energy": "Energy",
    "share": "Share",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """How a summary is shown.

    Attributes:
        file: the run file as the user can name it in the next command; "" if there is none.
        seconds: duration of the run in seconds; None if unknown.
        ascii: print ASCII only.
        quiet: print only the lines of the result.
        choice: which parts of the network and which columns are shown.
    """

    file: str = ""
    seconds: float | None = None
    ascii: bool = False
    quiet: bool = False
    choice: Choice = field(default_factory=Choice)


class Renderable:
    """A report that a rich console can print, at the console's width."""

    def __init__(self, reports: Sequence[EnergyReport], view: View | None = None) -> None:
        self.view = view or View()
        self.summary = summarise(reports, self.view.choice)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield page(self.summary, options.max_width, self.view)


def text(
    reports: EnergyReport | Sequence[EnergyReport], width: int = WIDTH, view: View | None = None, colour: bool = False
) -> str:
    """The first screen as text.

    Args:
        reports: the reports of one run, one per price list.
        width: width of the screen in columns; it is at least 60 and at most 120.
        view: what to show; None is the default.
        colour: include the escape sequences for bold and colour.
    """
    every = [reports] if isinstance(reports, EnergyReport) else reports
    view = view or View()
    sheet = page(summarise(every, view.choice), width, view)
    return printed(lambda console: console.print(sheet), colour)


def page(summary: Summary, width: int, view: View) -> Page:
    """The summary, laid out at a width."""
    sheet = Page(min(max(width, NARROWEST), WIDEST), view.ascii)
    if view.quiet:
        _result(sheet, summary)
        return sheet
    sheet.ends(Text(_title(summary.activity), style="bold"), _setting(summary.activity))
    sheet.line()
    _result(sheet, summary)
    _where(sheet, summary, view)
    if summary.layers.shown and summary.parts.by not in ("op", "layer"):
        _layers(sheet, summary.layers, view)
    if summary.rates:
        _rates(sheet, summary.rates)
    _checks(sheet, summary, view)
    sheet.line()
    _check_line(sheet, summary.activity, view)
    if view.file:
        command = f"snnprof report {shlex.quote(view.file)} -o report.html"
        start = Text.assemble(Text("Next", style="bold"), "  ")
        sheet.hanging(start, "  ·  ".join([command, "plot", "compare", "cite"]), gap=0)
    return sheet


# -- the result ------------------------------------------------------------------------------------------------


def _title(activity: Activity) -> str:
    model = activity.run.model
    name = facts.model_name(activity) or "A model"
    return f"{model.label.removesuffix(f' {model.preset}')}, preset {model.preset}" if model.preset else name


def _setting(activity: Activity) -> str:
    run = activity.run
    if activity.samples is None:
        samples = "number of samples unknown"
    elif run.data.total in (None, activity.samples):
        samples = f"{activity.samples:,} sample{'s' * (activity.samples != 1)}"
    else:
        samples = f"{activity.samples:,} of {run.data.total:,} samples"
    of = f" of {run.data.source}" if run.data.source else ""
    of += " data" if run.data.kind == notes.RANDOM_DATA else ""
    steps = "" if run.timesteps is None else f"T = {run.timesteps}"
    parameters = f"{brief_count(run.model.parameters)} parameters" if run.model.parameters else ""
    return " · ".join(filter(None, [samples + of, steps, parameters]))


def _result(sheet: Page, summary: Summary) -> None:
    rows: list[tuple[str, str, str]] = []
    about: list[Cell] = []
    if summary.activity.accuracy:
        share = summary.accuracy.value if summary.accuracy else None
        rows.append(("Accuracy", percent_text(share, 2), ""))
        about.append(facts.accuracy_detail(summary.activity))
    rows.append(("SOPs", brief_count(summary.sops), _spread(summary.sops_interval)))
    about.append(_about_sops(summary))
    if summary.macs:
        rows.append(("MACs", brief_count(summary.macs), ""))
        about.append(_about_macs(summary))
    for position, (total, figure) in enumerate(zip(summary.totals, _energies(summary.totals), strict=True)):
        rows.append(("" if position else "Energy", figure, _spread(total.interval)))
    for position, each in enumerate(summary.measured):
        rows.append(("" if position else "Measured", *_host_energy(each)))
    laid = summary.reports[0].mapping
    if laid:
        rows.append(("Chip", laid.chip.id, ""))
    heads = [Text.assemble("  ", head) for head in sheet.columns(rows, "lrr")]
    about_energies, all_fits = _about_energies(sheet, summary.totals, sheet.width - heads[0].cell_len - GAP)
    about += about_energies
    about += [_about_host(each) for each in summary.measured]
    about += [mapping.in_a_line(laid)] if laid else []
    for head, text in zip(heads, about, strict=True):
        sheet.hanging(head, text)
    if not all_fits:
        sheet.wrapped(_dim("What each price list covers: add --verbose, or widen the terminal."))


def _spread(interval: Interval | None) -> str:
    return "" if interval is None or interval.relative is None else f"± {percent_text(interval.relative)}"


def _host_energy(measured: HostEnergy) -> tuple[str, str]:
    if measured.energy_pj is None:
        return f"≤ {brief_energy(measured.at_most_pj)}", ""
    return brief_energy(measured.energy_pj), _spread(measured.joules)


def _about_host(measured: HostEnergy) -> str:
    above = "above idle" if measured.energy_pj is not None else "no more than idle within the interval"
    where = f"{measured.device} ({measured.sensor}) {above}, {seconds_text(measured.inference_s)} each"
    return f"{where}: {MEANS}"


def _about_sops(summary: Summary) -> str:
    parts = [] if summary.activity.samples else ["over the whole run"]
    convention = summary.reports[0].convention.label
    parts += [f"counted as {convention}"] if convention != "exact" else []
    parts += summary.reports[0].convention.without.words
    if summary.density is not None:
        parts.append(f"{_share(summary.density)} of the {brief_count(summary.dense_macs)} dense MACs")
    spikes = summary.reports[0].spikes_per_synapse
    if spikes is not None:
        parts.append(f"{_spikes(spikes)} spikes per synapse")
    return " · ".join(parts)


def _spikes(per_synapse: float) -> str:
    return f"{per_synapse:.2f}" if per_synapse >= 0.01 or not per_synapse else f"{per_synapse:.1g}"


def _about_macs(summary: Summary) -> str:
    """Which layers need MACs, and why."""
    rows = summary.mac_rows
    if not rows:
        return ""
    of = rows[0].layer if len(rows) == 1 else f"{len(rows)} layers"
    if all(row.fed_by == ("input",) for row in rows):
        return f"{'first layer' if len(rows) == 1 else of} only (real-valued input)"
    return f"{of}: real-valued or many-valued data"


def _energies(totals: Sequence[Total]) -> list[str]:
    """The energies, aligned, with ≥ before lower bounds."""
    texts = [brief_energy(total.energy_pj) for total in totals]
    widest = max(map(len, texts))
    bounds = ["≥ " if total.lower_bound and total.energy_pj is not None else "" for total in totals]
    return [f"{bound}{text:>{widest}}" for bound, text in zip(bounds, texts, strict=True)]


def _about_energies(sheet: Page, totals: Sequence[Total], room: int) -> tuple[list[Text], bool]:
    """For each price list: its id, what it covers, and the comparison with the ANN; whether the second has room."""
    cells: list[list[Cell]] = [[total.hardware.id, covers(total.hardware), _verdict(total)] for total in totals]
    whole = sheet.columns(cells, "lll")
    if whole[0].cell_len <= room:
        return whole, True
    return sheet.columns([[id, verdict] for id, _, verdict in cells], "ll"), False


def covers(hardware: HardwareProfile) -> str:
    """What the prices of a list cover, in a few words."""
    if hardware.scope in WHOLE:
        return "whole chip"
    if hardware.memory or "weight_read" in hardware.includes:
        return "with memory access"
    if hardware.evidence == "convention" and hardware.sop:
        return f"{energy_text(hardware.sop.value, 2)} per SOP (convention)"
    return "arithmetic only" if hardware.scope == "compute" else "per operation"


def _verdict(total: Total) -> Text:
    if total.factor is None:
        return Text("no ANN price" if total.hardware.energy.mac is None else "ANN unknown", style="dim")
    if total.sign == "equal":
        return Text("about equal to its ANN twin", style="yellow")
    style = "bold green" if total.sign == "below" else "bold yellow"
    return Text(f"{factor_text(total.factor)} {str(total.sign).upper()} its ANN twin", style=style)


def factor_text(value: float) -> str:
    """A factor as `3.2×`; below 1.1 as the percentage above 1."""
    if value < 1.1:
        return f"{percent_text(value - 1, 0)}"
    return f"{value:.1f}×" if value < 10 else f"{value:,.0f}×"


def _share(share: float | None) -> str:
    if share is None:
        return "–"
    return "<1 %" if 0 < share < 0.005 else percent_text(share, 0)


# -- where the operations go -----------------------------------------------------------------------------------


def _where(sheet: Page, summary: Summary, view: View) -> None:
    parts, first = summary.parts, summary.totals[0].hardware.id
    if not parts.shown:
        return
    columns = view.choice.columns
    wide = sheet.width >= WIDTH and "share" in columns
    rows: list[list[Cell]] = [[_heading("Where the operations go"), *(_dim(HEADINGS[name]) for name in columns), ""]]
    rows += [[f"  {_part_name(part, parts)}", *_cells(part, columns), _bar(sheet, part, wide)] for part in parts.shown]
    if parts.rest:
        rows.append([f"  {_others(parts.rest)}", *_cells(parts.rest, columns), _bar(sheet, parts.rest, wide)])
    sheet.line()
    sheet.table(rows, "l" + "r" * len(columns) + "l", indent="")
    priced = [name for name in ("energy", "share") if name in columns]
    if len(summary.totals) > 1 and priced:
        sheet.line(_dim(f"  {' and '.join(priced)}: {first}"))


def _layers(sheet: Page, layers: Parts, view: View) -> None:
    columns = ("rate", "sops", "energy", "share")
    rows: list[list[Cell]] = [[_heading("Top layers"), *(_dim(HEADINGS[name]) for name in columns)]]
    rows += [[f"  {_part_name(part, layers)}", *_cells(part, columns)] for part in layers.shown]
    sheet.line()
    sheet.table(rows, "l" + "r" * len(columns), indent="")
    if layers.rest and view.file:
        sheet.line(_dim(f"  … {layers.rest.joined} more: snnprof report {shlex.quote(view.file)} --by op"))


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _part_name(part: Part, parts: Parts) -> str:
    if parts.by == "role":
        real = " (real input)" if part.name == "stem" and part.sops is None else ""
        return ROLES.get(part.name, part.name) + real
    return f"{part.name}, {part.op}" if parts.by == "op" and part.op.startswith("matmul") else part.name


def _others(rest: Part) -> str:
    return f"{rest.joined} other{'s' * (rest.joined != 1)}"


def _cells(part: Part, columns: Sequence[str]) -> list[Cell]:
    return [_cell(part, name, "macs" not in columns) for name in columns]


def _cell(part: Part, column: str, beside: bool) -> str:
    """The text of a value; if MACs have no column, they are shown next to the SOPs or instead of them."""
    if column == "rate":
        return "" if part.rate is None else rate_text(part.rate)
    if column == "share":
        return _share(part.share)
    if column == "energy":
        return brief_energy(part.energy)
    if column == "sops" and part.macs and beside:
        return f"{f'{brief_count(part.sops)} + ' if part.sops else ''}{brief_count(part.macs)} MACs"
    if column == "sops" and part.sops is None:
        return ""
    value = getattr(part, column)
    return "" if value is None else brief_count(value)


def _bar(sheet: Page, part: Part, wide: bool) -> Text:
    return Text(sheet.bar(part.share or 0.0, 40) if wide else "", style="cyan")


# -- firing rates ----------------------------------------------------------------------------------------------


def _rates(sheet: Page, rates: Rates) -> None:
    low, high = rates.lowest, rates.highest
    sheet.line()
    span = f"mean {rate_text(rates.mean)}"
    if low[1] < high[1]:
        span += f", from {rate_text(low[1])} ({low[0]}) to {rate_text(high[1])} ({high[0]})"
    silent = f"{len(rates.silent)} silent: {notes.listed(rates.silent)}" if rates.silent else "no silent layer"
    sheet.hanging(sheet.text(_heading("Firing rates")), f"{span}; {silent}", gap=3)
    words = [f"{name}  {sparkline(each, high[1])}".strip() for name, each in rates.blocks[:MOST_SPARKS]]
    if len(rates.blocks) > MOST_SPARKS:
        words.append(f"… {len(rates.blocks) - MOST_SPARKS} more")
    _filled(sheet, words)


def _filled(sheet: Page, words: Sequence[str], gap: str = "     ") -> None:
    """Adds lines with as many words as fit."""
    line = ""
    for word in words:
        if line and len(line) + len(gap) + len(word) + 2 > sheet.width:
            sheet.line("  ", line)
            line = ""
        line = f"{line}{gap}{word}" if line else word
    sheet.line("  ", line)


# -- what to check ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """A sentence to read before publishing.

    Attributes:
        text: the sentence.
        codes: the codes of the findings in it.
    """

    text: str
    codes: tuple[str, ...] = ()


def checks(summary: Summary) -> list[Check]:
    """The most important sentences: the first findings to read on the run, then those on the prices."""
    return [*_first(summary)[:MOST_FIRST], *_of_prices(summary)]


def _first(summary: Summary) -> list[Check]:
    remarks = [remark for remark in notes.remarks(summary.reports) if remark.topic == notes.FIRST]
    every = {report.hardware.id for report in summary.reports}
    remarks = [replace(each, hardware=()) if every == set(each.hardware) else each for each in remarks]
    return [Check(_said(remark), (remark.code,) if remark.code else ()) for remark in remarks]


def _of_prices(summary: Summary) -> list[Check]:
    codes = {finding.code for finding in summary.reports[0].findings}
    return [
        *_sign_turns(summary), *_left_out(summary), *_bound(summary, codes), *_break_even(summary, codes),
    ]  # fmt: skip


def _checks(sheet: Page, summary: Summary, view: View) -> None:
    shown, every = checks(summary), notes.remarks(summary.reports)
    first = sum(remark.topic == notes.FIRST for remark in every)
    named = {code for check in _of_prices(summary) for code in check.codes}
    others = sum(remark.topic != notes.FIRST and remark.code not in named for remark in every)
    others += max(0, first - MOST_FIRST)
    if not shown and not others:
        return
    sheet.line()
    sheet.line(_heading("Check before publishing"))
    for check in shown:
        sheet.wrapped(check.text, mark=Text("!", style="bold yellow"), right=" ".join(check.codes))
    if others:
        where = f": snnprof report {shlex.quote(view.file)} --notes" if view.file else ""
        sheet.line(_dim(f"  {others} more note{'s' * (others != 1)} on method and prices{where}"))


def _said(remark: notes.Remark) -> str:
    """The fact of a note as a sentence, without its advice, which --notes shows."""
    subjects = "".join(f"{notes.listed(names)}: " for names in (remark.hardware, remark.layers) if names)
    text = f"{subjects}{remark.text}" if subjects else remark.text[:1].upper() + remark.text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _sign_turns(summary: Summary) -> Iterator[Check]:
    if summary.sign_turns:
        below, above = (", ".join(summary.with_sign(sign)) for sign in ("below", "above"))
        text = f"The comparison with the ANN turns with the price list: below it on {below}, above it on {above}."
        yield Check(text, ("W20",))


def _left_out(summary: Summary) -> Iterator[Check]:
    """A sentence on the work that the convention does not count, largest first."""
    if summary.left_out:
        works = [_work(*each) for each in summary.left_out]
        more = [f"{len(works) - MOST_WORKS} more kinds of work"] if len(works) > MOST_WORKS else []
        convention = summary.reports[0].convention.label
        yield Check(f"Convention {convention} does not count {_series([*works[:MOST_WORKS], *more])}.")


def _work(what: str, count: float) -> str:
    return f"{brief_count(count)} {facts.WORK.get(what, what)}"


def _bound(summary: Summary, codes: set[str]) -> Iterator[Check]:
    """A sentence on what the energy on the first list excludes; memory only if no list prices it."""
    first = summary.totals[0]
    if not first.lower_bound or first.energy_pj is None:
        return
    memory = "W01" in codes and not any(total.hardware.memory for total in summary.totals)
    missing = ["memory accesses"] if memory else []
    missing += [_work(*each) for each in summary.unpriced]
    missing += ["static power"] if "W10" in codes else []
    named = [code for code in ("W02", "W10", "W21", "W22") if code in codes]
    text = f"Energy is a lower bound (≥): it excludes {_series(missing)}."
    yield Check(text, tuple(["W01", *named] if memory else named))


def _series(items: Sequence[str]) -> str:
    *first, last = items or ["work without a counting rule"]
    return f"{', '.join(first)} and {last}" if first else last


def _break_even(summary: Summary, codes: set[str]) -> Iterator[Check]:
    spikes = summary.reports[0].spikes_per_synapse
    low, high = BREAK_EVEN
    if spikes is None or spikes <= low:
        return
    where = "inside" if spikes <= high else "above"
    text = f"{_spikes(spikes)} spikes per synapse: {where} the published SNN/ANN break-even range, {low}–{high}."
    yield Check(text, ("W13",) if "W13" in codes else ())


def _check_line(sheet: Page, activity: Activity, view: View) -> None:
    check, good = activity.self_check, Text("✓", style="bold green")
    seconds = "" if view.seconds is None else f"{view.seconds:.1f} s"
    if check is None:
        sheet.wrapped(f"Not counted a second time; {_coverage(activity)}.", "", right=seconds)
    elif check.equal == check.rows:
        samples = "one sample" if check.samples == 1 else f"{check.samples} samples"
        text = f"{check.equal} of {check.rows} operations re-counted on {samples}; {_coverage(activity)}."
        sheet.wrapped(text, "", good, seconds)
    else:
        text = f"{check.rows - check.equal} of {check.rows} operations differ when counted a second time (C16)."
        sheet.wrapped(text, "", Text("✗", style="bold red"), seconds)


def _coverage(activity: Activity) -> str:
    if activity.coverage is None:
        return "no cross-check with fvcore, which could not trace the model"
    if activity.coverage == 1:
        return "dense MACs agree with fvcore (100 %)"
    return f"{percent_text(activity.coverage)} of the dense MACs that fvcore sees"
