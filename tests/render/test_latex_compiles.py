"""The LaTeX table goes through a real pdflatex, hostile names included."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from snnprof.activity import Activity
from snnprof.compare import Entry, compared
from snnprof.pricing import price
from snnprof.render import latex
from snnprof.render.comparison import comparison_document
from snnprof.render.tables import report_document

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
PREAMBLE = r"\documentclass{article}\usepackage[a2paper,landscape]{geometry}\usepackage{booktabs}\begin{document}"


def test_pdflatex_takes_it(hostile_activity: Activity, activity: Activity, tmp_path: Path) -> None:
    report = report_document([price(hostile_activity, "cmos45-fp32"), price(hostile_activity, "rolls-77fj")])
    comparison = comparison_document(compared([Entry("a", ((price(activity),),)), Entry("[b]", ((price(activity),),))]))
    body = "\n\n".join(latex.render(document) for document in (report, comparison))
    (tmp_path / "t.tex").write_text(f"{PREAMBLE}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
