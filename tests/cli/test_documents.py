"""`report`, `compare` and `cite` as documents for a paper, through real processes."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest


def snnprof(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snnprof", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_float_with_chosen_columns(run_file: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tex"
    options = ("--columns", "rate,energy", "--caption", "50 % of it", "--label", "tab:a_b")
    done = snnprof("report", run_file, "--hardware", "cmos45-fp32", *options, "-o", table)
    assert done.returncode == 0, done.stderr
    text = table.read_text(encoding="utf-8")
    assert r"\caption{50 \% of it}" in text
    assert r"\label{tab:a_b}" in text
    assert r" & Input & cmos45-fp32 \\" in text
    assert text.count(r"\begin{tabular}") == 1


def test_columns_of_a_comparison(run_file: Path) -> None:
    layout = ("compare", run_file, "--hardware", "cmos45-fp32", "--layout-of", "main", "--format", "latex")
    done = snnprof(*layout, "--columns", "accuracy,energy")
    assert r"Method & (\%) & (nJ) \\" in done.stdout
    wrong = snnprof(*layout, "--columns", "joules")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: unknown column 'joules'")


@pytest.mark.parametrize("option", ["--caption", "--label"])
def test_a_float_is_latex(option: str, run_file: Path) -> None:
    for command in ("report", "compare"):
        done = snnprof(command, run_file, option, "x", "--format", "csv")
        assert done.returncode == 2
        assert done.stderr == f"error: {option} is for LaTeX, not for csv\nhint: add --format latex\n"


def test_csv_says_of_what_and_has_no_noise(run_file: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(snnprof("report", run_file, "--format", "csv").stdout)))
    assert {row["per"] for row in rows} == {"inference"}
    figures = [cell for row in rows for cell in row.values() if cell.replace(".", "").isdigit()]
    assert max(len(cell.replace(".", "").lstrip("0")) for cell in figures) <= 12
    assert not any(cell.endswith(".0") for cell in figures)


def test_cite_writes_a_bibliography(run_file: Path, tmp_path: Path) -> None:
    done = snnprof("cite", run_file, "--hardware", "cmos45-fp32", "-o", tmp_path / "refs.bib")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "refs.bib").read_text(encoding="utf-8")
    assert "@inproceedings{horowitz2014,\n  author    = {Horowitz, M.}" in text


def test_a_card_is_text_markdown_or_latex(run_file: Path, tmp_path: Path) -> None:
    done = snnprof("cite", run_file, "--card", "--price", "mac=1pJ,ac=1pJ", "--convention", "formula")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Reviewer's card: ")
    assert f"snnprof report {run_file} --convention formula --price mac=1pJ,ac=1pJ\n" in done.stdout
    done = snnprof("cite", run_file, "--card", "-o", tmp_path / "card.tex")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "card.tex").read_text(encoding="utf-8").startswith(r"\documentclass")
    wrong = snnprof("cite", run_file, "--card", "-o", tmp_path / "card.html")
    assert (wrong.returncode, wrong.stderr[:42]) == (2, "error: --card writes .md, .tex or .txt, no")
