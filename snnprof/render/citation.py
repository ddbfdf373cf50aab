"""A run → what a paper must say about it: methods paragraph, table footnote, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from snnprof import catalogue
from snnprof._version import __version__
from snnprof.activity import Activity
from snnprof.hardware import HardwareProfile, Source
from snnprof.pricing import EnergyReport
from snnprof.render import facts
from snnprof.render.latex import escaped
from snnprof.render.notes import RANDOM_DATA

SOFTWARE = f"""@software{{snnprof,
  title   = {{snnprof: what a spiking neural network costs, in operations and in joules}},
  version = {{{__version__}}}
}}"""

_DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")
_URL = re.compile(r"https?://[-A-Za-z0-9:/?@!'()*+,;=._~]+")


def render(reports: Sequence[EnergyReport]) -> str:
    """LaTeX for the methods section and under the table, then the BibTeX of what they cite."""
    parts = ["% Methods", methods(reports), "% Footnote of the table", footnote(reports), "% BibTeX", *bibtex(reports)]
    return "\n\n".join(parts) + "\n"


def methods(reports: Sequence[EnergyReport]) -> str:
    """What was counted, on what, how, and how it was priced."""
    report = reports[0]
    activity, convention, keys = report.activity, report.convention, _keys(reports)
    return " ".join(
        [
            rf"Operations of {_model(activity)} were counted with snnprof {__version__}~\cite{{snnprof}}",
            f"on {escaped(_data(activity))}.",
            f"Counts follow the convention {escaped(convention.id)} ({escaped(convention.title)}; "
            f"{escaped(convention.source)}).",
            *(_price_sentence(report.hardware, keys) for report in reports),
            *_caveats(activity),
        ]
    )


def footnote(reports: Sequence[EnergyReport]) -> str:
    """What the columns hold and what they leave out."""
    report = reports[0]
    samples = report.activity.samples
    means = f"means over {samples} samples" if samples else "totals of one run"
    sentences = [f"OPs: synaptic operations, {means}, counted as {escaped(report.convention.id)}."]
    for each in reports:
        missing = ", ".join(facts.WORK.get(what, what) for what, _ in each.unpriced)
        left_out = f"; without {escaped(missing)}" if missing else ""
        sentences.append(f"Energy, {escaped(each.hardware.id)}: {escaped(each.hardware.title)}{left_out}.")
    return " ".join(sentences)


def bibtex(reports: Sequence[EnergyReport]) -> Iterable[str]:
    """Entries of the tool, the model's paper and every price's source."""
    yield SOFTWARE
    name = reports[0].activity.run.model.name
    if catalogue.is_known(name):
        yield _paper_bibtex(name)
    keys = _keys(reports)
    sources = {source.id: source for report in reports for source in report.hardware.sources}
    yield from (_entry(keys[id], source) for id, source in sources.items())


def _keys(reports: Sequence[EnergyReport]) -> dict[str, str]:
    """The key of each source: its id, less what would end a key or begin a command; no two share one."""
    taken = {_key(SOFTWARE).lower()}
    name = reports[0].activity.run.model.name
    if catalogue.is_known(name):
        taken.add(_key(_paper_bibtex(name)).lower())
    keys: dict[str, str] = {}
    for id in dict.fromkeys(source.id for report in reports for source in report.hardware.sources):
        key = re.sub(r"[^A-Za-z0-9.:/+-]+", "-", id) or "source"
        while key.lower() in taken:  # BibTeX takes capitals for small letters
            key += "-"
        taken.add(key.lower())
        keys[id] = key
    return keys


def _model(activity: Activity) -> str:
    model = activity.run.model
    name = escaped(facts.model_name(activity) or "the model")
    return rf"{name}~\cite{{{_key(_paper_bibtex(model.name))}}}" if catalogue.is_known(model.name) else name


def _paper_bibtex(name: str) -> str:
    return catalogue.entry(name).paper.bibtex.strip()


def _key(bibtex: str) -> str:
    return bibtex.partition("{")[2].partition(",")[0].strip()


def _data(activity: Activity) -> str:
    run, samples = activity.run, activity.samples
    of = f" of {run.data.total}" if run.data.total else ""
    number = "" if samples is None else f"{samples}{of} samples of "
    details = [f"T = {run.timesteps}" if run.timesteps else "", "" if run.seed is None else f"seed {run.seed}"]
    tail = ", ".join(filter(None, details))
    return f"{number}{run.data.source or 'user data'}" + (f" ({tail})" if tail else "")


def _price_sentence(hardware: HardwareProfile, keys: Mapping[str, str]) -> str:
    cited = ",".join(keys[source.id] for source in hardware.sources)
    energy = hardware.energy
    prices = {"MAC": energy.mac, "AC": energy.ac, "SOP": energy.sop}
    listed = ", ".join(f"{price.value:g} pJ per {name}" for name, price in prices.items() if price)
    excluded = f"; not included: {escaped(', '.join(hardware.excludes).replace('_', ' '))}" if hardware.excludes else ""
    return rf"Energy on {escaped(hardware.title)}~\cite{{{cited}}}: {listed}{excluded}."


def _caveats(activity: Activity) -> Iterable[str]:
    if activity.run.data.kind == RANDOM_DATA:
        yield "The input was random data."
    if activity.run.model.note:
        yield escaped(_as_sentence(activity.run.model.note))
    if activity.uncounted:
        yield escaped("Not counted: " + ", ".join(sorted({entry.op for entry in activity.uncounted})) + ".")


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _entry(key: str, source: Source) -> str:
    fields = {
        "note": _field(source.citation or source.id),
        "doi": _address(source.doi, _DOI),
        "url": _address(source.url, _URL),
    }
    body = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items() if text)
    return f"@misc{{{key},\n{body}\n}}"


def _field(text: str) -> str:
    r"""The text within a field: BibTeX counts braces, and a backslash before one does not stop it.

    >>> _field("a} b_c")
    'a\\textbraceright{} b\\_c'
    """
    return escaped(text).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def _address(text: str | None, usual: re.Pattern[str]) -> str:
    r"""A DOI or URL; styles read a usual one as it stands. In any other, what TeX would obey is percent-encoded.

    >>> _address("https://a.org/b_c", _URL), _address(r"https://a.org/\input{x}#1", _URL)
    ('https://a.org/b_c', 'https://a.org/\\%5Cinput\\%7Bx\\%7D\\#1')
    """
    if not text or usual.fullmatch(text):
        return text or ""
    coded = quote(text, safe="/:?@!'()*+,;=.-%#&", errors="replace").replace("~", "%7E").replace("_", "%5F")
    return re.sub(r"[%#&]", lambda match: "\\" + match.group(), coded)
