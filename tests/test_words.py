"""The sentences that users read: riddles that were rewritten stay away, and findings have the same form."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnprof.__main__ import main

ROOT = Path(__file__).parent.parent
REWRITTEN = (
    # reference points
    "run otherwise", "no sparsity used", "ANN twin, run once", "all neurons firing",
    # facts
    "k of them used", "} of them used", "% of what fvcore", "of what fvcore sees", "each weight it meets",
    "quoted second-hand", "convention, not measured", "arithmetic, not measured", "samples not told",
    # what the prices leave out and mean
    "where the energy is quoted", "outweigh arithmetic", "neuron updates are not in the total",
    "there is no price for them", "no price list has a figure", "say so beside", "an SNN was estimated to",
    "skips every zero", "times as much on", "prices and what they cover", "not in the energy:",
    # how layers were counted
    "not spikes; counted with", "a residual sum of spikes", "factor is folded into its weights",
    "average pooling does this", "told to be spikes", "sums: a contraction in disguise", "spike otherwise than",
    # models and runs
    "own code left them", "network is nearly silent", "no saving claimed", "have no interval: no",
    "are in no figure", "for want of a rule", "unknown name in", "holds no SAFormer",
    "cannot be gone on from", "the run to go on from",
    # help and listings
    "Go on from this", "a class to take for", "decides all randomness", "samples at once", "without a usable price",
    "fr·T·FLOPs",
)  # fmt: skip
SOURCES = [
    *(path for folder in ("snnprof", "docs", "models", "hardware_profiles", "examples")
      for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml", ".j2", ".js", ".md", ".ipynb")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]  # fmt: skip
RUNS = ROOT / "tests" / "data" / "runs"
SAFORMER, SSA_BIN = (str(RUNS / f"{name}.json") for name in ("saformer", "ssa_bin"))
SCREENS = (
    ["report", SAFORMER],
    ["report", SSA_BIN, "--verbose"],
    ["report", SAFORMER, "--notes"],
    ["compare", SAFORMER, SSA_BIN, "--by", "block"],
    ["hardware", "list"],
    ["papers", "list"],
    ["papers", "show", "sdt/SDT-8-512@224/T4"],
    ["audit", "paper:spikingformer/Spikformer-8-512"],
    ["audit", "--template"],
    ["hardware", "show", "rolls-77fj"],
    *([command, "--help"] for command in ("profile", "report", "compare", "plot", "audit", "cite")),
)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Each source as one line in small letters."""
    return {str(path.relative_to(ROOT)): _plain(path.read_text(encoding="utf-8")) for path in SOURCES}


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()


@pytest.mark.parametrize("phrase", REWRITTEN)
def test_a_riddle_stays_away(phrase: str, texts: dict[str, str]) -> None:
    assert [name for name, text in texts.items() if phrase.lower() in text] == []


@pytest.mark.parametrize("arguments", SCREENS, ids=lambda arguments: " ".join(map(str, arguments[:1] + arguments[2:])))
def test_screens_speak_plainly(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    screen = _plain(capsys.readouterr().out)
    assert [phrase for phrase in REWRITTEN if phrase.lower() in screen] == []


def findings() -> Iterator[tuple[str, list[str]]]:
    """Each call that makes a finding out of plain texts: its place, and the pieces of its text and hint."""
    for path in sorted((ROOT / "snnprof").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if name == "Finding" and "text" in given:
                texts = [given["text"], given.get("hint")]
            elif name == "note" and len(node.args) == 4:
                texts = node.args[2:]
            elif name == "_finding" and len(node.args) >= 3:
                texts = node.args[1:3]
            else:
                continue
            written = [text for text in texts if isinstance(text, (ast.Constant, ast.JoinedStr))]
            yield f"{path.relative_to(ROOT)}:{node.lineno}", [_outline(text) for text in written]


def _outline(text: ast.Constant | ast.JoinedStr) -> str:
    """A text with X for what is filled in."""
    if isinstance(text, ast.Constant):
        return str(text.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in text.values)


def test_a_finding_is_one_sentence_of_fact_and_one_of_advice() -> None:
    """Each begins with a capital, a name or an option, and has no full stop: the report adds it."""
    found = list(findings())
    assert len(found) > 40
    for place, texts in found:
        for text in texts:
            assert text, f"{place}: a fact or its advice is missing"
            assert text[0].isupper() or text.startswith(("--", "fvcore", "snnprof")), f"{place}: {text}"
            assert not text.endswith("."), f"{place}: {text}"
