"""Writes docs/cli.md from the commands: every command, argument, option and default, in the words of `--help`.

python docs/make_cli.py           writes it
python docs/make_cli.py --check   fails if it is not current
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import typer
from generated import write_or_check
from rich.text import Text

from snnprof.cli.app import app

PAGE = Path(__file__).with_name("cli.md")
ABOUT = """# Command line

Every command, as `--help` prints it. Written by `python docs/make_cli.py` from `snnprof/cli/`."""
OPTIONS = "Options"
TABLE = "| | |\n|---|---|"


def main() -> int:
    return write_or_check({PAGE: page()}, Path(__file__).name)


def page() -> str:
    return "\n\n".join([ABOUT, *command(typer.main.get_command(app), ("snnprof",))]) + "\n"


def command(this: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The section of a command, then those of its subcommands."""
    subcommands = getattr(this, "commands", {})
    if len(path) > 1:
        yield f"{'#' * len(path)} {' '.join(path)}"
    yield markdown(this.help or "")
    context = this.context_class(this, info_name=" ".join(path))
    yield fenced([" ".join([*path, *this.collect_usage_pieces(context)])])
    if subcommands:
        yield "\n".join(contents(subcommands, path))
    yield from options(this.params)
    yield from ending(this.epilog or "")
    for name, each in subcommands.items():
        yield from command(each, (*path, name))


def contents(subcommands: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    yield TABLE
    for name, each in subcommands.items():
        full = (*path, name)
        yield f"| [`{' '.join(full)}`](#{'-'.join(full)}) | {markdown(each.help).splitlines()[0]} |"


def options(parameters: list[Any]) -> Iterator[str]:
    """A table for each panel of the help, in its order; arguments first."""
    panels = [(panel(each), each) for each in parameters if not each.hidden]
    order = list(dict.fromkeys(["Arguments", OPTIONS, *(name for name, _ in panels)]))
    panels.sort(key=lambda pair: order.index(pair[0]))
    for name, members in groupby(panels, key=lambda pair: pair[0]):
        yield f"**{name}**"
        yield "\n".join([TABLE, *(row(each) for _, each in members)])


def panel(parameter: Any) -> str:
    return "Arguments" if parameter.param_type_name == "argument" else parameter.rich_help_panel or OPTIONS


def row(parameter: Any) -> str:
    names = [] if parameter.param_type_name == "argument" else [*parameter.opts, *parameter.secondary_opts]
    form = parameter.metavar if names else parameter.metavar or parameter.name
    typed = " ".join(filter(None, [", ".join(names), form]))
    default = parameter.default
    known = "" if default in (None, "") or isinstance(default, bool) else f" Default: {code(str(default))}."
    return f"| {code(typed)} | {markdown(parameter.help or '')}{known} |"


def ending(epilog: str) -> Iterator[str]:
    """The examples as one block, and what else stands under the help."""
    paragraphs = Text.from_markup(epilog).plain.split("\n\n")
    commands = [line for line in paragraphs if line.startswith("snnprof ")]
    if commands:
        yield fenced(commands)
    yield from (escaped(text) for text in paragraphs if text and text not in {"Examples", *commands})


def fenced(lines: list[str]) -> str:
    return "\n".join(["```sh", *lines, "```"])


def code(text: str) -> str:
    """In a table, a | between backticks would end the cell."""
    return f"<code>{escaped(text)}</code>" if "|" in text else f"`{text}`"


def markdown(help: str) -> str:
    """Rich's markup as Markdown: what is in colour is typed, so it is code."""
    text = Text.from_markup(help)
    parts = text.divide([edge for span in text.spans for edge in (span.start, span.end)])
    return "".join(code(part.plain) if part.spans and part.plain else escaped(part.plain) for part in parts)


def escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;")


if __name__ == "__main__":
    sys.exit(main())
