"""The files for those who work on the project elsewhere name what is there: targets, tools, options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from snnprof.__main__ import main
from snnprof._version import __version__

ROOT = Path(__file__).parent.parent
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_workflow_calls_targets_that_there_are() -> None:
    steps = [step for job in read(".github/workflows/checks.yml")["jobs"].values() for step in job["steps"]]
    called = {word for step in steps for word in re.findall(r"\bmake ([a-z]+)", step.get("run", ""))}
    assert {"check", "test", "docs"} <= called <= TARGETS


def test_hooks_run_what_make_check_runs() -> None:
    hooks = [hook["entry"] for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    tools = re.findall(r"\$\(BIN\)/(ruff \w+|\w+)", recipe)
    assert [re.sub(r"^\.venv/bin/| --fix$", "", hook) for hook in hooks] == tools


@pytest.mark.parametrize("firing", [2, 4])
def test_the_action_gates_the_new_run_by_the_old_one(firing, activity_maker, tmp_path, monkeypatch, capsys) -> None:
    """The command of the action, on a run that needs less and on one that needs more."""
    monkeypatch.chdir(tmp_path)
    script = read(".github/actions/compare/action.yml")["runs"]["steps"][0]["run"]
    (line,) = [each for each in script.splitlines() if each.startswith("snnprof compare")]
    stands_for = {"BASELINE": "old.json", "HARDWARE": "cmos45-fp32", "FAIL_OVER": "5%"}
    words = [stands_for.get(word.strip('"$'), word) for word in line.partition(" | ")[0].split()[1:]]
    activity_maker(firing=3).save(tmp_path / "old.json")
    activity_maker(firing=firing).save(tmp_path / "snnprof-now.json")
    assert main(words) == (0 if firing < 3 else 1)
    capsys.readouterr()


def test_the_page_shows_the_action_with_its_inputs() -> None:
    page = (ROOT / "docs/in_ci.md").read_text(encoding="utf-8")
    shown = next(text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if "actions/compare" in text)
    (step,) = yaml.safe_load(shown)
    assert set(step["with"]) == set(read(".github/actions/compare/action.yml")["inputs"])


def test_the_changelog_keeps_its_form_and_begins_with_this_version() -> None:
    """Keep a Changelog: versions with dates, newest first, and below each its kinds of changes."""
    headings = re.findall(r"^(#{1,3}) (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    versions = [text for level, text in headings if level == "##"]
    assert versions[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", text) for text in versions[1:]]
    assert all(dated), versions
    numbers = [tuple(map(int, found.groups()[:3])) for found in dated if found]
    assert numbers == sorted(numbers, reverse=True)
    assert ".".join(map(str, numbers[0])) == __version__ == read("CITATION.cff")["version"]
    kinds = {text for level, text in headings if level == "###"}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
