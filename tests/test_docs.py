"""What the pages say holds: their commands run, their examples give what they print, their links lead somewhere."""

from __future__ import annotations

import doctest
import glob
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import snnprof
from snnprof.__main__ import main
from snnprof.activity import Activity

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    if not path.name.endswith(".in.md")
)  # fmt: skip
STANDS_FOR = {
    "LOG.csv": "log.csv", "RUN.json": "run.json", "OLD.json": "a.json", "NEW.json": "b.json", "old.json": "a.json",
    "new.json": "b.json", "FILE": "mine.yaml", "NAME": "saformer", "MODEL": "saformer", "DIR": "cifar",
    "ID": "cmos45-fp32", "CODE": "C06", "CHIP": "loihi1", "LAYER": "head", "cifar10:DIR": "cifar10:cifar",
    "block.0.mlp.fc1_conv": "head",
    "paper:ROW": "paper:ssa_bin-bin-cifar10",
}  # fmt: skip
RUN_ELSEWHERE = ("tutorial.md",)  # by test_tutorial.py
NEEDS = ("spikingjelly", "snntorch", "norse", "neurobench", "nir")
SVG_COLUMN = 12.2  # pixels of a column in the pictures that rich draws
TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.M | re.S)
NOT_RUN = {
    "...": "a form, not a command",
    "[OPTIONS]": "a form, not a command",
    "verify run.json --checkpoint": "a run of somebody else's files; tests/workload/test_verify.py makes one",
    "--measure": "needs an energy sensor; tests/sensors has recorded ones",
    "dvs128-gesture:": "its recordings are gigabytes; tests/workload reads small ones",
}
NET = """
import torch
from torch import nn

from snnprof.models.neuron import LIF


def build(width: int = 10):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 10)
            self.fire = LIF()

        def forward(self, x):  # [T, B, 64], [B, 1, H, W] or [B, 64]
            images = x.dim() == 4
            out = self.fc((nn.functional.adaptive_avg_pool2d(x.float(), 8).flatten(1) if images else x).float())
            return self.fire(out).mean(0) if out.dim() == 3 else out

    return Net()


def test_set():
    yield torch.rand(4, 64), torch.arange(4)
"""


OWN = "schema: snnprof.mapping/1\nchip: loihi1\n"


