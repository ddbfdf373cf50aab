"""What is shipped: the source archive, the wheel made from it, and that wheel installed in a place of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from snnprof import __version__

ROOT = Path(__file__).parent.parent
SITES = [Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "shared", "*.egg-info", "__pycache__", "*.so")
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


def tree(folder: Path) -> Path:
    """A copy of the checkout, for what leaves files beside the sources."""
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=NOT_SOURCE))


def built(kind: str, source: Path, target: Path) -> Path:
    """What the build back end makes of a source tree; `kind` is sdist or wheel."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", str(target)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module", autouse=True)
def _back_end() -> None:
    pytest.importorskip("setuptools", "77", reason="the build back end, as pyproject.toml asks for it")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    return built("sdist", tree(folder), folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the source archive, so that a file missing there is missing here."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return built("wheel", next(folder.glob("snnprof-*/")), folder)


def shipped(*folders: str) -> set[str]:
    """Every file in folders of this tree that is not a by-product of running it."""
    files = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    files = (path for path in files if path.suffix != ".so" and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if path.is_file()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    tops = {name.parts[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"snnprof"}
    packed = {str(name) for name in names if name.parts[0] == "snnprof"}
    built = {
        name for name in packed if name.startswith("snnprof/record/read/_reader.") and name.endswith((".so", ".pyd"))
    }
    moved = {f"snnprof/{name}" for name in shipped("models", "hardware_profiles", "chips")}
    assert packed - built == (shipped("snnprof") - {"snnprof/record/read/_reader.c"}) | moved
    data = {".bib", ".css", ".j2", ".js", ".json", ".npz", ".pt", ".typed", ".yaml"}
    assert {PurePosixPath(name).suffix for name in packed} >= data


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith("/METADATA")).removesuffix("METADATA")
    metadata = archive.read(f"{info}METADATA").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nRequires-Python: >=3.10\n" in metadata
    assert "snnprof = snnprof.__main__:main" in archive.read(f"{info}entry_points.txt").decode()
    assert any(name.endswith("/LICENSE") for name in archive.namelist())


def test_the_source_archive_holds_what_a_developer_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert (
        not shipped("tests", "docs", "examples", "benchmarks", "models", "hardware_profiles", "chips", "snnprof")
        - names
    )
    assert names >= {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt"}


class CallSite:
    """A virtual environment with the dependencies of this one, as links, but without its snnprof."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin, self.python, self.elsewhere = folder / "bin", folder / "bin" / "python", folder / "elsewhere"
        self.elsewhere.mkdir()
        self.site = Path(self.said(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        for entry in (entry for path in SITES for entry in path.iterdir()):
            link = self.site / entry.name
            if not entry.name.startswith(("snnprof", "__editable__")) and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)

    def install(self, *what: str, **environment: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--no-deps", "--no-index"]
        self.said(*pip, "--no-build-isolation", *what, **environment)

    def said(self, *command: str | Path, **environment: str) -> str:
        """What a command prints, run in an empty folder with no checkout in sight."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", **environment}
        done = subprocess.run(
            list(command), cwd=self.elsewhere, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def added(self) -> set[str]:
        """The names in site-packages that came with snnprof, less its metadata."""
        return {path.name for path in self.site.iterdir() if not path.is_symlink() and path.suffix != ".dist-info"}


@pytest.fixture(params=["wheel", "folder", "editable", "no compiler"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CallSite, Path]:
    """snnprof installed in one of these ways, and the folder its code must come from."""
    place = CallSite(tmp_path / "venv")
    if request.param == "wheel":
        place.install(str(request.getfixturevalue("wheel")))
    elif request.param == "folder":
        place.install(str(tree(tmp_path)))
    elif request.param == "no compiler":
        place.install(str(tree(tmp_path)), CC="false", LDSHARED="false")
        assert not list(place.site.glob("snnprof/record/read/_reader.*so"))
    else:
        source = tree(tmp_path)
        place.install("--editable", str(source))
        assert all(name.startswith(("__editable__", "__pycache__")) for name in place.added())
        return place, source
    assert place.added() - {"__pycache__"} == {"snnprof"}
    return place, place.site


def named(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.yaml")}


@pytest.mark.slow
def test_every_way_of_installing_works_elsewhere(installed: tuple[CallSite, Path]) -> None:
    place, home = installed
    code = (
        "import importlib.util as u, snnprof; print(snnprof.__file__, u.find_spec('models'), u.find_spec('benchmarks'))"
    )
    assert place.said(place.python, "-c", code).split() == [str(home / "snnprof" / "__init__.py"), "None", "None"]

    def snnprof(*arguments: str) -> str:
        return place.said(place.bin / "snnprof", *arguments)

    assert snnprof("--version") == f"snnprof {__version__}\n"
    assert "profile" in snnprof("--help")
    hardware = json.loads(snnprof("hardware", "list", "--format", "json"))
    assert {row["id"] for row in hardware["hardware"]} | set(hardware["stubs"]) == named("hardware_profiles")
    models = json.loads(snnprof("models", "list", "--format", "json"))["models"]
    assert {row["model"].partition(":")[0] for row in models} == named("models")
    assert "Where the operations go" in snnprof("profile", "--model", "saformer", "--samples", "4")


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_other_pythons_can_parse_it(version: str, tmp_path: Path) -> None:
    """The syntax alone: no torch is installed for them here."""
    python = shutil.which(f"python{version}")
    env = os.environ | {"PYENV_VERSION": version}  # pyenv's stand-ins run only the versions that are chosen
    if not python or subprocess.run([python, "--version"], capture_output=True, env=env).returncode:
        pytest.skip(f"there is no Python {version} here")
    for folder in ("snnprof", "models", "hardware_profiles", "tests", "benchmarks", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=NOT_SOURCE)
    done = subprocess.run([python, "-m", "compileall", "-q", str(tmp_path)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout
