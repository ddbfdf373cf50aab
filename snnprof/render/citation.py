"""The texts that a paper needs about a run: methods paragraph, table footnote, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from snnprof import bibliography, catalogue
from snnprof._version import __version__
from snnprof.activity import Activity
from snnprof.conventions import Convention
from snnprof.hardware import HardwareProfile, Memory, Source
from snnprof.pricing import EnergyReport
from snnprof.render import facts
from snnprof.render.catalogues import PRICES
from snnprof.render.latex import escaped
from snnprof.render.notes import RANDOM_DATA
from snnprof.units import price_text

SOFTWARE = f"""@misc{{snnprof,
  author       = {{{{The snnprof authors}}}},
  title        = {{snnprof: synaptic operations and energy of spiking neural networks}},
  year         = {{2026}},
  howpublished = {{Computer software}},
  note         = {{Version {__version__}}}
}}"""
"""The entry for snnprof, with the data of CITATION.cff; `misc`, since standard styles know no type `software`."""

COMPONENTS = {
    "arithmetic": "arithmetic", "weight_read": "reading weights",
    "potential_rw": "reading and writing membrane potentials", "neuron_update": "neuron updates",
    "routing": "routing spikes", "io": "input and output", "static": "static power", "leakage": "leakage",
    "host": "the host computer",
}  # fmt: skip
"""The kinds of work that an energy may leave out, in the words of a paper."""

_DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")
_URL = re.compile(r"https?://[-A-Za-z0-9:/?@!'()*+,;=._~]+")


def render(reports: Sequence[EnergyReport]) -> str:
    """LaTeX of the methods paragraph and the footnote of the table, then the BibTeX of their citations."""
    parts = ["% Methods", methods(reports), "% Footnote of the table", footnote(reports), "% BibTeX", *bibtex(reports)]
    return "\n\n".join(parts) + "\n"


def methods(reports: Sequence[EnergyReport]) -> str:
    """The methods paragraph: model, data, convention and prices."""
    report = reports[0]
    activity, convention, keys = report.activity, report.convention, _keys(reports)
    sentences = [
        rf"We profiled {_model(activity)} with snnprof {__version__}~\cite{{snnprof}} on {_data(activity)}.",
        "All figures are means per inference." if activity.samples else "All figures are totals of the run.",
        f"Synaptic operations were counted by this rule: {escaped(_rule(convention))}.",
        *(_price_sentence(report.hardware, keys) for report in reports),
        *_caveats(activity),
    ]
    return " ".join(sentences)


def _rule(convention: Convention) -> str:
    """The rule of a convention, with its source unless that is snnprof."""
    return convention.rule if convention.source == "snnprof" else f"{convention.rule} ({convention.source})"


def footnote(reports: Sequence[EnergyReport]) -> str:
    """The footnote of the table: what its columns hold and leave out."""
    report = reports[0]
    samples = report.activity.samples
    means = f"means over {samples} sample{'s' * (samples != 1)}" if samples else "totals of one run"
    sentences = [f"SOPs: synaptic operations, {means} ({escaped(report.convention.rule)})."]
    for each in reports:
        missing = ", ".join(facts.WORK.get(what, what) for what, _ in each.unpriced)
        left_out = f"; without {escaped(missing)}" if missing else ""
        sentences.append(f"Energy, {escaped(each.hardware.id)}: {escaped(each.hardware.title)}{left_out}.")
    return " ".join(sentences)


def bibtex(reports: Sequence[EnergyReport]) -> Iterable[str]:
    """BibTeX entries of snnprof, of the model's paper and of the sources of all prices."""
    yield SOFTWARE
    name = reports[0].activity.run.model.name
    if catalogue.is_known(name):
        yield _paper_bibtex(name)
    keys = _keys(reports)
    sources = {source.id: source for report in reports for source in report.hardware.sources}
    yield from (_entry(keys[id], source) for id, source in sources.items())


