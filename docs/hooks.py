"""Brings files from outside docs/ into the site: pages of the repository's root, and whatever a page links to.

Links in the sources are those of the repository, so that they work on a code forge and in an editor too. In the site
the root's pages stand beside those of docs/, and other files keep their path.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
OUTSIDE = re.compile(r"\]\(\.\./([^)\s#]+)")
INTO_DOCS = re.compile(r"\]\(docs/")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get the anchors that a code forge gives them."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = [Path(page.abs_src_path).read_text(encoding="utf-8") for page in files.documentation_pages()]
    linked = {target for text in pages for target in OUTSIDE.findall(text)}
    for name in sorted({*ROOT_PAGES, *linked} - {"README.md"}):
        level = InclusionLevel.INCLUDED if name in ROOT_PAGES else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name), inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # it lists all pages itself
    inside = OUTSIDE.sub(lambda link: f"]({in_site(link[1])}", markdown)
    return INTO_DOCS.sub("](", inside) if page.file.src_uri in ROOT_PAGES else inside


def in_site(path: str) -> str:
    """The home page takes the README's place."""
    return "index.md" if path == "README.md" else path
