"""Sentences that readers stumbled over do not come back to any screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnprof.__main__ import main

RUNS = Path(__file__).parents[1] / "data" / "runs"
SAFORMER, SSA_BIN = (str(RUNS / f"{name}.json") for name in ("saformer", "ssa_bin"))
SCREENS = (
    ["report", SAFORMER],
    ["report", SSA_BIN, "--verbose"],
    ["report", SAFORMER, "--notes"],
    ["compare", SAFORMER, SSA_BIN, "--by", "block"],
    ["hardware", "list"],
    ["hardware", "show", "rolls-77fj"],
    *([command, "--help"] for command in ("profile", "report", "compare", "cite")),
)
STUMBLED_OVER = (
    "run otherwise", "Run as", "no sparsity used,", "run once", "all neurons firing", "of them used",
    "of what fvcore sees", "second-hand", "fr·T·FLOPs", "Deviation", "Go on from", "go on with", "A class to take",
    "Decides all randomness", "Samples at once", "without a usable price", "samples not told", "Not in the energy",
)  # fmt: skip


@pytest.mark.parametrize("arguments", SCREENS, ids=lambda arguments: " ".join(map(str, arguments[:1] + arguments[2:])))
def test_screens_speak_plainly(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    screen = capsys.readouterr().out
    assert [words for words in STUMBLED_OVER if words in screen] == []
