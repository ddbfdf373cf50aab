"""The first screen: golden files from stored runs, any width, ASCII, and what it must never do to names."""

from __future__ import annotations

import functools
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from snnprof.activity import Activity
from snnprof.hardware import load_hardware
from snnprof.pricing import EnergyReport, price
from snnprof.render import summary
from snnprof.render.summary import Renderable, View, checks, text
from snnprof.summary import Choice, summarise

RUNS = Path(__file__).parents[1] / "data" / "runs"
NAMES = ("saformer", "spikformer", "ssa_bin", "imagenet", "own")
HARDWARE = ("cmos45-fp32", "cmos45-fp32-mem", "rolls-77fj")


@functools.cache
def reports(name: str) -> list[EnergyReport]:
    activity = Activity.load(RUNS / f"{name}.json")
    return [price(activity, id) for id in HARDWARE]


@pytest.mark.parametrize(
    ("name", "width", "ascii", "colour"),
    [
        ("saformer", 100, False, False), ("saformer", 100, False, True), ("saformer", 80, True, False),
        ("spikformer", 80, False, False), ("ssa_bin", 120, False, False), ("imagenet", 100, False, False),
        ("own", 80, True, False), ("own", 100, False, False),
    ],
)  # fmt: skip
def test_golden_screens(name: str, width: int, ascii: bool, colour: bool, golden: Callable[[str, str], None]) -> None:
    look = "ascii" if ascii else "colour" if colour else "plain"
    screen = text(reports(name), width, View(file=f"{name}.json", seconds=4.2, ascii=ascii), colour)
    golden(f"screens/{name}-{width}-{look}.txt", screen)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("ascii", [False, True])
def test_every_line_fits(name: str, width: int, ascii: bool) -> None:
    screen = text(reports(name), width, View(file="run.json", seconds=1.0, ascii=ascii))
    assert max(map(cell_len, screen.splitlines())) <= width
    assert screen.isascii() or not ascii


def test_the_first_lines_are_the_result() -> None:
    """360 images of T = 4 steps: the energy is SOPs × 0.9 pJ + MACs × 4.6 pJ + additions × 0.9 pJ."""
    report = reports("saformer")[0]
    sops, macs = report.totals.sops / 360, report.totals.macs / 360
    adds = sum(row.energy_pj or 0.0 for row in report.rows if row.category != "contraction") / 360
    energy = 0.9 * sops + 4.6 * macs + adds
    lines = text(report).splitlines()
    assert lines[2].split() == ["Accuracy", "99.17", "%", "357/360,", "95", "%", "CI", "97.6–99.7"]
    assert lines[3].split()[:3] == ["SOPs", f"{sops / 1e6:.2f}", "M"]
    assert lines[4].split()[:3] == ["MACs", f"{macs / 1e3:.1f}", "k"]
    assert lines[5].split()[:4] == ["Energy", "≥", f"{energy / 1e6:.2f}", "µJ"]


def test_the_screen_says_where_the_sign_turns() -> None:
    screen = text(reports("saformer"), 200)
    assert "6.7× BELOW its ANN twin" in screen
    assert "1.3× ABOVE its ANN twin" in screen
    assert "below it on cmos45-fp32, above it on cmos45-fp32-mem." in screen
    assert "no ANN price" in screen
    assert "turns" not in text(reports("saformer")[:1])


def test_memory_is_excluded_only_where_no_list_prices_it() -> None:
    alone = checks(summarise(reports("saformer")[:1]))
    assert any("excludes memory accesses" in check.text and "W01" in check.codes for check in alone)
    assert not any("memory accesses" in check.text for check in checks(summarise(reports("saformer"))))


def test_another_convention_is_named_with_what_it_does_not_count() -> None:
    """spikformer's table has contractions alone: no neuron updates, batch norms or biases."""
    activity = Activity.load(RUNS / "spikformer.json")
    report = price(activity, convention="spikformer")
    updates = sum(neuron.updates for neuron in activity.neurons) / 360
    assert "counted as spikformer" in text(report)
    (said,) = [check.text for check in checks(summarise([report])) if "does not count" in check.text]
    assert said.startswith(f"Convention spikformer does not count {updates / 1e3:.0f} k neuron updates, ")
    assert "does not count" not in text(price(activity))


def test_quiet_is_the_result_alone() -> None:
    whole, quiet = (text(reports("own"), 100, View(quiet=quiet)).splitlines() for quiet in (False, True))
    assert quiet == whole[2:8]


