"""Private names of PyTorch: few, in one module, and each there in the version that is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch

PACKAGE = Path(__file__).parents[2] / "snnprof"
MODULE = PACKAGE / "record" / "torch_private.py"
MOST = 25

# What each is an attribute of, by the word that stands before it in the module.
OWNERS: dict[str, Any] = {
    "_C": torch._C,
    "_functorch": torch._C._functorch,
    "DispatchKey": torch._C.DispatchKey,
    "operator": torch.ops.aten.add.Tensor,
    "tensor": torch.zeros(()),
    "storage": torch.zeros(()).untyped_storage(),
}


def named() -> dict[str, str]:
    """Private names in the module, as `owner.name` or `package:name`, and the definition that each stands in."""
    found: dict[str, str] = {}
    for node in ast.parse(MODULE.read_text(encoding="utf-8")).body:
        target = getattr(node, "name", None) or next((ast.unparse(t) for t in _targets(node)), "")
        for inner in ast.walk(node):
            if isinstance(inner, ast.ImportFrom) and inner.module and "._" in inner.module:
                found |= {f"{inner.module}:{alias.name}": target for alias in inner.names}
            owner = isinstance(inner, ast.Attribute) and ast.unparse(inner.value).rpartition(".")[2]
            if owner in OWNERS and (inner.attr.startswith("_") or owner in ("_C", "_functorch")):
                found[f"{owner}.{inner.attr}"] = target
    del found["_C._functorch"]  # what is in it is named
    return found


def _targets(node: ast.AST) -> list[ast.expr]:
    return [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])


def _holds(module: str, name: str) -> bool:
    """Whether a module has an attribute or a module of its own of that name."""
    return hasattr(importlib.import_module(module), name) or bool(importlib.util.find_spec(f"{module}.{name}"))


def users(definition: str) -> list[str]:
    """The files that use a definition of the module."""
    word = re.compile(rf"\b{definition}\b")
    paths = (path for path in PACKAGE.rglob("*.py") if path != MODULE)
    return [str(path.relative_to(PACKAGE)) for path in paths if word.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", named())
def test_a_private_name_is_there(name: str) -> None:
    module, _, imported = name.partition(":")
    owner, _, attribute = name.partition(".")
    there = _holds(module, imported) if imported else hasattr(OWNERS[owner], attribute)
    assert there, f"PyTorch {torch.__version__} has no {name}, which {users(named()[name])} need"


def test_there_are_few() -> None:
    assert len(named()) <= MOST, sorted(named())


def test_they_stand_in_no_other_module() -> None:
    names = r"torch\._C\b|from torch(\.\w+)*\._\w+|torch\._\w+\.|\._(cdata|schema|op_dk)\b|(?<!snnprof)\._version\b"
    private = re.compile(names)
    for path in PACKAGE.rglob("*.py"):
        if path != MODULE:
            text = re.sub(r'"[^"\n]*"', "", path.read_text(encoding="utf-8"))
            assert not (found := private.search(text)), f"{path.relative_to(PACKAGE)}: {found and found.group()}"
