"""`papers` and `audit` from the command line: formats, filters, templates, and refusals."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import snnprof
from snnprof.__main__ import main
from snnprof.cli import options


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> str:
    """What a command prints; what it complains about where it fails."""
    assert main([str(argument) for argument in arguments]) == status
    heard = capsys.readouterr()
    return heard.err if status else heard.out


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex", "html"])
def test_every_format(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("papers", "list", "--year", "2024"), ("papers", "show", "sdt/SDT-8-512@224/T4"),
                    ("audit", "paper:qkformer/SEW-ResNet-34"), ("audit", "paper:srf")):  # fmt: skip
        text = said(capsys, *command, "--format", form)
        assert any(part in text for part in ("SEW", "SDT", "SpikingResformer", "first layer"))
        if form == "json":
            json.loads(text, parse_constant=pytest.fail)


def test_the_list_as_csv_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, "papers", "list", "--format", "csv", "--raw-csv"))))
    by_id = {row["id"]: row for row in rows}
    row = by_id["sdt/SDT-8-512@224/T4"]
    assert (row["energy_mj"], row["energy_mj_printed"], row["recomputed_mj"]) == ("4.5", "4.50", "5.3525")
    assert (row["verdict"], row["dataset"], row["timesteps"]) == ("does not follow", "ImageNet-1k", "4")
    assert all(row["source"] and row["status"] and row["verdict"] for row in rows)


def test_filters_and_what_matches_none(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "papers", "list", "--dataset", "cifar10", "--model", "ssa_bin", "--source", "tiny papers")
    assert text.count("ssabin/SSA_Bin@") == 2
    assert "2 rows: 2 follow." in text
    assert "spikeyolo" in said(capsys, "papers", "list", "--verdict", "differs")
    assert "no published row matches --model 'nobody'" in said(capsys, "papers", "list", "--model", "nobody", status=2)
    assert "unknown verdict 'wrong'" in said(capsys, "papers", "list", "--verdict", "wrong", status=2)


def test_show_prints_the_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    """0.9 · 6.82 = 6.138; 4.6 · 4 · 0.065028096 = 1.19652."""
    text = said(capsys, "papers", "show", "paper:spikformer-8-384-imagenet")
    for part in ("6.138", "1.19652", "7.33452", "7.734", "does not follow", "quoted by another work", "512-wide"):
        assert part in text
    assert "did you mean" in said(capsys, "papers", "show", "spikformer_iclr/Spikformer-8-513", status=2)


def test_audits_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert "The stated formula gives 0.854 mJ." in said(capsys, "audit", "paper:spikformer_v1/Spikformer-8-512")
    text = said(capsys, "audit", "paper:sdt/SDT-8-512@224/T4")
    for part in ("None of 888 readings gives 4.50 mJ", "block7.mlp2", "5.352", "coincidence"):
        assert part in text
    assert "prints no operations" in said(capsys, "audit", "paper:qkformer/HST-10-512", status=2)
    document = json.loads(said(capsys, "audit", "paper:ssabin", "--format", "json"))
    assert [(row["matching"], row["readings"]) for row in document["rows"]] == [(1, 10)] * 20
    assert document["shared"][0]["rows"] == 20


@pytest.mark.parametrize("kind", ["yaml", "csv"])
def test_a_template_goes_round(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"t.{kind}"
    said(capsys, "audit", "--template", "--output", path)
    assert "Audit of 4 printed energies: 4 follow" in said(capsys, "audit", path)
    assert "exists" in said(capsys, "audit", "--template", "-o", path, status=2)
    assert said(capsys, "audit", "--template", "--format", kind) == path.read_text(encoding="utf-8")


def test_a_run_against_a_printed_energy(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's own report on cmos45-fp32 must be among the readings."""
    report = snnprof.price(run_file, "cmos45-fp32", "spikformer")
    total = report.per_inference(report.energy_pj)
    assert total is not None
    text = said(capsys, "audit", run_file, "--printed", f"{total / 1e3:.6f} nJ")
    assert "Readings that give it" in text
    assert "counted by the convention spikformer" in text
    assert "needs the energy" in said(capsys, "audit", run_file, status=2)
    for wrong in ("4.5", "mJ", "nan mJ", "-1 mJ", "0 mJ"):
        assert "--printed" in said(capsys, "audit", run_file, "--printed", wrong, status=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit"], "nothing to audit"),
        (["audit", "net.py"], "cannot audit"),
        (["audit", "missing.csv"], "no such file"),
        (["audit", "missing.json", "--printed", "1mJ"], "there is no run file"),
        (["audit", "paper:nothing"], "unknown published row 'nothing'"),
        (["audit", "paper:srf", "--printed", "1mJ"], "--printed is for a RUN.json"),
        (["audit", "paper:srf", "--price", "hop=1pJ,mac=1pJ"], "--price hop"),
        (["audit", "paper:srf", "--price", "ac=nanpJ"], "price ac=nanpJ"),
        (["audit", "--template", "--format", "json"], "a template is YAML or CSV"),
    ],
)
def test_refusals(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, *arguments, status=2)
    assert words in error
    assert "Traceback" not in error


def test_hostile_names_stay_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "<script>alert(1)</script> %s {x} \\textbf | =1+1 \u202e\x1b[31m é"
    (tmp_path / "t.csv").write_text(f'model,energy_mJ,sops_G\n"{name}",0.9,1.0\nb,1.8,2.0\n', encoding="utf-8")
    html = said(capsys, "audit", tmp_path / "t.csv", "--format", "html")
    assert "<script>alert" not in html
    assert "\x1b" not in said(capsys, "audit", tmp_path / "t.csv")


def test_rows_of_other_settings_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["paper:qkformer/HST-10-768@224/T4", "paper:qkformer/HST-10-768@224/T1", "paper:qkformer/HST-10-768@288",
            "paper:ssabin/SSA@CIFAR-10"]  # fmt: skip
    document = json.loads(said(capsys, "compare", *rows, "--format", "json"))
    assert [side["unlike"] for side in document["sides"]] == [
        None, "T = 1, not 4", "288×288, not 224×224", "CIFAR-10, not ImageNet-1k",
    ]  # fmt: skip
    assert "Not in the setting of" in said(capsys, "compare", *rows, "--layout-of", "main")
    same = json.loads(said(capsys, "compare", rows[0], "paper:qkformer/HST-10-512", "--format", "json"))
    assert "unlike" not in same["sides"][0]
    from snnprof import catalogue
    from snnprof.charts.tradeoff import tradeoff_of
    from snnprof.comparison import Entry

    found = [catalogue.published_row(row.removeprefix("paper:")) for row in rows]
    chart = tradeoff_of([Entry(f"{row.title} (published)", published=row) for row in found])
    assert [(point.data, point.mark.replace("\u00a0", " ")) for point in chart.points] == [
        ("ImageNet-1k, 224×224", "T = 4"), ("ImageNet-1k, 224×224", "T = 1"), ("ImageNet-1k, 288×288", ""),
        ("CIFAR-10", ""),
    ]  # fmt: skip


def test_completion() -> None:
    assert "paper:ssa_bin-bin-cifar10" in options.things("paper:ssa_bin-bin")
    assert options.things("paper:nobody") == []
    assert options.things("pap") == options.rows_beside_files("pap") == ["paper:"]
    assert "spikformer" in options.things("spik")
    assert "sdt/SDT-8-512@224/T4" in options.paper_names("sdt/")


def test_a_real_process_in_the_c_locale() -> None:
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C", "COLUMNS": "60"}
    command = [sys.executable, "-m", "snnprof", "audit", "paper:spikeyolo"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"Traceback" not in done.stderr
