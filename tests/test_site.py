"""The documentation as a site: every page has a place, what is generated is current, every link of the built site leads
somewhere, and nothing is loaded from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from types import FunctionType
from urllib.parse import unquote, urldefrag

import jsonschema
import pytest
import yaml

import snnprof
from snnprof.activity import Activity
from snnprof.records import json_schema

ROOT = Path(__file__).parent.parent
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
MEMBERS = (FunctionType, classmethod, staticmethod, property, cached_property)


def places(entry: object) -> Iterator[str]:
    """The pages of a part of mkdocs.yml's `nav`."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        yield from (place for each in entry.values() for place in places(each))
    elif isinstance(entry, list):
        yield from (place for each in entry for place in places(each))


def test_every_page_has_one_place() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if not path.name.endswith(".in.md")]
    assert sorted(places(nav)) == sorted([*pages, "CONTRIBUTING.md", "CHANGELOG.md"])


@pytest.mark.parametrize("maker", ["make_cli.py", "make_schema.py"])
def test_what_is_generated_is_current(maker: str) -> None:
    """Make it anew with: python docs/MAKER"""
    made = subprocess.run([sys.executable, str(ROOT / "docs" / maker), "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_the_python_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "python_reference.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: snnprof\.(\w+)$", page, re.M))
    assert named >= set(snnprof.__all__) - {"__version__"}


@pytest.mark.parametrize("name", ["saformer", "own", "imagenet"])
def test_the_schema_takes_run_files(name: str) -> None:
    """The stored runs have an older schema; saved again, they have the present one."""
    stored = Activity.load(ROOT / "tests" / "data" / "runs" / f"{name}.json")
    jsonschema.validate(json.loads(stored.sealed()), json_schema())


def test_the_schema_refuses_what_a_run_file_is_not() -> None:
    content = json.loads(Activity(samples=2).to_json())
    for broken in ({**content, "samples": "two"}, {**content, "energy": 1}, {**content, "ops": [{"op": "conv"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json_schema())


class Links(HTMLParser):
    """What a page loads, what it links to, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("id", "name"):
                self.anchors.add(value or "")
            elif (tag, name) in LOADED:
                self.loaded.append(value or "")
            elif name == "href":
                self.targets.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings", reason="the site's packages: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]  # --quiet hides warnings
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: Links(path) for path in site.rglob("*.html") if path.name != "404.html"}
    wrong = []
    for page, links in pages.items():
        for link in (*links.targets, *links.loaded):
            place, anchor = urldefrag(unquote(link))
            if place.startswith(("http:", "https:", "mailto:")):
                continue
            target = (page.parent / place).resolve() if place else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and anchor not in pages[target].anchors):
                wrong.append(f"{page.relative_to(site)}: {link}")
    assert not wrong


@pytest.mark.slow
def test_the_site_needs_nothing_from_elsewhere(site: Path) -> None:
    loaded = [link for page in site.rglob("*.html") for link in Links(page).loaded]
    assert loaded
    assert not [link for link in loaded if re.match(r"(https?:)?//", link)]
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", styles)


@pytest.mark.slow
def test_every_public_name_has_its_section(site: Path) -> None:
    """A name without a docstring is left out; fields on one line of a docstring come out as one with a comma."""
    page = site / "python_reference.html"
    anchors = Links(page).anchors
    assert not [name for name in public_names() if name not in anchors]
    assert not re.findall(r"<code>\w+,</code>", page.read_text(encoding="utf-8"))


def public_names() -> Iterator[str]:
    """The functions and classes of the package, and what the classes can do."""
    for name in snnprof.__all__:
        value = getattr(snnprof, name)
        if callable(value):
            yield f"snnprof.{name}"
        own = [each for each in getattr(value, "__mro__", ()) if each.__module__.startswith("snnprof.")]
        members = {member for each in own for member, made in vars(each).items() if isinstance(made, MEMBERS)}
        yield from (f"snnprof.{name}.{member}" for member in sorted(members) if not member.startswith("_"))


@pytest.mark.slow
def test_pages_are_found_by_their_words(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"] if "break-even" in entry["text"]}
    assert any(place.startswith("findings") for place in found)
