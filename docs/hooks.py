"""Brings files from outside docs/ into the site: pages of the repository's root, and whatever a page links to.

Links in the sources are those of the repository, so that they work on a code forge and in an editor too. In the site
the root's pages stand beside those of docs/, and other files keep their path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
OUTSIDE = re.compile(r"\]\(\.\./([^)\s#]+)")
INTO_DOCS = re.compile(r"\]\(docs/")
SHOWN: dict[str, dict[str, Any]] = {
    "index.md": {"hide": ["navigation"]},  # it lists all pages itself
    "gallery.md": {"search": {"exclude": True}},  # examples of output have every word of the manual in them
}
"""What Material reads from the head of a page, where a code forge would show it as a table."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get the anchors that a code forge gives them."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = [Path(page.abs_src_path).read_text(encoding="utf-8") for page in files.documentation_pages()]
    linked = {target for text in pages for target in OUTSIDE.findall(text) if (ROOT / target).is_file()}
    for name in sorted({*ROOT_PAGES, *linked} - {"README.md"}):
        level = InclusionLevel.INCLUDED if name in ROOT_PAGES else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name), inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    page.meta.update(SHOWN.get(page.file.src_uri, {}))
    inside = OUTSIDE.sub(lambda link: f"]({in_site(link[1])}", markdown)
    return INTO_DOCS.sub("](", inside) if page.file.src_uri in ROOT_PAGES else inside


def in_site(path: str) -> str:
    """The home page takes the README's place."""
    return "index.md" if path == "README.md" else path