def _keys(reports: Sequence[EnergyReport]) -> dict[str, str]:
    """A unique BibTeX key for each source: its id, without characters that end a key or begin a command."""
    taken = {_key(SOFTWARE).lower()}
    name = reports[0].activity.run.model.name
    if catalogue.is_known(name):
        taken.add(_key(_paper_bibtex(name)).lower())
    keys: dict[str, str] = {}
    for id in dict.fromkeys(source.id for report in reports for source in report.hardware.sources):
        key = re.sub(r"[^A-Za-z0-9.:/+-]+", "-", id) or "source"
        while key.lower() in taken:  # BibTeX ignores the case of keys
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
    number = "" if samples is None else f"{samples}{of} sample{'s' * bool(of or samples != 1)} of "
    details = [f"$T = {run.timesteps}$" if run.timesteps else "", "" if run.seed is None else f"seed {run.seed}"]
    tail = ", ".join(filter(None, details))
    return f"{number}{escaped(run.data.source or 'user data')}" + (f" ({tail})" if tail else "")


def _price_sentence(hardware: HardwareProfile, keys: Mapping[str, str]) -> str:
    listed = [f"{price.replace(' ', '~')} per {words}" for price, words in charges(hardware)]
    listed += [_memory_text(hardware.memory)] if hardware.memory else []
    excluded = [COMPONENTS[name] for name in hardware.excludes]
    without = f"; it excludes {_enumerated(excluded)}" if excluded else ""
    return f"{_estimate(hardware, keys)} charges {_enumerated(listed)}{without}."


def charges(hardware: HardwareProfile) -> list[tuple[str, str]]:
    """The prices of a list, each with its operation in words: (`4.6 pJ`, `multiply-accumulate`)."""
    prices = [
        (getattr(hardware.energy, name), words) for name, words in PRICES.items() if name not in _NOT_OF_AN_INFERENCE
    ]
    return [(price_text(price.value), words) for price, words in prices if price]


def _estimate(hardware: HardwareProfile, keys: Mapping[str, str]) -> str:
    """The price list as the subject of a sentence; a list without sources is the author's own."""
    if not hardware.sources:
        return f"The energy estimate with our own prices ({escaped(hardware.id)})"
    cited = ",".join(keys[source.id] for source in hardware.sources)
    return rf"The energy estimate ``{escaped(hardware.title)}''~\cite{{{cited}}}"


def _memory_text(memory: Memory) -> str:
    if memory.accesses == "reuse":
        return f"memory accesses at each level of a {memory.dataflow}-stationary dataflow"
    return "memory accesses by the size of the memory"


_NOT_OF_AN_INFERENCE = ("mul", "add", "compare", "learn_update")  # parts of a multiply-accumulate, and training


def _enumerated(parts: Sequence[str]) -> str:
    *most, last = parts or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def _caveats(activity: Activity) -> Iterable[str]:
    if activity.run.data.kind == RANDOM_DATA:
        yield "The input was random data."
    if activity.run.model.note:
        yield f"On the model: {escaped(_as_sentence(activity.run.model.note))}"
    if activity.uncounted:
        yield escaped("Not counted: " + ", ".join(sorted({entry.op for entry in activity.uncounted})) + ".")


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _entry(key: str, source: Source) -> str:
    """The BibTeX entry of a source: the one in our bibliography, else a note with the citation in the profile."""
    known = bibliography.entry_of(source)
    if known:
        return known.replace(f"{{{source.id},", f"{{{key},", 1)
    fields = {
        "key": key,  # styles sort an entry without an author by this field
        "note": _field(source.citation or source.id),
        "doi": _address(source.doi, _DOI),
        "url": _address(source.url, _URL),
    }
    body = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items() if text)
    return f"@misc{{{key},\n{body}\n}}"


def _field(text: str) -> str:
    r"""Escapes a text for a BibTeX field. BibTeX counts braces, also those after a backslash.

    >>> _field("a} b_c")
    'a\\textbraceright{} b\\_c'
    """
    return escaped(text).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def _address(text: str | None, usual: re.Pattern[str]) -> str:
    r"""A DOI or URL for BibTeX; in an unusual one, the characters that TeX would interpret are percent-encoded.

    >>> _address("https://a.org/b_c", _URL), _address(r"https://a.org/\input{x}#1", _URL)
    ('https://a.org/b_c', 'https://a.org/\\%5Cinput\\%7Bx\\%7D\\#1')
    """
    if not text or usual.fullmatch(text):
        return text or ""
    coded = quote(text, safe="/:?@!'()*+,;=.-%#&", errors="replace").replace("~", "%7E").replace("_", "%5F")
    return re.sub(r"[%#&]", lambda match: "\\" + match.group(), coded)
