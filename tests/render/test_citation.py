"""`cite`: written from the run's own facts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from snnprof import bibliography, catalogue, hardware
from snnprof.activity import Activity
from snnprof.pricing import price
from snnprof.render import citation

ROOT = Path(__file__).parent.parent.parent
LATEX = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("bibtex") is None,
    reason="pdflatex is not installed (Debian: texlive-latex-extra)",
)


def test_it_names_samples_convention_prices_and_sources(activity: Activity) -> None:
    text = citation.render([price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")])
    assert "20 of 360 samples of digits ($T = 2$, seed 0)" in text
    assert "4.6~pJ per multiply-accumulate and 0.9~pJ per accumulate" in text
    assert "77~fJ per synaptic operation" in text
    for key in ("snnprof", "zhou2023spikformer", "horowitz2014", "qiao2015"):
        assert text.count(f"{{{key},\n") == 1, key
    assert r"\cite{zhou2023spikformer}" in text


def test_an_unknown_model_is_named_but_not_cited(activity: Activity) -> None:
    model = activity.run.model.model_copy(update={"name": "mine", "source": "my_net.py:build"})
    run = activity.run.model_copy(update={"model": model})
    text = citation.methods([price(activity.model_copy(update={"run": run}))])
    assert r"We profiled my\_net.py:build with" in text


def test_methods_say_words_and_no_names_of_the_code(activity: Activity) -> None:
    """What a profile excludes are names such as `potential_rw`; a convention's is `exact`."""
    reports = [price(activity, profile) for profile in hardware.profiles()[0]]
    text = citation.methods(reports)
    assert not re.findall(r"\b[a-z]+\\_[a-z]+", text)
    assert "exact" not in text
    assert "reading and writing membrane potentials" in text


def test_every_source_of_a_bundled_profile_has_an_entry() -> None:
    for profile in hardware.profiles()[0]:
        for source in profile.sources:
            entry = bibliography.entry_of(source)
            assert entry, f"{profile.id}: {source.id}"
            year, author = bibliography.field(entry, "year"), bibliography.field(entry, "author") or ""
            assert source.id[-4:] == year or source.id[-5:-1] == year
            assert source.citation
            assert author.strip("{}").partition(",")[0].replace('{\\"o}', "oe") in source.citation


def test_another_paper_under_a_known_id_is_cited_as_its_profile_has_it() -> None:
    known = hardware.load_hardware("cmos45-fp32").sources[0]
    assert bibliography.entry_of(known.model_copy(update={"citation": None}))
    for change in ({"doi": None}, {"doi": "10.1/x"}, {"citation": "A. Nother, Other, 2014"}):
        assert bibliography.entry_of(known.model_copy(update=change)) is None


def test_the_software_is_cited_as_its_citation_file_has_it() -> None:
    file = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert bibliography.field(citation.SOFTWARE, "title") == file["title"]
    assert bibliography.field(citation.SOFTWARE, "author") == f"{{{file['authors'][0]['name']}}}"
    assert bibliography.field(citation.SOFTWARE, "year") == str(file["date-released"])[:4]
    assert file["version"] in citation.SOFTWARE


@LATEX
@pytest.mark.parametrize("model", catalogue.names())
def test_bibtex_has_nothing_to_say(model: str, activity: Activity, tmp_path: Path) -> None:
    """All that `cite` prints is the .bib file, every entry is cited, and the text compiles with it."""
    named = activity.run.model.model_copy(update={"name": model})
    run = activity.model_copy(update={"run": activity.run.model_copy(update={"model": named})})
    own = hardware.load_hardware("cmos45-fp32")
    source = own.sources[0].model_copy(update={"id": "mine_1", "citation": "A {Note} of 5 % & #1", "doi": None})
    reports = [price(run, profile) for profile in hardware.profiles()[0]]
    reports += [price(run, own.model_copy(update={"id": "mine", "sources": [source]}))]
    (tmp_path / "refs.bib").write_text(citation.render(reports), encoding="utf-8")
    body = f"{citation.methods(reports)}\n\n{citation.footnote(reports)}"
    end = "\\bibliographystyle{plain}\\bibliography{refs}\\end{document}"
    (tmp_path / "t.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}\n{body}\n{end}\n", encoding="utf-8")
    said = [_run(tmp_path, *command) for command in (["pdflatex"], ["bibtex"], ["pdflatex"], ["pdflatex"])]
    assert "warning" not in said[1].lower(), said[1]
    assert "undefined" not in said[3]
    assert "Missing character" not in said[3]


def _run(folder: Path, tool: str) -> str:
    options = ["-halt-on-error", "-interaction=nonstopmode"] if tool == "pdflatex" else []
    done = subprocess.run([tool, *options, "t"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout
