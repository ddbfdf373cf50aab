"""The house rules that a machine can check: imports go down, start-up stays light, every package is installed."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "snnprof"
# Highest first: a module imports only from its own line or from lines below it. The longest name decides; the
# catalogue and the options are plain facts that everything above them may read.
HOUSE = [
    ["__main__", "pytest_plugin"],
    ["cli"],
    ["render"],
    ["workload"],
    ["record"],
    ["compare", "summary", "repricing"],
    ["estimates"],
    ["grouping"],
    ["workload.catalogue", "workload.options"],
    ["pricing", "cautions"],
    ["twins", "memory"],
    ["conventions"],
    ["statistics"],
    ["hardware", "explanations"],
    ["yaml_file"],
    ["activity", "run_file", "kept", "maps", "capacity", "plugins"],
    ["units", "errors", "_version"],
]
TORCH_ALLOWED = ("record", "workload", "cli.env")
HEAVY = ("torch", "fvcore", "pandas", "numpy", "matplotlib")


@functools.cache
def modules() -> dict[str, Path]:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__") or "__init__": path for name, path in names.items() if name != "__init__"}


def floor(name: str) -> int:
    """The line of the house list a module stands on; the longest prefix decides."""
    best = [
        (len(prefix), line)
        for line, prefixes in enumerate(HOUSE)
        for prefix in prefixes
        if name == prefix or name.startswith(prefix + ".")
    ]
    assert best, f"snnprof/{name.replace('.', '/')} is not in the house list"
    return max(best)[1]


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Modules that a file imports, outside `if TYPE_CHECKING`; at its top only, unless `everywhere`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            inner = [name for name in names if name.removeprefix("snnprof.") in modules()]
            yield from inner if len(inner) == len(names) else [node.module, *inner]


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down(name: str) -> None:
    known = modules()
    for imported in imports(known[name]):
        inner = imported.removeprefix("snnprof.")
        if imported.startswith("snnprof.") and inner in known and not name.startswith(inner + "."):
            assert floor(inner) >= floor(name), f"{name} imports {inner}, which stands above it"


@pytest.mark.parametrize("name", sorted(modules()))
def test_models_are_never_imported_by_name(name: str) -> None:
    assert not [m for m in imports(modules()[name]) if m.startswith("snnprof.models.")]


@pytest.mark.parametrize("name", sorted(modules()))
def test_torch_stays_where_it_belongs(name: str) -> None:
    uses = [m for m in imports(modules()[name]) if m.split(".")[0] == "torch"]
    assert not uses or name.startswith(TORCH_ALLOWED)


def test_click_is_never_imported() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not [m for m in imports(path) if m.split(".")[0] == "click"], path


def test_installed_packages_are_those_in_the_tree() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^packages = \[(.*?)\]", text, re.S | re.M)
    assert listed
    folders = {f"snnprof.{name}" for name in ("models", "hardware_profiles")}
    folders |= {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(re.findall(r'"([^"]+)"', listed.group(1))) == folders


def loaded_by(*arguments: str) -> set[str]:
    """Top-level packages that a command loads, in a process of its own."""
    code = (
        "import sys, snnprof.__main__ as m\n"
        f"status = m.main({list(arguments)!r})\n"
        "print(status, *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    status, *names = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["profile", "--help"], ["hardware", "list"], ["models", "list"], ["explain", "C06"]],
    ids=" ".join,
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(*arguments) & set(HEAVY)


def test_the_pytest_plugin_loads_nothing_heavy() -> None:
    code = "import sys, snnprof.pytest_plugin; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not set(done.stdout.split()) & {*HEAVY, "pydantic", "rich", "typer", "yaml"}


def test_reports_and_comparisons_load_no_torch(run_file: Path) -> None:
    assert "torch" not in loaded_by("report", str(run_file))
    assert "torch" not in loaded_by("compare", str(run_file), str(run_file), "--format", "csv")
    assert "torch" not in loaded_by("report", str(run_file), "--output", str(run_file.with_name("r.html")))
