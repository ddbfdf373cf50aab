"""The reviewer's card: what it must say, and that no name breaks its formats."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from snnprof import conventions
from snnprof.activity import Activity, Finding
from snnprof.hardware.loader import names
from snnprof.pricing import price, split_gain
from snnprof.render import card
from snnprof.units import count_text

FILE = card.File("my run.json", "ab12" * 16, pricing=("--price", "mac=1pJ", "--exclude", "a*"))
HOSTILE = r"""<script>alert("1", '2')</script> 50 % of_it {\input{x}} | `rm` $\alpha$ 中文 ‮ \end{document}"""
HOSTILE += "long_" * 60


def texts(made: card.Card) -> dict[str, str]:
    """Sections and labels → texts."""
    return {
        f"{section.title.partition(' ')[0]}/{label}": text for section in made.sections for label, text in section.rows
    }


def changed(activity: Activity, **run: object) -> Activity:
    return activity.model_copy(update={"run": activity.run.model_copy(update=run)})


def hostile(activity: Activity) -> Activity:
    run = activity.run
    return changed(
        activity,
        argv=["profile", HOSTILE],
        model=run.model.model_copy(update={"source": HOSTILE, "title": HOSTILE, "note": HOSTILE}),
        data=run.data.model_copy(update={"source": HOSTILE, "note": HOSTILE}),
        versions={HOSTILE: HOSTILE},
        conditions={"the weights": HOSTILE},
    )


def test_it_says_what_decides_the_figures(activity: Activity) -> None:
    rule = conventions.find("exact:levels=events").excluding(conventions.Exclusion(("head",)))
    report = price(changed(activity, argv=["profile", "net.py:build", "--set", "a=b c"]), "cmos45-fp32-mem", rule)
    found = texts(card.card([report], FILE))
    assert "T = 2" in found["What/data"]
    assert "samples 20 of 360" in found["What/data"]
    assert found["How/convention"].startswith("exact:levels=events: ")
    assert "levels=events, max_levels=32, attention=pairs" in found["How/its options"]
    assert "head" in found["How/excluded layers"]
    macs = sum(row.macs for row in report.rows if row.op in ("conv", "linear", "matmul")) / activity.samples
    assert found["How/multiplies"].startswith(f"{count_text(macs)} MACs, in patch_embed.proj_conv")
    assert "4.6 pJ per multiply-accumulate" in found["Constants/cmos45-fp32-mem"]
    assert "; with memory accesses; " in found["Constants/cmos45-fp32-mem"]
    assert "doi:10.1109/ISSCC.2014.6757323" in found["Constants/cmos45-fp32-mem"]
    twin = report.quantised_twin
    gain = split_gain(twin, report) if twin else None
    assert twin
    assert gain
    assert found["Figures/– quantised twin"].startswith(f"{gain.total:.3g} × the energy of this SNN")
    assert "neuron updates" in found["Not/cmos45-fp32-mem"]
    assert found["Identity/run file"] == f"checksum of its content {FILE.checksum}; unchanged since snnprof wrote it"
    assert found["Commands/repeat"] == "snnprof profile net.py:build --set 'a=b c'"
    assert found["Commands/verify"] == "snnprof verify 'my run.json'"
    assert found["Commands/price"] == "snnprof report 'my run.json' --price mac=1pJ --exclude 'a*'"


def test_what_is_missing_is_said(activity: Activity) -> None:
    bare = activity.model_copy(update={"accuracy": None, "self_check": None, "coverage": None})
    report = price(changed(bare, argv=[], versions={}, complete=False), "rolls-77fj")
    found = texts(card.card([report], card.File("r.json", "x", changed=True)))
    assert found["What/accuracy"] == "unknown: the data has no labels"
    assert found["What/complete"].startswith("no: ")
    assert found["How/self-check"].startswith("not done")
    assert "could not trace" in found["How/coverage"]
    assert found["Figures/– ANN twin"] == "unknown: this list does not price it"
    assert "Figures/– quantised twin" not in found
    assert "CHANGED" in found["Identity/run file"]
    assert found["Commands/repeat"].startswith("# the run file holds no command")
    assert "Commands/verify" not in found
    unsealed = texts(card.card([report], card.File("r.json")))
    assert unsealed["Identity/run file"] == "r.json holds no checksum"


def test_it_says_why_there_is_no_accuracy(activity: Activity) -> None:
    note = Finding(code="C26", text="There is no accuracy: the model outputs [4, 10], not 24 rows of class scores")
    run = activity.model_copy(update={"accuracy": None, "findings": [note]})
    found = texts(card.card([price(run, "rolls-77fj")], FILE))
    assert found["What/accuracy"] == "unknown: the model outputs [4, 10], not 24 rows of class scores"


def test_no_name_breaks_text_or_markdown(hostile_activity: Activity) -> None:
    made = card.card([price(hostile(hostile_activity), "cmos45-fp32")], FILE)
    plain = card.as_text(made)
    assert "\u202e" not in plain
    for text in plain.partition("\nCommands\n")[0].splitlines()[1:]:  # a line is only longer for a single word
        assert len(text) <= card.WIDTH or " " not in text[card.LABEL + 4 :], text
    marked = card.as_markdown(made)
    assert "<script>" not in re.sub(r"`+[^\n]*`+", "", marked)
    for row in (line for line in marked.splitlines() if line.startswith("|")):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3, row


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-extra)")
@pytest.mark.parametrize(
    "lists", [["cmos45-fp32"], ["cmos45-fp32", "cmos45-fp32-mem", "rolls-77fj", "loihi1-davies2018"], names()]
)
def test_pdflatex_makes_a_page_of_it(lists: list[str], hostile_activity: Activity, tmp_path: Path) -> None:
    """One page; a card with every price list would be too small to read on one, so it has several."""
    activity = hostile(hostile_activity) if len(lists) > 1 else hostile_activity
    made = card.card([price(activity, id) for id in lists], FILE)
    (tmp_path / "card.tex").write_text(card.as_latex(made), encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "card.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert ("Output written on card.pdf (1 page" in done.stdout) == (len(lists) < 5)
    assert "Overfull" not in done.stdout
