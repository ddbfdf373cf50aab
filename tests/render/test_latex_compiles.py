"""The LaTeX tables go through a real pdflatex, hostile names included, and fit the line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from snnprof import catalogue
from snnprof.activity import Activity
from snnprof.comparison import Comparison, Entry, compared
from snnprof.pricing import price
from snnprof.render import latex
from snnprof.render.comparison import comparison_document, paper_document
from snnprof.render.table import Document
from snnprof.render.tables import report_document

pytestmark = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-extra)"
)


def pdflatex(folder: Path, packages: str, body: str) -> str:
    """What pdflatex said of a page of A4 with the text in a float."""
    preamble = rf"\documentclass{{article}}\usepackage{{{packages}}}\begin{{document}}"
    (folder / "t.tex").write_text(f"{preamble}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.fixture
def comparison(activity: Activity) -> Comparison:
    row = catalogue.published_row("ssa_bin-bin-cifar10")
    named = [Entry(name, ((price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")),)) for name in ("a", "[b]")]
    return compared([*named, Entry(row.title, published=row)])


@pytest.mark.parametrize("siunitx", [False, True])
def test_pdflatex_takes_it(siunitx: bool, hostile_activity: Activity, comparison: Comparison, tmp_path: Path) -> None:
    if siunitx and not subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True, check=False).stdout:
        pytest.skip("siunitx is not installed (Debian: texlive-science)")
    first, *others = hostile_activity.ops
    foreign = [first.model_copy(update={"layer": "中文层" * 9}), *others]
    documents: list[Document] = [
        report_document([price(hostile_activity.model_copy(update={"ops": foreign, "blocks": []}))]),
        report_document([price(hostile_activity, "cmos45-fp32"), price(hostile_activity, "rolls-77fj")]),
        report_document([price(hostile_activity, "cmos45-fp32")], by="role"),
        comparison_document(comparison, by="block"),
        paper_document(comparison, "main"),
        paper_document(comparison, "ablation"),
    ]
    body = "\n\n".join(latex.render(document, siunitx) for document in documents)
    body += latex.render(documents[2], siunitx, caption="Energy by role, 100 % & more", label="tab:a_b")
    body += r"See Table~\ref{tab:a_b}."
    said = pdflatex(tmp_path, "array,booktabs" + (",siunitx" if siunitx else ""), body)
    assert "Missing character" not in said
    assert "Overfull" not in said