def test_names_are_never_cut(hostile_activity: Activity, hostile_names: tuple[str, ...]) -> None:
    view = View(file="x y.json", choice=Choice(by="layer"))
    screen = text([price(hostile_activity, "cmos45-fp32")], 80, view)
    assert all(name in screen for name in hostile_names)
    assert "\x1b" not in screen
    assert "snnprof report 'x y.json' -o report.html" in screen


def test_a_name_steers_no_terminal(activity: Activity) -> None:
    ops = [op.model_copy(update={"layer": "x\x1b[31m\ny"}) for op in activity.ops[:1]]
    screen = text([price(activity.model_copy(update={"ops": ops, "blocks": []}), "cmos45-fp32")])
    assert "\x1b" not in screen
    assert "x\\x1b[31m y" in screen


def test_a_long_price_list_keeps_its_name(activity: Activity) -> None:
    long = load_hardware("cmos45-fp32").model_copy(update={"id": "x" * 90})
    assert "x" * 90 in text([price(activity, long)], 80)


def test_empty_runs_and_runs_without_prices(activity: Activity) -> None:
    assert "SOPs" in text([price(Activity(), id) for id in HARDWARE])
    spikes = activity.model_copy(update={"ops": activity.ops[:1], "neurons": [], "elementwise": [], "blocks": []})
    screen = text([price(spikes, "rolls-77fj")])
    assert "Energy" in screen
    assert "–  " in screen
    assert "100 %" in screen, "shares are of the operations where nothing has a price"


def test_a_run_whose_samples_are_unknown(activity: Activity) -> None:
    untold = activity.model_copy(update={"samples": None, "accuracy": None, "blocks": []})
    screen = text([price(untold, "cmos45-fp32")])
    assert "number of samples unknown" in screen
    assert "over the whole run" in screen


def test_a_failed_self_check_is_seen(activity: Activity) -> None:
    from snnprof.activity import SelfCheck

    failed = activity.model_copy(update={"self_check": SelfCheck(samples=1, rows=9, equal=7)})
    assert "✗ 2 of 9 operations differ when counted a second time" in text([price(failed, "cmos45-fp32")])


def test_macs_stand_beside_sops_only_where_they_have_no_column() -> None:
    beside = text(reports("saformer"), view=View(choice=Choice(by="block")))
    alone = text(reports("saformer"), view=View(choice=Choice(by="block", columns=("macs", "sops"))))
    assert re.search(r"SPS +1.92 M \+ 67.7 k MACs ", beside)
    assert re.search(r"SPS +67.7 k +1.92 M$", alone, re.M)


def test_columns_rows_and_order_are_to_choose() -> None:
    choice = Choice(by="block", sort="sops", top=2, columns=("macs", "share"))
    table = text(reports("spikformer"), 80, View(choice=choice)).split("Where the operations go")[1].split("\n\n")[0]
    assert table.split()[:2] == ["MACs", "Share"]
    rows = [line.strip() for line in table.splitlines()[1:]]
    assert [row.split("  ")[0] for row in rows[:3]] == ["SPS", "block 1", "3 others"]


def test_rich_prints_it_at_the_width_of_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=90, no_color=True).print(Renderable(reports("own")))
    assert capsys.readouterr().out == summary.text(reports("own"), 90)


def test_one_real_process(tmp_path: Path) -> None:
    """On a terminal of 80 columns: colour, the run kept under the printed name, and its next command works."""
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    environment.pop("NO_COLOR", None)
    screen, said = on_a_terminal(tmp_path, environment, "profile", "saformer", "--samples", "8")
    assert "\x1b[1mSAFormer (reconstruction), preset digits" in screen
    assert "Next" in screen.splitlines()[-1]
    assert said.splitlines()[0] == "profiling saformer: loading PyTorch"
    assert "snnprof report saformer.json -o report.html" in screen
    again, _ = on_a_terminal(tmp_path, {**environment, "LANG": "C", "LC_ALL": "C"}, "report", "saformer.json")
    assert again.isascii()
    assert not list(tmp_path.iterdir()), "the run is kept in the cache"


def on_a_terminal(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[str, str]:
    """What a command prints on a terminal, and on a stderr that is none."""
    main_end, other_end = pty.openpty()
    command = [sys.executable, "-m", "snnprof", *arguments]
    with subprocess.Popen(command, stdout=other_end, stderr=subprocess.PIPE, env=environment, cwd=folder) as running:
        os.close(other_end)
        chunks = []
        while chunk := _read(main_end):
            chunks.append(chunk)
        assert running.stderr is not None
        said = running.stderr.read().decode()
        assert running.wait(timeout=60) == 0, said
    os.close(main_end)
    return b"".join(chunks).decode("utf-8").replace("\r\n", "\n"), said


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # Linux says so when the other end is gone
        return b""
