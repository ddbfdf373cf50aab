"""What a run or hardware file says is text: it steers no terminal, runs in no spreadsheet and ends no citation."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from snnprof.activity import Activity, Finding, Uncounted
from snnprof.errors import visible
from snnprof.hardware import HardwareProfile, load_hardware
from snnprof.pricing import EnergyReport, price
from snnprof.render import citation, html, latex, markdown, terminal
from snnprof.render import csv as csv_format
from snnprof.render import json as json_format
from snnprof.render.tables import report_document

ESC, BELL, CSI, OVERRIDE, NOTHING = "\x1b", "\x07", "\x9b", "\u202e", "\u200b"
ATTACK = (
    f"{ESC}[2J{ESC}]0;owned{BELL}{ESC}]8;;http://x{ESC}\\a{CSI}31m{OVERRIDE}b{NOTHING}c\x00\x7f\r\nd\u2028e\x85f\u3164g"
)
TEX = r"\input{/etc/passwd} \write18{id} } \end{document} % # & ~ ^ _ ^^5cinput $x$"
FORMULAS = ("=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", '"=1', "'=1", " =1", "＝1")
ALL = {"terminal": terminal, "csv": csv_format, "json": json_format, "markdown": markdown, "latex": latex, "html": html}


def controls(text: str) -> set[str]:
    """Characters that a terminal obeys or nobody sees; line breaks are every format's own."""
    return {
        c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u3164")
    }


def named(activity: Activity, text: str) -> Activity:
    """The run with this text wherever a file can say something."""
    model = activity.run.model.model_copy(
        update={"name": text, "label": text, "source": text, "note": text, "checkpoint": text, "preset": text}
    )
    data = activity.run.data.model_copy(update={"source": text, "note": text})
    run = activity.run.model_copy(update={"model": model, "data": data})
    ops = [op.model_copy(update={"layer": text + op.layer}) for op in activity.ops]
    neurons = [neuron.model_copy(update={"layer": text + neuron.layer}) for neuron in activity.neurons]
    findings = [Finding(code="C01", layer=text, text=text, hint=text)]
    unknown = [Uncounted(layer=text, op=text, calls=1)]
    changed = {"run": run, "ops": ops, "neurons": neurons, "findings": findings, "uncounted": unknown, "blocks": []}
    return activity.model_copy(update=changed)


def machine(text: str) -> HardwareProfile:
    profile = load_hardware("cmos45-fp32")
    source = profile.sources[0].model_copy(
        update={"id": text, "citation": text, "doi": text, "url": text, "locator": text, "note": text}
    )
    return profile.model_copy(update={"title": text, "note": text, "sources": [source], "unverified": [text]})


def priced(activity: Activity, text: str) -> EnergyReport:
    return price(named(activity, text), machine(text))


# -- one function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b.c–ü中×", "a b.c–ü中×"), ("a\nb", "a\nb"), ("a\tb\u00a0c", "a b c"), (ESC, r"\x1b"), (CSI, r"\x9b"),
        ("\x7f", r"\x7f"), (OVERRIDE, r"\u202e"), ("\u2066", r"\u2066"), (NOTHING, r"\u200b"), ("\ufeff", r"\ufeff"),
        ("\U000e0041", r"\U000e0041"), ("\udcff", r"\udcff"), ("\u3164", r"\u3164"), ("\r", r"\r"),
    ],
)  # fmt: skip
def test_what_steers_or_hides_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize("module", ALL.values(), ids=ALL)
def test_no_format_lets_control_characters_through(module: ModuleType, activity: Activity) -> None:
    document = report_document([priced(activity, ATTACK)], command=f"snnprof {ATTACK}")
    text = module.render(document)
    assert controls(text) == set()
    assert "owned" in text


def test_json_says_what_the_file_said(activity: Activity) -> None:
    content = json.loads(json_format.render(report_document([priced(activity, ATTACK)])))
    assert content["run"]["model"]["note"] == ATTACK


