"""The sentences that users read: riddles that were rewritten stay away, and findings have the same form."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REWRITTEN = (
    "each weight it meets",
    "quoted second-hand",
    "where the energy is quoted",
    "outweigh arithmetic",
    "neuron updates are not in the total",
    "no price list has a figure",
    "an SNN was estimated to",
    "skips every zero",
    "prices and what they cover",
    "not spikes; counted with levels",
    "factor is folded into its weights",
    "own code left them",
    "network is nearly silent",
    "no saving claimed",
    "for want of a rule",
    "unknown name in",
    "holds no SAFormer",
    "without a usable price",
    "cannot be gone on from",
    "the run to go on from",
    "told to be spikes",
    "sums: a contraction in disguise",
    "spike otherwise than",
)
SOURCES = [
    *(path for folder in ("snnprof", "docs", "models", "hardware_profiles", "examples")
      for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml", ".j2", ".md")),
    ROOT / "README.md",
]  # fmt: skip
PRINTED = ROOT / "docs" / "gallery.md"  # holds what the program prints, as of the last time it was made


@pytest.mark.parametrize("phrase", REWRITTEN)
def test_a_riddle_stays_away(phrase: str) -> None:
    texts = {path: " ".join(path.read_text(encoding="utf-8").split()) for path in SOURCES if path != PRINTED}
    assert [str(path) for path, text in texts.items() if phrase.lower() in text.lower()] == []


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
