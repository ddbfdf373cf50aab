"""The tutorial, as a newcomer follows it: its files in an empty folder, its commands in their order, its screens."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snnprof.__main__ import main

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
INSTALLATION = ("make", "source", "mkdir")


@pytest.mark.slow
def test_every_step_of_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    screens = ""
    for language, title, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if title:
            Path(title).write_text(text, encoding="utf-8")
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                assert run(shlex.split(line)) == 0, line + capsys.readouterr().err
            screens += capsys.readouterr().out
        else:
            assert language == "text"
            missing = [line for line in text.splitlines() if without_numbers(line) not in without_numbers(screens)]
            assert not missing, screens
    made = {"t4.json", "t4.html", "t2.json", "table1.tex", "methods.tex", "rates.pdf"}
    assert made <= {path.name for path in tmp_path.iterdir()}


def run(words: list[str]) -> int:
    """Does not install anything; a LaTeX that is not here is left out."""
    program, *arguments = words
    if program == "snnprof":
        return main(arguments)
    if program in INSTALLATION or (program == "pdflatex" and not shutil.which(program)):
        return 0
    done = subprocess.run([sys.executable if program == "python" else program, *arguments], capture_output=True)
    sys.stderr.write(done.stderr.decode())
    return done.returncode


def without_numbers(text: str) -> str:
    """Trained weights differ from machine to machine in their last digits, and the figures with them."""
    return " ".join(re.sub(r"[+−]?\d[\d.,]*( [kM]\b)?( [nµ]J)?", "#", text).split())
