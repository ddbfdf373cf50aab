"""Every finding is explained, on the command line and on its page."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from snnprof import catalogue, explanations, literature, validation
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.agreement import agreement_of
from snnprof.audit import audit, shared
from snnprof.audit.published import from_published
from snnprof.comparison import Entry, compare
from snnprof.derivation import derivations
from snnprof.hardware import profiles, stubs
from snnprof.mapping import chips, load_chip
from snnprof.pricing import price
from snnprof.render.agreement import agreement_document
from snnprof.render.audit import audit_document
from snnprof.render.catalogues import hardware_list, hardware_profile, model_entry, model_list
from snnprof.render.comparison import comparison_document
from snnprof.render.derivation import derivation_document
from snnprof.render.papers import paper_list, paper_row
from snnprof.render.steps import steps_document
from snnprof.render.sweep import sweep_document
from snnprof.render.table import Table
from snnprof.render.tables import report_document
from snnprof.render.validation import validation as validation_document
from snnprof.shown import By
from snnprof.sweeps import sweep_of

ROOT = Path(__file__).parent.parent
CODE = re.compile(r"[CMW]\d\d")
AUDITED = ("spikformer_iclr/Spikformer-8-512@224/T4", "spikformer_iclr/Spikformer-8-384@224/T4")


def strings(node: ast.AST) -> set[str]:
    found = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return {text for text in found if CODE.fullmatch(text)}


def made(tree: ast.AST) -> set[str]:
    """Codes that a call makes a finding of: its first argument, or the one named `code`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    heads = [call.args[0] for call in calls if call.args]
    named = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "code"]
    return {code for node in heads + named if isinstance(node, ast.Constant) for code in strings(node)}


def test_codes_and_explanations_are_the_same() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "snnprof").rglob("*.py")]
    explained = set(explanations.every())
    assert explained == {code for tree in trees for code in made(tree)}
    assert explained >= {code for tree in trees for code in strings(tree)}


@pytest.mark.parametrize("code", explanations.every())
def test_an_explanation_is_complete(code: str) -> None:
    explanation = explanations.find(code.lower())
    assert explanation.name == code
    assert not explanation.title.endswith(".")
    for _, text in explanation.parts:
        assert text.endswith((".", "`."))
        assert text[0].isupper() or text.startswith(("snnprof", "fvcore", "`"))
        assert "\n" not in text


def test_explain_prints_the_three_parts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["explain", "c06", "W20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "C06: The network hardly fires"
    assert [line for line in lines if line in ("What it means", "Why it matters", "What to do")] == [
        "What it means", "Why it matters", "What to do", "What it means", "Why it matters", "What to do",
    ]  # fmt: skip
    assert "W20: The choice of hardware decides the result" in lines
    assert max(map(len, lines)) <= 60


def test_explain_without_a_code_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [*explanations.every(), *explanations.terms()]


@pytest.mark.parametrize(("code", "near"), [("C99", "'C09'"), ("W011", "'W01'"), ("\x1b[2J", "see 'snnprof explain'")])
def test_an_unknown_code_is_one_sentence(code: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: unknown finding code")
    assert near in err
    assert "\x1b" not in err


def test_the_page_is_current() -> None:
    """Make it anew with: python docs/make_findings.py"""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_findings.py"), "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert {f"### {code}" for code in explanations.every()} <= set(page.splitlines())
    assert {explanations.anchor(code) for code in explanations.every()} == {
        heading.removeprefix("### ").lower() for heading in page.splitlines() if heading.startswith("### ")
    }


# -- columns and terms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", explanations.terms())
def test_a_term_is_explained_in_sentences(name: str) -> None:
    term = explanations.find(name.upper())
    assert isinstance(term, explanations.Term)
    assert not term.title.endswith(".")
    for _, text in term.parts:
        assert text.endswith((".", "`."))
        assert "\n" not in text


def test_no_name_stands_for_two_terms() -> None:
    names = [alias for term in explanations.terms().values() for alias in (term.name, *term.also)]
    assert len(names) == len(set(names))
    assert all(name == re.sub(r"\W+", "_", name.lower()) for name in names)


def tables() -> Iterator[Table]:
    """Every kind of table that snnprof writes as CSV."""
    runs = [ROOT / "tests" / "data" / "runs" / f"{name}.json" for name in ("saformer", "spikformer", "ssa_bin")]
    lists = ["cmos45-fp32", "cmos45-fp32-mem", "rolls-77fj"]
    for hardware in (lists, lists[:1]):
        for by in get_args(By):
            document = report_document(list(price(runs[0], hardware)), by)
            yield from document.tables
            assert document.machine is not None
            yield document.machine
        comparison = compare([*runs, "paper:ssa_bin-bin-cifar10"], hardware)
        yield from comparison_document(comparison, "role").tables[:2]
        entries = [Entry(str(path), (tuple(price(path, hardware)),)) for path in runs]
        seeds = [replace_seed(entry, seed) for seed, entry in enumerate(entries)]
        yield from sweep_document(sweep_of(seeds, "seed")).tables
    good, _ = profiles()
    yield from hardware_list(good, stubs(), {id: load_chip(id) for id in chips()}).tables
    yield from paper_list(list(literature.rows().values()), {}).tables
    mapped = price(runs[1], "loihi1-sanafe", mapping="loihi1")
    yield from report_document([mapped], "op").tables
    yield from hardware_profile(good[0]).tables
    yield from rarer_tables(runs)
    models = [catalogue.entry(name) for name in catalogue.names()]
    yield from (
        table
        for document in (model_list(models), *(model_entry(each, catalogue.published_of(each)) for each in models))
        for table in document.tables
    )


def rarer_tables(runs: list[Path]) -> Iterator[Table]:
    """Tables of claims under all conventions, of time steps, derivations, audits and measured cases."""
    saformer = price(runs[0], "cmos45-fp32")
    claim = agreement_document(
        agreement_of({"a": [saformer.activity], "b": [Activity.load(runs[1])]}, "a", profiles()[0][:3])
    )
    audited = [audit(from_published(literature.rows()[id])) for id in AUDITED]
    documents = [
        claim, steps_document(saformer), derivation_document(saformer, derivations(saformer, "head")),
        audit_document(audited[:1]), audit_document(audited, shared(audited)), paper_row(literature.rows()[AUDITED[0]]),
        validation_document([*validation.cases().values()], validation.checks([*validation.cases().values()], [])),
    ]  # fmt: skip
    for document in documents:
        yield from document.tables
        if document.machine:
            yield document.machine


def replace_seed(entry: Entry, seed: int) -> Entry:
    """The run with another seed."""
    reports = []
    for report in entry.reports:
        run = report.activity.run.model_copy(update={"seed": seed})
        reports.append(price(report.activity.model_copy(update={"run": run}), report.hardware))
    return Entry(entry.name, (tuple(reports),))


def test_every_column_is_explained() -> None:
    keys = {key for table in tables() for key in table.keys() if not re.fullmatch(r"list_\d+", key)}  # noqa: SIM118
    assert len(keys) > 60
    assert not [key for key in sorted(keys) if explanations.term(key) is None]


def test_every_heading_leads_to_the_explanation_of_its_column() -> None:
    """But for those that head two columns, of which a reader gets the more common one."""
    shared = {"Accuracy (%)", "Energy", "Hardware", "Input rate"}
    columns = [column for table in tables() for column in table.columns if not column.header.isdigit()]
    headings = {(c.header, c.key) for c in columns if c.header not in ("", *shared) and c.kind != "energy"}
    assert len(headings) > 60
    for heading, key in sorted(headings):
        assert explanations.find(heading) == explanations.find(key), heading
