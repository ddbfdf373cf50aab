"""Every command from the inside of one process: results, refusals, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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


def test_an_existing_file_is_never_overwritten(run_file: Path, fails: Callable[..., str]) -> None:
    before = run_file.read_bytes()
    err = fails("report", str(run_file), "--output", str(run_file))
    assert "exists" in err
    assert "hint: overwrite it with --force" in err
    assert run_file.read_bytes() == before


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
        (None, "cannot read run file"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--kind", "pie"], "unknown kind of figure 'pie'"),
        (["RUN", "--kind", "rates", "-o", "x.docx"], "--output must end in .pdf, .svg, .png"),
        (["RUN", "RUN", "--kind", "rates"], "draws one run, not 2"),
        (["paper:ssa_bin-bin-cifar10", "--kind", "rates"], "a published row has no layers"),
        (["RUN"], "missing option '--kind'"),
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
    assert "@misc{horowitz2014" in text
    assert "@software{snnprof" in text


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
