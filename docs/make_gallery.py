"""Makes docs/gallery.md and docs/gallery/ from the bundled models: `python docs/make_gallery.py`.

Every table and figure stands under the command that makes it. The compiled LaTeX page is redrawn where pdflatex and
pdftoppm are installed, the web pages where Chromium and playwright are, and kept as they are elsewhere.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "gallery"
MODELS = ("spikformer", "ssa_bin", "saformer")
RUNS = "spikformer.json ssa_bin.json saformer.json"
PAPER_ROWS = "paper:ssa_bin-ssa-cifar10 paper:ssa_bin-baseline-cifar10 paper:ssa_bin-bin-cifar10"
SWEEP = "snnprof sweep saformer --over timesteps=1,2,4,8 --hardware cmos45-fp32"
VIEWS: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "desktop": (1180, 1100, "light"), "phone": (390, 1100, "dark"),
}  # fmt: skip
"""Width, height and colours of the pictures of a web page."""
PAGE = r"\documentclass{article}\usepackage{booktabs,graphicx,siunitx}\pagestyle{empty}\begin{document}"


@dataclass(frozen=True)
class Item:
    """One command and what it makes.

    Attributes:
        text: what to look at.
        form: how its output is shown: `screen`, `terminal`, `markdown`, `latex`, or empty for a picture.
    """

    title: str
    text: str
    command: str
    form: str = ""


ITEMS = (
    Item(
        "The first screen", "What `snnprof profile` prints, and `report` again: the result first, then where the "
        "operations go. The sign of the comparison with the ANN turns between two price lists, and the screen says so.",
        "snnprof report saformer.json", "screen",
    ),
    Item(
        "All tables and notes", "A role is what a layer does; without `--by` there is a row for each operation.",
        "snnprof report ssa_bin.json --by role --verbose", "terminal",
    ),
    Item(
        "Three models side by side", "Each ratio is split into operations and prices; the intervals are paired, since "
        "all three ran on the same samples. A published row stands beside them, marked as one.",
        f"snnprof compare {RUNS} paper:ssa_bin-bin-cifar10 --format markdown", "markdown",
    ),
    Item(
        "Where they differ", "The same comparison by role, for one machine.",
        f"snnprof compare {RUNS} --hardware cmos45-fp32 --by role --format markdown", "markdown",
    ),
    Item(
        "The main table of a paper", "Runs, their ANN twins and published rows, with numbers aligned by siunitx.",
        f"snnprof compare {RUNS} paper:ssa_bin-bin-cifar10 --layout-of main --format latex --siunitx --output main.tex",
        "latex",
    ),
    Item(
        "The ablation table of a paper", "Methods by data set, with the firing rates of the attention matrix (fr_attn) "
        "and of the neurons after it (fr_out). SAFormer has no such matrix.",
        f"snnprof compare {RUNS} {PAPER_ROWS} --layout-of ablation --format markdown", "markdown",
    ),
    Item(
        "A run as a web page", "One file that needs no network: the result, what to check, and a tree of layers that "
        "filters, sorts, folds and opens. A switch prices the run on every bundled list. See [The page](web_page.md).",
        "snnprof report saformer.json --output saformer.html",
    ),
    Item(
        "A comparison as a web page", "Figures with their intervals, the ratios, and where the energy goes, on a phone "
        "and in the dark.", f"snnprof compare {RUNS} --output compare.html",
    ),
    Item("Energy by role", "One panel per price list; what has no price is said, and makes the total a lower bound.",
         "snnprof plot ssa_bin.json --output energy.png"),
    Item("Energy of three models", "A bar each, stacked by role, with the 95 % interval of the total.",
         f"snnprof plot {RUNS} --kind energy --hardware cmos45-fp32 --hardware rolls-77fj --output energies.png"),
    Item("Firing rates", "Each role, block by block, with 95 % intervals.",
         "snnprof plot spikformer.json --kind rates --output rates.png"),
    Item("Firing rates by time step", "The first step is nearly silent: membranes start empty. Of more than "
         "eight steps the figure is a heat map.",
         "snnprof plot spikformer.json --kind timesteps --output timesteps.png"),
    Item("Attention values", "How often each value of the attention matrix occurs.",
         "snnprof plot spikformer.json --kind attention --output attention.png"),
    Item("Binary attention", "Where the values are 0 and 1, the share of ones.",
         "snnprof plot ssa_bin.json --kind attention --output attention-binary.png"),
    Item("Attention over the images: Spikformer", "How much attention each token gets: the matrix averaged over heads, "
         "time steps and queries. Written by `profile --maps 4`.",
         "snnprof plot spikformer.json --kind attention --maps --output maps-spikformer.png"),
    Item("Attention over the images: SSA_Bin", "The same for binary attention weights.",
         "snnprof plot ssa_bin.json --kind attention --maps --output maps-ssa_bin.png"),
    Item("Attention over the images: SAFormer", "It has no attention matrix: drawn are the spikes of Q that pass the "
         "channel mask at each token, averaged over channels and time steps.",
         "snnprof plot saformer.json --kind attention --maps --output maps-saformer.png"),
    Item("Accuracy against energy", "With 95 % intervals, on one price list.",
         f"snnprof plot {RUNS} --output tradeoff.png"),
    Item("Published rows", "At their papers' own prices, hollow; the line joins those that no other row beats.",
         f"snnprof plot {PAPER_ROWS} paper:ssa_bin-threshold-cifar10 --output published.png"),
    Item("A claim under all conventions", "Each model's energy over Spikformer's: a row per convention, a column per "
         "price list. Where spikes of several levels count as multiplications, the claim turns.",
         f"snnprof plot {RUNS} --kind conventions --output conventions.png"),
    Item("A sweep over time steps", "Accuracy, SOPs and energy against T. See [Sweeps](sweep.md).",
         "snnprof plot saformer-sweep/*.json --output sweep.png"),
    Item("Estimates against measurements", "Networks that others measured on chips, and what the price lists say "
         "of them; a bar where a paper does not print its spikes. See [Validation](validation.md).",
         "snnprof hardware validate --output validation.png"),
    Item("What a paper must say", "Methods paragraph, footnote and BibTeX, from the run's own facts.",
         "snnprof cite spikformer.json", "latex"),
    Item("A reviewer's card", "All that decides the figures, on one page; with `--output card.tex` a document for "
         "pdflatex.", "snnprof cite spikformer.json --card", "terminal"),
)  # fmt: skip


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for model in MODELS:
            run(f"snnprof profile {model} --maps 4 --output {model}.json", work)
        run(SWEEP, work)
        text = "\n".join(page(work))
    (DOCS / "gallery.md").write_text(f"{text}\n", encoding="utf-8")


def page(work: Path) -> Iterator[str]:
    """The lines of gallery.md."""
    yield "# Gallery\n"
    yield "Made by `python docs/make_gallery.py` from the bundled models; each table and picture is under its command."
    yield "The run files come from\n"
    commands = (f"snnprof profile {model} --maps 4 --output {model}.json" for model in MODELS)
    yield fenced("\n".join((*commands, SWEEP)), "sh").rstrip()
    for item in ITEMS:
        yield f"\n## {item.title}\n\n{item.text}\n\n{fenced(item.command, 'sh')}"
        yield shown(item, run(item.command, work), work).rstrip()


def run(command: str, work: Path, **environment: str) -> str:
    """What a command prints; it runs in the folder of the run files."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0", **environment}
    words = [path for word in shlex.split(command)[1:] for path in (_matching(word, work) or [word])]
    arguments = [sys.executable, "-m", "snnprof", *words]
    done = subprocess.run(arguments, cwd=work, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _matching(word: str, work: Path) -> list[str]:
    """The files that a word stands for in a shell."""
    return sorted(str(path.relative_to(work)) for path in work.glob(word)) if "*" in word else []


def shown(item: Item, printed: str, work: Path) -> str:
    if item.form == "screen":
        return drawn(item, work)
    if item.form == "markdown":
        return printed
    if item.form == "terminal":
        return fenced(printed, "text")
    made = work / item.command.rpartition(" ")[2]
    if item.form == "latex" and made.suffix != ".tex":
        return fenced(printed, "latex")
    if item.form == "latex":
        compiled(made)
        return f"{fenced(made.read_text(encoding='utf-8'), 'latex')}\n![The table, compiled](gallery/main.png)\n"
    if made.suffix == ".html":
        photographed(made)
        return "".join(f"![{item.title}, {view}](gallery/{made.stem}-{view}.png)\n" for view in VIEWS)
    shutil.copyfile(made, PICTURES / made.name)
    return f"![{item.title}](gallery/{made.name})\n"


def drawn(item: Item, work: Path) -> str:
    """The screen as a picture, in the colours of a terminal of 100 columns."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(run(item.command, work, FORCE_COLOR="1", TERM="xterm-256color", COLUMNS="100")))
    svg = console.export_svg(title="snnprof profile saformer")  # the README shows it as the screen of this command
    picture = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # loads nothing
    (PICTURES / "screen.svg").write_text(picture, encoding="utf-8")
    return f"![{item.title}](gallery/screen.svg)\n"


def photographed(page: Path) -> None:
    """Pictures of the top of a web page, as Chromium shows it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium or not find_spec("playwright"):
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--headless"])
        for view, (width, height, scheme) in VIEWS.items():
            shown = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            shown.goto(page.as_uri())
            shown.screenshot(path=PICTURES / f"{page.stem}-{view}.png")
        browser.close()


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def compiled(table: Path) -> None:
    """Draws a table as pdflatex sets it."""
    if not shutil.which("pdflatex") or not shutil.which("pdftoppm"):
        return
    folder = table.parent
    (folder / "page.tex").write_text(f"{PAGE}\n\\input{{{table.name}}}\n\\end{{document}}\n", encoding="utf-8")
    quietly = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"], **quietly)  # type: ignore[call-overload]
    crop = ["-x", "240", "-y", "220", "-W", "840", "-H", "470"]
    picture = str(PICTURES / "main")
    subprocess.run(["pdftoppm", "-r", "150", "-png", "-singlefile", *crop, "page.pdf", picture], **quietly)  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