def commands(page: Path) -> list[list[str]]:
    """Commands in blocks, and those between backticks that are no link, in the order of the page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    prose, fenced = (
        rf"^{start}(snnprof [^\n]*)|(?<!\[)`(snnprof [a-z-]+ [^`\n]*)`" for start in ("    ", r"(?:    |\$ )?")
    )
    parts = re.split(r"^```.*$", text, flags=re.M)
    found = [each for n, part in enumerate(parts) for each in re.findall(fenced if n % 2 else prose, part, re.M)]
    lines = [block or inline for block, inline in found]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def workshop(
    tmp_path: Path,
    activity_maker: Callable[..., Activity],
    script: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with every file that the pages name."""
    for name, firing in (("run", 3), ("a", 3), ("b", 2)):
        activity_maker(firing=firing).save(tmp_path / f"{name}.json")
    for steps in (1, 2, 4):
        run = activity_maker(firing=steps)
        run.run.timesteps = steps
        run.save(tmp_path / f"t{steps}.json")
    for name in ("net.py", "my_model.py", "my_data.py"):
        (tmp_path / name).write_text(NET)
    x = np.random.default_rng(0).random((4, 2, 64), dtype=np.float32)
    np.savez(tmp_path / "test.npz", x=x, y=np.arange(4))
    mine = (ROOT / "hardware_profiles" / "cmos45-fp32.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(mine.replace("id: cmos45-fp32", "id: mine", 1), encoding="utf-8")
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    for name in ("examples", "models", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("weights", "a", "b"):
        torch.save(torch.nn.ModuleDict({"fc": torch.nn.Linear(64, 10)}).state_dict(), tmp_path / f"{name}.pt")
    runs = [tmp_path / name for name in ("run.json", "a.json", "b.json")]
    script("examples/power_log.py").write(tmp_path / "log.csv", runs)
    folder = tmp_path / "cifar" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    np.random.default_rng(0).integers(0, 10, (2, 3073), dtype=np.uint8).tofile(folder / "test_batch.bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page) and page.name not in RUN_ELSEWHERE], ids=lambda page: page.stem
)
def test_every_command_runs(page: Path, workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Profiles see a few samples; otherwise each command is as printed. Blocks with a title are files."""
    for title, text in TITLED.findall(page.read_text(encoding="utf-8")):
        (workshop / title).parent.mkdir(parents=True, exist_ok=True)
        (workshop / title).write_text(text, encoding="utf-8")
    for words in commands(page):
        line = " ".join(words)
        if any(part in line for part in NOT_RUN) or not _installed(line):
            continue
        words = [STANDS_FOR.get(word, word) for word in words]
        if "x.pth" in words:
            model = words[words.index("--model") + 1] if "--model" in words else words[1]
            torch.save(snnprof.load_model(model).state_dict(), workshop / "x.pth")
        few = (
            ["--samples", "2" if "cifar" in line else "8"]
            if words[0] in ("profile", "sweep") and "--samples" not in words
            else []
        )
        writes = {"--output", "-o"} & set(words) or words[0] in ("plot", "sweep")
        overwrites = ["--force"] if writes and words[0] != "export" else []
        words = [path for word in words for path in ("*" in word and sorted(glob.glob(word))) or [word]]
        words, redirected = (words[: words.index(">")], words[-1]) if ">" in words else (words, None)
        capsys.readouterr()
        assert main([*words, *few, *overwrites]) == 0, f"{page.name}: snnprof {line}: {capsys.readouterr().err}"
        if redirected:
            Path(redirected).write_text(capsys.readouterr().out, encoding="utf-8")


def _installed(line: str) -> bool:
    import importlib.util

    return not any(name in line and not importlib.util.find_spec(name) for name in NEEDS)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "bring_your_model.md"], ids=lambda page: page.stem
)
def test_python_blocks_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        model = torch.nn.Linear(4, 3)
        given = {"model": model, "x": torch.rand(8, 4), "batches": [torch.rand(8, 4)], "snnprof": snnprof,
                 "evaluate": lambda model: model(torch.rand(8, 4))}  # fmt: skip
        exec(compile(block, str(page), "exec"), given)
        assert isinstance(given["activity"], Activity)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if ">>>" in p.read_text(encoding="utf-8")], ids=lambda page: page.stem
)
def test_examples_on_pages(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted
    assert not outcome.failed


def modules_with_examples() -> list[str]:
    paths = [path for path in (ROOT / "snnprof").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in sorted(paths)]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted
    assert not outcome.failed


def test_the_readme_shows_the_screen_that_is_printed() -> None:
    """All but the seconds that the run took."""
    screen = (ROOT / "tests" / "data" / "golden" / "screens" / "saformer-100-plain.txt").read_text(encoding="utf-8")
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split("$ snnprof profile saformer\n")[1].split("```")[0]
    assert _without_seconds(shown) == _without_seconds(screen)


def test_the_picture_in_the_readme_is_that_screen() -> None:
    """Each text of the picture has a place, which gives its line and its column."""
    screen = (ROOT / "tests" / "data" / "golden" / "screens" / "saformer-100-plain.txt").read_text(encoding="utf-8")
    picture = ElementTree.parse(ROOT / "docs" / "gallery" / "screen.svg").getroot()
    lines: dict[float, str] = {}
    for text in picture.iterfind(".//{*}g[@class]//{*}text"):
        before = lines.get(float(text.get("y", "")), "")
        column = round(float(text.get("x", "")) / SVG_COLUMN)
        lines[float(text.get("y", ""))] = before.ljust(column) + (text.text or "").replace("\xa0", " ")
    drawn = "\n".join(lines[y].rstrip() for y in sorted(lines))
    assert _without_seconds(drawn).rstrip() == _without_seconds(screen).rstrip()


def _without_seconds(text: str) -> str:
    return re.sub(r" +\d+\.\d s$", "", text, flags=re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        place, _, heading = target.partition("#")
        if place.startswith(("http:", "https:")):
            continue
        path = page.parent / place if place else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not heading or heading in headings(path), f"{page.name} links to {target}"


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    found = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


def test_the_index_names_every_page_once() -> None:
    linked = re.findall(r"\]\(([^)#]+)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"index.md"}
    assert sorted(pages | {"../CONTRIBUTING.md"}) == sorted(link for link in linked if link.endswith(".md"))
