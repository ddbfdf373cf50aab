"""The list of commands. Its import must stay fast, so each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from snnprof._version import __version__
from snnprof.cli import (
    audit,
    cite,
    compare,
    env,
    explain,
    export,
    hardware,
    models,
    options,
    papers,
    plot,
    profile,
    report,
    sweep,
    verify,
)
from snnprof.cli.command import Command

EXAMPLES = options.examples(
    ("snnprof profile saformer", "what a bundled model costs on its test data"),
    ("snnprof profile net.py:build --data test.npz -o run.json", "your own model, kept in a file"),
    ("snnprof report run.json --hardware loihi1-davies2018", "the same run, priced again"),
    ("snnprof compare a.json b.json", "which network needs less, and why"),
    ("snnprof sweep saformer --over timesteps=1,2,4,8", "curves over a setting"),
)
STATUS = (
    "[dim]Exit status: 0 done; 1 a check that was asked for failed (--strict, --fail-over); 2 bad usage or input; "
    "70 a bug; 130 interrupted. Results go to stdout, everything else to stderr.[/dim]"
)

app = typer.Typer(
    name="snnprof",
    help="What a spiking neural network costs: exact synaptic operations on real data, priced with cited hardware.",
    epilog=f"{EXAMPLES}\n\n{STATUS}",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"snnprof {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit.", metavar=""
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show the traceback of an error (anywhere on the line, or SNNPROF_DEBUG=1).", metavar=""
        ),
    ] = False,
) -> None:
    """Declares the options before the command; `--debug` for the help only, since `main` reads it before parsing."""


app.command("profile", epilog=profile.EXAMPLES)(profile.profile)
app.command("report", epilog=report.EXAMPLES)(report.report)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("plot", epilog=plot.EXAMPLES)(plot.plot)
app.command("sweep", epilog=sweep.EXAMPLES)(sweep.sweep)
app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.command("cite")(cite.cite)
app.command("verify", epilog=verify.EXAMPLES)(verify.verify)
app.command("explain", epilog=explain.EXAMPLES)(explain.explain)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("env")(env.env)
app.add_typer(hardware.app, name="hardware")
app.add_typer(models.app, name="models")
app.add_typer(papers.app, name="papers")
for group in (app, hardware.app, models.app, papers.app):
    for each in group.registered_commands:
        each.cls = Command