def test_a_page_says_it_too(activity: Activity) -> None:
    document = report_document([priced(activity, ATTACK + "$\\frac{$")], figures=True)
    text = html.render(document)
    assert controls(text) == set()
    assert "data-place" in text


def test_a_line_of_a_file_is_no_line_of_a_format(activity: Activity) -> None:
    """No table row, list item, heading, LaTeX command or comment's end begins inside of a text."""
    document = report_document([priced(activity, "a\n\n# b\n\\input{x}\n| c |\u2028%% d\x0b\x0ce")])
    for module in (markdown, latex):
        lines = module.render(document).splitlines()
        assert not [line for line in lines if re.match(r"# b|\\input|\| c \||%% d", line)]


# -- spreadsheets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_cell_that_a_spreadsheet_would_run_is_text(formula: str, activity: Activity) -> None:
    document = report_document([priced(activity, formula)])
    for raw in (False, True):
        rows = list(csv.reader(io.StringIO(csv_format.render(document, raw))))
        run = [cell for row in rows for cell in row if re.match(r"[\s\"]*[=+@＝]|-[^\d]|-1\+", cell)]
        assert bool(run) == (raw and formula[0] not in "\r'")
        assert all(re.fullmatch(r"-?\d+(\.\d+)?(e[-+]\d+)?", cell) for cell in _column(rows, "deviation"))


def _column(rows: list[list[str]], name: str) -> list[str]:
    return [row[rows[0].index(name)] for row in rows[1:] if row[rows[0].index(name)]]


def test_negative_numbers_stay_numbers(activity: Activity) -> None:
    rows = list(csv.reader(io.StringIO(csv_format.render(report_document([price(activity, "cmos45-fp32")])))))
    assert not [cell for row in rows for cell in row if cell.startswith("'")]


# -- citations -------------------------------------------------------------------------------------------------


