"""What is shipped: the source archive, the wheel made from it, and that wheel installed in a place of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from snnprof import __version__

ROOT = Path(__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "shared", "*.egg-info", "__pycache__")
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


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
    shutil.copytree(ROOT, folder / "tree", ignore=NOT_SOURCE)
    return built("sdist", folder / "tree", folder)


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
    return {path.relative_to(ROOT).as_posix() for path in files if path.is_file() and "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    tops = {name.parts[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"snnprof"}
    packed = {str(name) for name in names if name.parts[0] == "snnprof"}
    moved = {f"snnprof/{name}" for name in shipped("models", "hardware_profiles")}
    assert packed == shipped("snnprof") | moved
    assert {PurePosixPath(name).suffix for name in packed} >= {".yaml", ".pt", ".npz", ".json", ".j2", ".typed"}


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
    assert not shipped("tests", "docs", "examples", "benchmarks", "models", "hardware_profiles", "snnprof") - names
    assert names >= {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt"}


@pytest.mark.slow
def test_the_wheel_installed_elsewhere_works(wheel: Path, tmp_path: Path) -> None:
    """In a folder with no checkout in sight; its dependencies are those of this environment."""
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    assert not [path.name for path in target.iterdir() if path.suffix != ".dist-info" and path.name not in
                ("snnprof", "bin")]  # fmt: skip

    def said(*arguments: str) -> str:
        code = (
            f"import sys; sys.path.insert(0, {str(target)!r}); import snnprof.__main__ as m\n"
            f"assert m.__file__.startswith({str(target)!r}); sys.exit(m.main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("--version").startswith("snnprof ")
    assert "cmos45-fp32" in said("hardware", "list")
    assert "saformer" in said("models", "list")
    assert "Operations per inference" in said("profile", "--model", "saformer", "--samples", "4")


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_other_pythons_can_parse_it(version: str, tmp_path: Path) -> None:
    """The syntax alone: no torch is installed for them here."""
    python = shutil.which(f"python{version}")
    if not python or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    for folder in ("snnprof", "models", "hardware_profiles", "tests", "benchmarks", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=NOT_SOURCE)
    done = subprocess.run([python, "-m", "compileall", "-q", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
