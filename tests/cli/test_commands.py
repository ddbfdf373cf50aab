"""Every command from the inside of one process: results, refusals, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnprof import kept
from snnprof.__main__ import main
from snnprof.activity import Activity, Uncounted
from snnprof.maps import AttentionMaps

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def fails(capsys: Capture) -> Callable[..., str]:
    """Runs a command that must be refused; what it said on stderr."""

    def run(*arguments: str, status: int = 2) -> str:
        assert main(arguments) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert "Traceback" not in err
        return err

    return run


def ok(capsys: Capture, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# -- report ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex", "html"])
def test_report_in_every_format(form: str, run_file: Path, capsys: Capture) -> None:
    assert ok(capsys, "report", run_file, "--format", form)


@pytest.mark.parametrize(
    ("suffix", "start"), [("json", "{"), ("csv", "block,"), ("md", "### "), ("tex", "% "), ("html", "<!doctype")]
)
def test_the_suffix_decides_the_format(
    suffix: str, start: str, run_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / f"report.{suffix}"
    assert main(["report", str(run_file), "--output", str(target)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {target}\n")
    assert target.read_text(encoding="utf-8").startswith(start)


def test_a_latex_table_says_how_it_was_made(run_file: Path, capsys: Capture) -> None:
    assert f"% snnprof report {run_file} --format latex" in ok(capsys, "report", run_file, "--format", "latex")


@pytest.mark.parametrize("words", [["hardware", "list"], ["hardware", "show", "rolls-77fj"], ["models", "list"],
                                   ["models", "show", "saformer"], ["cite", "RUN"]])  # fmt: skip
def test_whatever_is_printed_can_be_written(
    words: list[str], run_file: Path, tmp_path: Path, capsys: Capture, fails: Callable[..., str]
) -> None:
    command = [str(run_file) if word == "RUN" else word for word in words]
    out = tmp_path / ("text" if words[0] == "cite" else "list.tex")
    ok(capsys, *command, "--output", out)
    given = [] if words[0] == "cite" else ["--format", "latex"]
    assert out.read_text() == ok(capsys, *command, *given)
    assert "hint: overwrite it with --force" in fails(*command, "--output", str(out))
    ok(capsys, *command, "--output", out, "--force")


def test_siunitx_is_for_latex(run_file: Path, capsys: Capture, fails: Callable[..., str]) -> None:
    assert "S[table-format=" in ok(capsys, "report", run_file, "--format", "latex", "--siunitx")
    assert "S[table-format=" in ok(capsys, "compare", run_file, run_file, "--format", "latex", "--siunitx")
    for command in ("report", "compare"):
        assert "--siunitx is for LaTeX, not for csv" in fails(command, str(run_file), "--format", "csv", "--siunitx")


def test_hardware_and_convention_can_be_chosen(run_file: Path, capsys: Capture) -> None:
    text = ok(capsys, "report", run_file, "--hardware", "cmos45-int8", "--convention", "spikformer", "-f", "json")
    content = json.loads(text)
    assert [h["id"] for h in content["hardware"]] == ["cmos45-int8"]
    assert content["convention"]["id"] == "spikformer"
    assert "energy_pj" in content["rows"][0]


def test_an_existing_file_is_never_overwritten(run_file: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    there = tmp_path / "there.json"
    there.write_text("mine")
    err = fails("report", str(run_file), "--output", str(there))
    assert "exists" in err
    assert "hint: overwrite it with --force" in err
    assert there.read_text() == "mine"


def test_force_overwrites(run_file: Path, tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "t.csv"
    target.write_text("old")
    ok(capsys, "report", run_file, "-o", target, "--force")
    assert target.read_text().startswith("block,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "nowhere/t.csv"], "the folder nowhere does not exist"),
        (["--output", "t.docx"], "cannot tell a format from '.docx'"),
        (["--output", "t.csv", "--format", "latex"], "--format latex contradicts --output t.csv"),
        (["--format", "xml"], "unknown format 'xml'"),
        (["--by", "colour"], "unknown grouping 'colour'"),
        (["--hardware", "loihi3"], "unknown hardware profile 'loihi3'"),
        (["--convention", "exakt"], "hint: did you mean 'exact'?"),
        (["--latency", "-1"], "--latency must be a positive number"),
        (["--latency", "nan"], "--latency must be a positive number"),
        (["--nonsense"], "no such option"),
    ],
)
def test_bad_arguments_of_report(
    arguments: list[str], said: str, run_file: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_file.parent)
    assert said in fails("report", str(run_file), *arguments)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no run file"),
        ("", "not valid JSON"),
        ("[1, 2]", "it has no schema"),
        ('{"schema": "snnprof.activity/99"}', "has schema 'snnprof.activity/99'"),
        ('{"schema": "snnprof.activity/0", "ops": 3}', "ops: "),
    ],
)
def test_bad_run_files(content: str | None, said: str, tmp_path: Path, fails: Callable[..., str]) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    assert said in fails("report", str(path))


def test_a_run_without_samples_shows_totals(activity: Activity, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run.json"
    activity.model_copy(update={"samples": None, "accuracy": None, "blocks": []}).save(path)
    text = ok(capsys, "report", path, "--verbose")
    assert "over the whole run (number of samples unknown)" in text
    assert "samples – of 360" in text
    assert "number of samples unknown of digits" in ok(capsys, "report", path)


def test_an_empty_run_can_be_shown(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run.json"
    Activity().save(path)
    for form in ("table", "json", "csv", "markdown", "latex", "html"):
        assert ok(capsys, "report", path, "--format", form)


# -- compare ---------------------------------------------------------------------------------------------------


def test_compare_prints_sides_ratios_and_what_differs(
    activity_maker: Callable[..., Activity], tmp_path: Path, capsys: Capture
) -> None:
    for name, firing in (("a", 4), ("b", 2)):
        activity_maker(name, firing=firing).save(tmp_path / f"{name}.json")
    names = [tmp_path / "a.json", tmp_path / "b.json", "paper:ssa_bin-bin-cifar10"]
    text = ok(capsys, "compare", *names, "--by", "block")
    for part in ("a:digits", "b:digits", "SSA_Bin (published)", "not directly comparable", "published rows", "block.0"):
        assert part in text
    assert "saves" in ok(capsys, "compare", *names[:2], "--margin", "50")
    content = json.loads(ok(capsys, "compare", *names, "-f", "json"))
    assert content["schema"] == "snnprof.comparison/0"
    assert [side["name"] for side in content["sides"]] == ["a:digits", "b:digits", "SSA_Bin (published)"]
    for layout in ("main", "ablation"):
        assert "Method" in ok(capsys, "compare", *names, "--layout-of", layout, "-f", "latex")


def test_the_regression_gate(activity_maker: Callable[..., Activity], tmp_path: Path, capsys: Capture) -> None:
    for name, firing in (("a", 2), ("b", 4)):
        activity_maker("net", firing=firing).save(tmp_path / f"{name}.json")
    files = [str(tmp_path / f"{name}.json") for name in "ab"]
    assert main(["compare", *files, "--fail-over", "200%"]) == 0
    capsys.readouterr()
    assert main(["compare", *files, "--fail-over", "5%"]) == 1
    out, err = capsys.readouterr()
    assert "Relative to" in out, "the comparison is printed all the same"
    assert err.startswith("error: more than 5 % above net:digits")
    assert all(f"{what} of net:digits" in err for what in ("SOPs", "energy on rolls-77fj"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.json"], "there is no run file nothing.json"),
        (["spikforner"], "hint: did you mean 'spikformer'"),
        (["spikformer:9-999"], "spikformer has no preset '9-999'"),
        (["paper:nothing"], "unknown published row 'nothing'"),
        (["paper:ssa_bin-bin-cifar10", "--baseline", "x"], "unknown baseline 'x'"),
        (["paper:ssa_bin-bin-cifar10", "--fail-over", "much"], "--fail-over needs a percentage"),
        (["paper:ssa_bin-bin-cifar10", "--margin", "-1"], "--margin needs points of accuracy from 0 to 100"),
        (["paper:ssa_bin-bin-cifar10", "--layout-of", "big"], "unknown layout 'big'"),
        ([], "missing argument"),
    ],
)
def test_bad_arguments_of_compare(arguments: list[str], said: str, fails: Callable[..., str]) -> None:
    assert said in fails("compare", *arguments)


# -- plot ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_plot(suffix: str, run_file: Path, capsys: Capture) -> None:
    target = run_file.with_name(f"rates.{suffix}")
    ok(capsys, "plot", run_file, "--kind", "rates", "--output", target)
    assert target.stat().st_size > 1000


def test_plot_names_its_file(run_file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_file.parent)
    ok(capsys, "plot", "run.json", "--kind", "timesteps")
    assert (run_file.parent / "run-timesteps.pdf").read_bytes().startswith(b"%PDF")


def test_plot_chooses_a_kind(run_file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_file.parent)
    ok(capsys, "plot", "run.json")
    assert (run_file.parent / "run-energy.pdf").is_file()
    ok(capsys, "plot", "run.json", "paper:ssa_bin-bin-cifar10", "--label", "run.json=Ours", "-o", "both.svg")
    drawn = (run_file.parent / "both.svg").read_text(encoding="utf-8")
    assert ">Ours</text>" in drawn
    assert "cmos45-fp32" in drawn
    assert "rolls-77fj" not in drawn, "one price list by default"
    ok(capsys, "plot", "run.json", "paper:ssa_bin-bin-cifar10", "--hardware", "rolls-77fj", "-o", "both.svg", "--force")
    assert "rolls-77fj" in (run_file.parent / "both.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--kind", "pie"], "unknown kind of figure 'pie'"),
        (["RUN", "--kind", "rates", "-o", "x.docx"], "--output must end in .pdf, .svg, .png"),
        (["RUN", "RUN", "--kind", "rates"], "draws one run, not 2"),
        (["paper:ssa_bin-bin-cifar10", "--kind", "rates"], "a published row has no layers"),
        (["RUN", "--kind", "rates", "--width", "100"], "must be 2 to 20 inches, not 100"),
        (["RUN", "--kind", "rates", "--by", "layer", "--width", "2", "--font-size", "16"], "too small for its labels"),
        (["RUN", "--kind", "rates", "--font", "Nonesuch"], "there is no font 'Nonesuch'"),
        (["RUN", "--kind", "rates", "--label", "MLP"], "--label must be NAME=TEXT, not 'MLP'"),
        (["RUN", "--kind", "rates", "--label", "nobody=x"], "unknown name in --label 'nobody'"),
        (["RUN", "--kind", "rates", "--by", "colour"], "unknown grouping 'colour'"),
        (["RUN", "--kind", "rates", "--sample", "1"], "--sample chooses among the maps of --maps"),
        (["RUN", "--kind", "rates", "--over", "seed"], "--over is for --kind sweep, not for rates"),
        (["RUN", "--kind", "timesteps", "--by", "layer"], "--by is for --kind energy and rates, not for timesteps"),
        (["RUN", "--kind", "rates", "--by", "block"], "--kind rates takes --by role or layer, not block"),
        (["RUN", "RUN", "--kind", "sweep"], "the runs do not differ in a setting"),
        (["RUN", "--kind", "attention", "--maps"], "there is no file"),
        (["RUN", "--kind", "rates", "--maps"], "--maps draws the attention of one run"),
    ],
)
def test_bad_arguments_of_plot(
    arguments: list[str], said: str, run_file: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_file.parent)
    assert said in fails("plot", *[str(run_file) if a == "RUN" else a for a in arguments])
    assert sorted(p.name for p in run_file.parent.iterdir()) == ["run.json"]


# -- the catalogues, cite, env ---------------------------------------------------------------------------------


def test_hardware(capsys: Capture, tmp_path: Path) -> None:
    listed = ok(capsys, "hardware", "list")
    assert "cmos45-fp32" in listed
    assert "- loihi2: " in listed
    shown = ok(capsys, "hardware", "show", "rolls-77fj")
    assert "0.077" in shown
    assert "10.3389/fnins.2015.00141" in shown
    assert json.loads(ok(capsys, "hardware", "show", "rolls-77fj", "-f", "json"))["profile"]["id"] == "rolls-77fj"


def test_hardware_check(tmp_path: Path, capsys: Capture, fails: Callable[..., str]) -> None:
    profile = Path(__file__).parents[2] / "hardware_profiles" / "cmos45-fp32.yaml"
    assert "no problems" in ok(capsys, "hardware", "check", profile)
    path = tmp_path / "mine.yaml"
    path.write_text("id: mine\n")
    assert "mine.yaml" in fails("hardware", "check", str(path))
    assert "nowhere.yaml" in fails("hardware", "check", "nowhere.yaml")


def test_models(capsys: Capture, fails: Callable[..., str]) -> None:
    assert "spikformer:4-384-cifar10" in ok(capsys, "models", "list")
    shown = ok(capsys, "models", "show", "saformer")
    assert "reconstruction" in shown
    assert "unknown model 'spikfomer'" in fails("models", "show", "spikfomer")


def test_cite(run_file: Path, capsys: Capture) -> None:
    text = ok(capsys, "cite", run_file, "--hardware", "cmos45-fp32")
    assert "@inproceedings{horowitz2014" in text
    assert "@misc{snnprof" in text


def test_version(capsys: Capture) -> None:
    from snnprof import __version__

    assert ok(capsys, "--version") == f"snnprof {__version__}\n"


# -- profile: what is refused before torch loads ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "spikforner"], "hint: did you mean 'spikformer'"),
        (["--model", "spikformer:huge"], "spikformer has no preset 'huge'"),
        (["--model", "spikformer", "--set", "depth"], "--set needs KEY=VALUE, not 'depth'"),
        (["--model", "spikformer", "--checkpoint", "none.pt"], "there is no file none.pt"),
        (["--model", "spikformer", "--resume", "none.json"], "there is no file none.json"),
        (["--model", "spikformer", "--hardware", "loihi2"], "loihi2"),
        (["--model", "spikformer", "--layout", "sideways"], "unknown layout 'sideways'"),
        (["--model", "spikformer", "--input", "odd"], "unknown input 'odd'"),
        (["--model", "spikformer", "--amp", "nonsense"], "hint: known: float16, bfloat16, fp16, bf16"),
        (["--model", "spikformer", "--amp", "float61"], "hint: did you mean 'float16'"),
        (["--model", "spikformer", "--format", "xml"], "unknown format 'xml'"),
        (["saformer", "--model", "spikformer"], "two models are named: saformer and --model spikformer"),
        (["saformer", "-o", "a.json", "-o", "b.json"], "one run is kept in one file, not in a.json and b.json"),
        (["saformer", "-o", "a.html", "-o", "a.html"], "--output a.html is there twice"),
        (["saformer", "-o", "a.pdf"], "hint: snnprof plot RUN.json"),
        (["saformer", "-o", "nowhere/a.html"], "the folder nowhere does not exist"),
        (["saformer", "--siunitx"], "--siunitx is for LaTeX, not for summary"),
        (["saformer", "--sort", "colour"], "unknown column 'colour'"),
        (["saformer", "--columns", "sops,size"], "unknown column 'size'"),
        (["saformer", "--top", "0"], "--top needs a number of rows from 1"),
        (["saformer", "--verbose", "--quiet"], "--verbose and --quiet contradict each other"),
        (["saformer", "--verbose", "--format", "csv"], "--verbose is --format table, not csv"),
        (["--model", "spikformer", "--until-ci", "0"], "--until-ci must be a percentage"),
        (["--model", "spikformer", "--until-ci", "few"], "--until-ci must be a percentage"),
        (["--model", "spikformer", "--samples", "0"], "--samples"),
        (["--model", "spikformer", "--timesteps", "-3"], "invalid value for '--timesteps'"),
        (["--model", "spikformer", "--timesteps", "99999999999"], "invalid value for '--timesteps'"),
        (["--model", "spikformer", "--seed", str(2**63)], "invalid value for '--seed'"),
        (["--model", "spikformer", "--output", "nowhere/run.json"], "the folder nowhere does not exist"),
        (["--model", "spikformer", "--output", "-"], "it cannot be stdout"),
        (["--model", "spikformer", "--maps", "2"], "--maps writes its file beside the run file"),
        ([], "no model is named"),
    ],
)
def test_profile_refuses_before_it_runs(
    arguments: list[str], said: str, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnprof.cli.profile._run", lambda asked, target, quiet: pytest.fail("it ran"))
    assert said in fails("profile", *arguments)


def test_report_refuses_to_shorten_a_document(run_file: Path, fails: Callable[..., str]) -> None:
    assert "--quiet shortens the first screen, not csv" in fails("report", str(run_file), "--quiet", "--format", "csv")


def test_profile_writes_the_run_and_prints_the_report(
    activity: Activity, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def run(asked: object, target: object, quiet: bool) -> Activity:
        seen["asked"] = asked
        return activity

    monkeypatch.setattr("snnprof.cli.profile._run", run)
    path = tmp_path / "run.json"
    arguments = f"profile --model spikformer --set depth=1 --samples 20 -o {path} -f json".split()
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["samples"] == 20
    assert err == f"wrote {path}\n"
    assert Activity.load(path) == activity
    asked = seen["asked"]
    assert (asked.model, asked.settings, asked.samples) == ("spikformer", (("depth", "1"),), 20)  # type: ignore[attr-defined]
    assert asked.argv == tuple(arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environment", "ascii"),
    [
        ({}, False), ({"LANG": "en_US.UTF-8"}, False), ({"LANG": "C"}, True), ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True), ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, True), ({"LANG": "en_US.UTF-8", "TERM": "dumb"}, True),
    ],
)  # fmt: skip
def test_where_signs_are_typed_in_ascii(
    environment: dict[str, str], ascii: bool, run_file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ok(capsys, "report", run_file, "--verbose", "--hardware", "cmos45-fp32").isascii() == ascii


@pytest.fixture
def ran(activity: Activity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Activity:
    """What every `profile` of this test counts, at once; in an empty folder."""
    monkeypatch.setattr("snnprof.cli.profile._run", lambda asked, target, quiet: activity)
    monkeypatch.chdir(tmp_path)
    return activity


def test_one_run_goes_into_several_files(ran: Activity, tmp_path: Path, capsys: Capture) -> None:
    files = ["run.json", "page.html", "table.tex", "rows.csv", "notes.md", "all.txt"]
    outputs = [word for file in files for word in ("-o", file)]
    out = ok(capsys, "profile", "spikformer", *outputs, "--siunitx", "--quiet")
    assert out.startswith("  Accuracy")
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    assert Activity.load("run.json") == ran
    starts = {"page.html": "<!doctype", "table.tex": "% ", "rows.csv": "block,", "notes.md": "### "}
    assert all((tmp_path / name).read_text().startswith(start) for name, start in starts.items())
    assert "S[table-format=" in (tmp_path / "table.tex").read_text()


def test_several_reports_of_one_run(run_file: Path, tmp_path: Path, capsys: Capture) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.csv"]
    assert ok(capsys, "report", run_file, "-o", pages[0], "-o", pages[1]) == ""
    assert all(page.stat().st_size for page in pages)


def test_nothing_runs_where_one_file_is_there_already(ran: Activity, tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "page.html").write_text("mine")
    assert "page.html exists" in fails("profile", "spikformer", "-o", "run.json", "-o", "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_run_without_output_is_kept_under_the_printed_name(
    ran: Activity, activity_maker: Callable[..., Activity], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["profile", "spikformer"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("kept as spikformer.json in ")
    for command in (["report", "spikformer.json"], ["cite", "spikformer.json"],
                    ["compare", "spikformer.json", "spikformer.json"],
                    ["plot", "spikformer.json", "--kind", "rates", "-o", "rates.png"]):  # fmt: skip
        ok(capsys, *command)
    assert "snnprof report spikformer.json -o report.html" in out
    activity_maker(firing=1).save(tmp_path / "spikformer.json")
    shown = " ".join(ok(capsys, "profile", "spikformer").split())  # a long folder wraps
    assert f"snnprof report {kept.place('spikformer')} -o" in shown


def test_a_run_that_cannot_be_kept_is_shown_all_the_same(
    ran: Activity, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["profile", "spikformer"]) == 0
    out, err = capsys.readouterr()
    assert "Energy" in out
    assert "Next" not in out
    assert err.startswith("warning: this run is not kept: cannot make ")


@pytest.mark.parametrize("command", ["profile", "report"])
def test_rows_and_columns_are_chosen(command: str, ran: Activity, run_file: Path, capsys: Capture) -> None:
    subject = "spikformer" if command == "profile" else run_file
    choice = ["--by", "block", "--sort", "sops", "--columns", "sops,dense_macs", "--top", "1"]
    screen = ok(capsys, command, subject, *choice)
    assert ["Where", "the", "operations", "go", "SOPs", "Dense", "MACs"] in [
        line.split() for line in screen.splitlines()
    ]
    rows = ok(capsys, command, subject, *choice, "--format", "csv").splitlines()
    assert rows[0].split(",")[:5] == ["block", "op", "per", "sops", "dense_macs"]
    assert len(rows) == 2


def test_all_notes(run_file: Path, capsys: Capture, fails: Callable[..., str]) -> None:
    notes, table = ok(capsys, "report", run_file, "--notes"), ok(capsys, "report", run_file, "--verbose")
    assert "Excluded from the energy" in notes
    assert notes.split("\n\n", 1)[1] in table
    assert "--notes prints text, not csv" in fails("report", str(run_file), "--notes", "--format", "csv")


@pytest.mark.parametrize("command", ["profile", "report", "compare"])
def test_help_has_panels_and_examples(command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = ok(capsys, command, "--help")
    panels = {"profile": ["Model", "Data", "Run", "Pricing", "Output"], "report": ["Pricing", "Output"]}
    assert all(f"─ {panel} ─" in text for panel in panels.get(command, []))
    assert "Examples" in text
    assert f"snnprof {command} " in text
    assert "<bool>" not in text.replace("--help", "").split("Examples")[0].split("─ Pricing")[1]


def test_something_is_said_before_torch_is_loaded() -> None:
    """In a process of its own, since torch is loaded in this one."""
    code = (
        "import sys, os; from snnprof.cli import progress; from snnprof.__main__ import main\n"
        "def say(text): print(text, 'torch' in sys.modules, flush=True); os._exit(0)\n"
        "progress.output.say = say; main(['profile', 'saformer'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "profiling saformer: loading PyTorch False\n"


def test_a_line_now_and_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch a second for a minute, on a stderr that is no terminal."""
    from snnprof.cli import progress

    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("net.py:build") as tell:
        for batch in range(60):
            tell("profiling", batch, 60)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "profiling net.py:build: loading PyTorch"
    assert 2 <= len(said) - 1 <= 3
    assert all(line.endswith(" of 60 samples") for line in said[1:])


def test_attention_maps_are_kept_and_drawn(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run.json"
    arguments = ["profile", "--model", "saformer", "--samples", "4", "--maps", "2", "-o", str(run)]
    ok(capsys, *arguments)
    maps = AttentionMaps.load(tmp_path / "run.maps.npz")
    assert maps.images.shape == (2, 1, 16, 16)
    assert [layer.values.shape for layer in maps.layers] == [(2, 4, 4)] * 2
    ok(capsys, "plot", run, "--kind", "attention", "--maps", "-o", tmp_path / "maps.svg")
    run.unlink()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, "run.maps.npz exists" in err) == ("", True)
    assert not run.exists(), "nothing ran"


def test_an_interrupted_run_is_kept_and_says_so(
    activity: Activity, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = activity.model_copy(update={"run": activity.run.model_copy(update={"complete": False})})
    monkeypatch.setattr("snnprof.cli.profile._run", lambda asked, target, quiet: partial)
    path = tmp_path / "run.json"
    assert main(["profile", "--model", "spikformer", "-o", str(path)]) == 130
    out, err = capsys.readouterr()
    assert "The run was interrupted" in out
    assert err == f"wrote {path}\ncontinue with: snnprof profile --resume {path}\ninterrupted\n"
    assert Activity.load(path) == partial


def test_strict_judges_what_was_not_counted(
    activity: Activity, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnprof.cli.profile._run", lambda asked, target, quiet: activity)
    assert main(["profile", "--model", "spikformer", "--strict"]) == 0
    missed = activity.model_copy(update={"uncounted": [Uncounted(layer="fft", op="fft_c2c", calls=3)]})
    monkeypatch.setattr("snnprof.cli.profile._run", lambda asked, target, quiet: missed)
    capsys.readouterr()
    assert main(["profile", "--model", "spikformer", "--strict"]) == 1
    out, err = capsys.readouterr()
    assert out
    assert "error: --strict: not counted: fft_c2c in fft" in err


# -- prices, options and exclusions in one line ----------------------------------------------------------------


def test_own_prices_stand_alone_or_beside_profiles(run_file: Path, capsys: Capture) -> None:
    own = "mac=4.6pJ,ac=0.9pJ"

    def lists(*arguments: str) -> list[str]:
        return [each["id"] for each in json.loads(ok(capsys, "report", run_file, "-f", "json", *arguments))["hardware"]]

    assert lists("--price", own) == ["own-prices"]
    assert lists("--price", own, "--hardware", "cmos45-int8") == ["cmos45-int8", "own-prices"]
    assert lists("--price", own, "--price", "ac=1pJ") == ["own-prices-1", "own-prices-2"]
    assert "own-prices" in ok(capsys, "compare", run_file, run_file, "--price", own)
    assert "your own prices: MAC 4.6 pJ" in ok(capsys, "cite", run_file, "--price", own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--price", "mac=4.6"], "price mac=4.6 has no unit"),
        (["--price", "sop=-77fJ"], "must not be negative"),
        (["--convention", "exact:levels=none"], "levels=none"),
        (["--exclude", "nowhere"], "unknown layer to exclude 'nowhere'"),
        (["--by", "step", "--top", "3"], "--by step"),
    ],
)
def test_hostile_lines_are_refused(options: list[str], message: str, run_file: Path, fails: Callable[..., str]) -> None:
    assert message in fails("report", str(run_file), *options)


def test_the_label_of_a_convention_is_shown(run_file: Path, capsys: Capture) -> None:
    rule = ("--convention", "exact:levels=events")
    assert "exact:levels=events" in ok(capsys, "report", run_file, "-f", "table", *rule)
    shown = json.loads(ok(capsys, "report", run_file, "-f", "json", *rule))["convention"]
    assert (shown["label"], shown["changed"]) == ("exact:levels=events", {"levels": "events"})
    assert "with levels=events" in ok(capsys, "report", run_file, "-f", "latex", *rule)


def test_excluded_layers_are_in_every_format(run_file: Path, capsys: Capture) -> None:
    layer = Activity.load(run_file).ops[0].layer
    arguments = ("--exclude", layer)
    for form in ("summary", "table", "json", "csv", "markdown", "latex", "html"):
        text = ok(capsys, "report", run_file, "-f", form, *arguments)
        assert "xcluded" in text, form
    assert list(json.loads(ok(capsys, "report", run_file, "-f", "json", *arguments))["excluded"]["names"]) == [layer]


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex", "html"])
def test_a_sheet_by_step_in_every_format(form: str, run_file: Path, capsys: Capture) -> None:
    assert ok(capsys, "report", run_file, "--by", "step", "-f", form)
    assert ok(capsys, "report", run_file, "--by", "step", "-f", form, "--columns", "rate,sops")


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex", "html"])
def test_all_conventions_in_every_format(form: str, run_file: Path, capsys: Capture) -> None:
    text = ok(capsys, "compare", run_file, run_file, "--all-conventions", "--hardware", "cmos45-fp32", "-f", form)
    assert "exact" in text


def test_all_conventions_stand_alone(run_file: Path, fails: Callable[..., str], tmp_path: Path) -> None:
    both = (str(run_file), str(run_file), "--all-conventions")
    assert "--by out" in fails("compare", *both, "--by", "role")
    assert "--layout-of out" in fails("compare", *both, "--layout-of", "main")
    assert "needs two of them" in fails("plot", str(run_file), "--kind", "conventions", "-o", str(tmp_path / "x.png"))


def test_a_picture_of_all_conventions(run_file: Path, tmp_path: Path) -> None:
    for suffix in ("pdf", "svg", "png"):
        out = tmp_path / f"claim.{suffix}"
        arguments = ["plot", run_file, run_file, "--kind", "conventions", "--hardware", "cmos45-fp32", "-o", out]
        assert main(list(map(str, arguments))) == 0
        assert out.stat().st_size > 1000
