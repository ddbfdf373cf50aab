"""Renders documents as one HTML file: it works offline and without JavaScript, in light and dark, at any width.

The template escapes every text, and the page's script reads JSON in which no tag can begin or end. The content security
policy of the page allows no other script and loads nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from snnprof import explanations
from snnprof.render.cleaning import cleaned
from snnprof.render.table import Column, Document, Row, Table, Value, sections
from snnprof.units import rate_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from snnprof.render.web.values import Prices

_LONG = 28  # characters; longer texts may be wrapped
_IN_THE_TREE = ("operations", "neurons")  # tables whose rows are in the tree of layers too
_CODE = re.compile(r"\(([CW]\d\d)\)$")


def render(document: Document) -> str:
    """The document as an HTML page."""
    from markupsafe import Markup

    document = cleaned(document)
    script = _file("web.js")
    page = document.page
    return _environment().get_template("html.j2").render(
        document=document,
        page=page,
        prices=[_amounts(each) for each in page.prices] if page else [],
        tables=[_context(table) for table in document.tables],
        checks=[_sentence(check.text, check.codes) for check in page.checks] if page else [],
        findings=[(each.topic, [_finding(text) for text in each.texts]) for each in document.notes],
        contents=[*page.contents, *_foot(document)] if page else [],
        style=Markup(_file("web.css")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )  # fmt: skip


def _foot(document: Document) -> Iterator[tuple[str, str]]:
    """The last entries of the page's table of contents: (anchor, title)."""
    if document.notes:
        yield "findings", "What a reader must know"
    if document.facts:
        yield "facts", "Facts"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("snnprof.render", "."), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(breakable=_breakable, share=rate_text)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _file(name: str) -> str:
    return resources.files("snnprof.render.web").joinpath(name).read_text(encoding="utf-8")


def _amounts(prices: Prices) -> dict[str, Any]:
    """A price list as data for the page's script."""
    return {**asdict(prices), "total": prices.total.text, "whole": prices.total.value}


def _finding(text: str) -> dict[str, object]:
    """A sentence and, if it ends with the code of a finding, the explanation of the code."""
    code = _CODE.search(text)
    return _sentence(text, [code[1]] if code else [])


def _sentence(text: str, codes: Iterable[str]) -> dict[str, object]:
    known = [explanations.every()[code] for code in codes if code in explanations.every()]
    return {"text": text, "explained": known}


def _context(table: Table) -> dict[str, object]:
    columns = table.printed
    body: list[dict[str, object]] = []
    foot: list[dict[str, object]] = []
    for (position, ruled), texts in zip(sections(table.rows), table.texts(), strict=True):
        row = table.rows[position]
        cells = [
            {
                "text": text if c.numeric else _breakable(text),
                "look": _look(c, row, text),
                "sort": _sort_key(row, c.key),
            }
            for text, c in zip(texts, columns, strict=True)
        ]
        (foot if row.total else body).append({"cells": cells, "ruled": ruled})
    return {
        "groups": table.groups(), "folded": table.name in _IN_THE_TREE and columns[0].key == "layer",
        "title": table.title, "notes": table.notes, "body": body, "foot": foot,
        "headers": [(table.heading(column), column.numeric) for column in columns],
    }  # fmt: skip


def _look(column: Column, row: Row, text: str) -> str:
    """CSS classes of a cell."""
    shape = "number" if column.numeric else "long" if len(text) > _LONG else "name"
    return f"{shape} best" if column.key in row.best else shape


def _breakable(text: str) -> Markup:
    """Allows a line break after each dot and underscore in a layer's path."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._])(?=\w{3})", r"\1<wbr>", str(escape(text))))


def _sort_key(row: Row, key: str) -> str:
    value: Value = row.values.get(key)
    return "" if value is None else str(value)