def balanced(text: str) -> bool:
    """As BibTeX counts braces: a backslash does not take one out."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def test_a_hardware_file_is_quoted_in_a_citation(activity: Activity) -> None:
    text = citation.render([priced(activity, TEX)])
    prose, _, bibliography = text.partition("% BibTeX")
    for command in ("input", "write", "end", "^^5c"):
        assert f"\\{command}" not in text
    assert not re.search(
        r"(?<!\\)[#&^_$]|(?<!\\)%(?! (?:Methods|Footnote of the table))",
        prose.replace("\\cite{", "").replace("$T = 2$", ""),
    )
    assert not re.search(r"(?<!\\)[%#&^_$]", bibliography)
    assert balanced(bibliography)
    assert bibliography.count("\n@") == 2


def test_no_control_characters_in_a_citation(activity: Activity) -> None:
    assert controls(citation.render([priced(activity, ATTACK)])) == set()


def test_keys_of_sources_stay_apart(activity: Activity) -> None:
    reports = [priced(activity, text) for text in ("a b", "a-b", "a,b", "}", "snnprof")]
    text = citation.render(reports)
    keys = re.findall(r"^@\w+\{([^,]*),$", text, re.MULTILINE)
    assert len({key.lower() for key in keys}) == len(keys) == 6
    assert all(f"\\cite{{{key}}}" in text for key in keys)


def test_usual_addresses_stay_as_they_are(activity: Activity) -> None:
    profile = machine("x")
    usual = {"doi": "10.1109/ISSCC.2014.6757323_a", "url": "https://a.org/~b/c_d?e=f"}
    changed = profile.model_copy(update={"sources": [profile.sources[0].model_copy(update=usual)]})
    text = citation.render([price(activity, changed)])
    assert f"doi = {{{usual['doi']}}}" in text
    assert f"url = {{{usual['url']}}}" in text


# -- through the command line ----------------------------------------------------------------------------------


@pytest.fixture
def hostile_files(tmp_path: Path, activity: Activity) -> tuple[Path, Path]:
    """A run and a hardware file that say everything above."""
    run, hardware = tmp_path / "run.json", tmp_path / "mine.yaml"
    named(activity, f"={ATTACK}{TEX}").save(run)
    said = json.dumps(f"={ATTACK}{TEX}")
    hardware.write_text(
        "schema: snnprof.hardware/1\nid: mine\nkind: digital\nscope: compute\nevidence: convention\n"
        f"title: {said}\nnote: {said}\nunverified: [{said}]\n"
        "technology: {node_nm: 45}\nprecision: {weight: fp32, activation: fp32, accumulator: fp32}\n"
        f"energy: {{mac: {{value: 4.6, note: {said}}}, ac: 0.9}}\nincludes: [arithmetic]\nexcludes: [io]\n"
        f"sources: [{{id: {said}, citation: {said}, doi: {said}, url: {said}, locator: {said}, access: read}}]\n",
        encoding="utf-8",
    )
    return run, hardware


def snnprof(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "snnprof", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "RUN", "--hardware", "HW"), ("report", "RUN", "--hardware", "HW", "-f", "csv"),
        ("report", "RUN", "--hardware", "HW", "-f", "json"), ("report", "RUN", "--hardware", "HW", "-f", "latex"),
        ("cite", "RUN", "--hardware", "HW"), ("hardware", "show", "HW"), ("compare", "RUN", "RUN"),
    ],
    ids=lambda arguments: "-".join(word for word in arguments if word.islower()),
)  # fmt: skip
def test_a_process_prints_no_control_characters(arguments: tuple[str, ...], hostile_files: tuple[Path, Path]) -> None:
    run, hardware = hostile_files
    done = snnprof(*({"RUN": run, "HW": hardware}.get(word, word) for word in arguments))
    assert done.returncode == 0, done.stderr
    assert controls(done.stdout.decode() + done.stderr.decode()) == set()
    assert b"owned" in done.stdout


def test_raw_csv_is_asked_for(hostile_files: tuple[Path, Path]) -> None:
    run, _ = hostile_files
    cells, raw = (
        [row[0] for row in csv.reader(snnprof("report", run, "-f", "csv", *more).stdout.decode().splitlines())]
        for more in ((), ("--raw-csv",))
    )
    assert cells == [f"'{cell}" if cell.startswith("=") else cell for cell in raw]
    assert raw != cells
    refused = snnprof("report", run, "--raw-csv")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, b"error: --raw-csv is for CSV, not for summary")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals to open")
def test_a_terminal_gets_no_control_sequence_but_colours(hostile_files: tuple[Path, Path]) -> None:
    run, hardware = hostile_files
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "snnprof", "report", str(run), "--hardware", str(hardware)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "PYTHONUTF8": "1"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = _read_all(ours)
    assert process.returncode == 0, said
    assert controls(re.sub(r"\x1b\[[\d;]*m|\r\n", "", said)) == set()
    assert "owned" in said


def _read_all(descriptor: int) -> str:
    pieces: list[bytes] = []
    try:
        while piece := os.read(descriptor, 1 << 16):
            pieces.append(piece)
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(descriptor)
    return b"".join(pieces).decode("utf-8", errors="replace")


def test_a_broken_file_says_so_without_control_characters(tmp_path: Path, fails_alone: Callable[..., str]) -> None:
    path = tmp_path / f"r{ESC}]0;x{BELL}.json"
    path.write_text(json.dumps({"schema": ATTACK}), encoding="utf-8")
    assert controls(fails_alone("report", path)) == set()
    broken = tmp_path / "h.yaml"
    broken.write_text(json.dumps({ATTACK: ATTACK, "id": ATTACK}), encoding="utf-8")
    assert controls(fails_alone("hardware", "check", broken)) == set()


@pytest.fixture
def fails_alone() -> Callable[..., str]:
    def run(*arguments: object) -> str:
        done = snnprof(*arguments)
        assert done.returncode == 2
        assert done.stdout == b""
        return done.stderr.decode()

    return run
