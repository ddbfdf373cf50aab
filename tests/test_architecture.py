"""The house rules that a machine can check: imports go down, start-up stays light, every package is installed."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "snnprof"
# Highest first: a module imports only from its own line or from lines below it. A name stands for all below it.
# A module of a package may be named on a higher line: published rows are above the numbers and readings of the audit,
# and the tables and runs to audit are above the published rows.
HOUSE = [
    ["__main__", "pytest_plugin"],
    ["cli"],
    ["render"],
    ["workload"],
    ["sensors"],
    ["record"],
    ["sweeps"],
    ["charts"],
    ["comparison", "summary", "repricing", "calibration", "audit.runs", "against"],
    ["agreement"],
    ["step_rows"],
    ["estimates", "report_rows"],
    ["derivation"],
    ["grouping"],
    ["validation"],
    ["pricing"],
    ["cautions"],
    ["priced_run"],
    ["twins"],
    ["priced_work"],
    ["memory"],
    ["reuse"],
    ["layer_shape"],
    ["sana_fe"],
    ["mapping"],
    ["conventions"],
    ["measured"],
    ["statistics"],
    ["settings"],
    ["grid"],
    ["catalogue", "options", "bibliography"],
    ["audit.tables", "audit.published"],
    ["literature"],
    ["audit"],
    ["hardware", "explanations"],
    ["yaml_file", "verification"],
    ["activity"],
    ["merging"],
    ["quanta"],
    ["records"],
    ["run_file", "kept", "maps", "capacity", "plugins", "spike_trace"],
    ["traffic"],
    ["units", "errors", "shown", "_version"],
]
# Modules that import each other today. A circle that is gone must leave this list; none may join it.
KNOWN_CIRCLES: list[set[str]] = []
TORCH_ALLOWED = ("record", "workload", "cli.env")
HEAVY = ("torch", "fvcore", "pandas", "numpy", "matplotlib")


@functools.cache
def modules() -> dict[str, Path]:
    """All modules but the root by their names without `snnprof.`; a package has the name of its folder."""
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in names.items() if name != "__init__"}


@functools.cache
def imports(name: str) -> set[str]:
    return imported_in(modules()[name].read_text(encoding="utf-8"))


def imported_in(source: str) -> set[str]:
    """What a module imports anywhere: at its top, in functions, and for type checkers alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"a relative import in line {node.lineno}"
            found |= {_imported(node.module or "", alias.name) for alias in node.names}
    return found


def _imported(module: str, name: str) -> str:
    """`from module import name` imports a module of that name, or else something that the module defines."""
    full = f"{module}.{name}"
    return full if full.removeprefix("snnprof.") in modules() else module


def inner_imports(name: str) -> set[str]:
    """The modules of this package among them."""
    ours = {imported.removeprefix("snnprof.") for imported in imports(name) if imported.startswith("snnprof.")}
    return (ours & modules().keys()) - {name}


def floor(name: str) -> int:
    """The line of the house list that a module stands on."""
    lines = [line for line, names in enumerate(HOUSE) if name in names or name.partition(".")[0] in names]
    assert lines, f"snnprof/{name.replace('.', '/')} is not in the house list"
    return lines[0]


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of two or more nodes, each of which leads to all others of its set."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        waiting, reach[start] = [start], set()
        while waiting:
            new = graph[waiting.pop()] - reach[start]
            reach[start] |= new
            waiting += new
    found = {frozenset(other for other in graph if other in reach[name] and name in reach[other]) for name in graph}
    return [set(circle) for circle in found if circle]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]


def test_imports_for_type_checkers_and_in_functions_are_seen() -> None:
    source = "if TYPE_CHECKING:\n    import a\ndef f():\n    from snnprof import twins\n    from snnprof.units import b"
    assert imported_in(source) == {"a", "snnprof.twins", "snnprof.units"}


def test_imports_go_down() -> None:
    upward = [(name, other) for name in modules() for other in inner_imports(name) if floor(other) < floor(name)]
    assert not upward, "these modules import what stands above them"


def test_every_line_of_the_house_is_a_module() -> None:
    assert {name for line in HOUSE for name in line} <= modules().keys()


def test_no_modules_import_each_other() -> None:
    found = circles({name: inner_imports(name) for name in modules()})
    new = [circle for circle in found if not any(circle <= known for known in KNOWN_CIRCLES)]
    assert not new, "modules import each other"
    gone = [known for known in KNOWN_CIRCLES if not any(circle <= known for circle in found)]
    assert not gone, "these circles are broken: take them off KNOWN_CIRCLES"


def test_models_are_never_imported_by_name() -> None:
    assert not [name for name in modules() if any(other.startswith("snnprof.models.") for other in imports(name))]


def test_torch_stays_where_it_belongs() -> None:
    users = {name for name in modules() if any(other.split(".")[0] == "torch" for other in imports(name))}
    assert not [name for name in users if not name.startswith(TORCH_ALLOWED)]


def test_click_is_never_imported() -> None:
    assert not [name for name in modules() if any(other.split(".")[0] == "click" for other in imports(name))]


def test_installed_packages_are_those_in_the_tree() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^packages = \[(.*?)\]", text, re.S | re.M)
    assert listed
    folders = {f"snnprof.{name}" for name in ("chips", "models", "hardware_profiles")}
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
