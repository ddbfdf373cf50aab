"""`snnprof verify`: checks that the model, weights and data of a run file give its counts again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof import run_file
from snnprof.cli import options, output, rerun, runs
from snnprof.cli.progress import progress
from snnprof.errors import CheckFailed, SnnprofError

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.options import ProfileOptions
    from snnprof.verification import Verification

EXAMPLES = options.examples(
    ("snnprof verify run.json", "a run of a bundled model, or of code in this folder"),
    ("snnprof verify run.json --checkpoint weights.pt --data cifar10:DIR", "somebody else's run, with one's own files"),
    ("snnprof verify run.json --blocks all", "every sample of it"),
)
SHOWN = 10


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="A file made by 'snnprof profile --output'.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Weights, where they lie elsewhere now.", metavar="FILE[:KEY]"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Data, where they lie elsewhere now.", metavar="SOURCE")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="The model, where it lies elsewhere now or is not in this folder.", metavar="MODEL"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Where to run it; default: as in the recorded command.", metavar="DEVICE"),
    ] = None,
    blocks: Annotated[
        str,
        typer.Option(
            "--blocks", help="How many blocks to run again: the first, and others drawn at random.", metavar="N|all"
        ),
    ] = "4",
    quiet: options.Quiet = False,
) -> None:
    """Run recorded blocks of samples again and compare every integer with the run file.

    The model, the weights, the data and all settings must be those of the run: their digests are compared first.
    """
    from snnprof.activity import Activity

    path = runs.path_of(run)
    text = run_file.read(path)
    recorded = Activity.from_json(text, str(path))
    _must_be_as_written(path, text)
    chosen = _chosen(blocks, recorded, path)
    run_options = rerun.options_of(path, recorded, model, checkpoint=checkpoint, data=data, device=device)
    found = _again(run_options, recorded, chosen, quiet)
    output.write("".join(f"{line}\n" for line in _lines(found)), None)
    if found.differences:
        raise CheckFailed(f"{path} is not what its model, weights and data give here", hint=_hint(found))


def _must_be_as_written(path: Path, text: str) -> None:
    if run_file.is_changed(text):
        raise CheckFailed(
            f"{path} was changed after snnprof wrote it: its checksum differs",
            hint="take the file as it was written",
        )


def _chosen(text: str, recorded: Activity, path: Path) -> list[int]:
    """The numbers of the blocks to run again: the first, since every run learns from it, and random others.

    Raises:
        SnnprofError: the text is no number of blocks, or the run has no blocks.
    """
    number = len(recorded.blocks)
    if not number or not recorded.samples:
        raise SnnprofError(f"{path} does not record which samples ran", hint="only runs of 'snnprof profile' do")
    wanted = number if text == "all" else int(text) if text.isascii() and text.isdigit() else 0
    if wanted < 1:
        raise SnnprofError(f"--blocks needs a number from 1 on, or all, not {text!r}")
    others = random.sample(range(1, number), min(wanted, number) - 1)
    return [0, *sorted(others)]


def _again(run_options: ProfileOptions, recorded: Activity, blocks: list[int], quiet: bool) -> Verification:
    with progress(run_options.model, quiet) as tell:  # shows a message before the import loads torch
        from snnprof.workload.verify import verify_run

        return verify_run(run_options, recorded, blocks, tell)


def _lines(found: Verification) -> list[str]:
    ran = (
        f"{len(found.blocks)} of {_counted(found.all_blocks, 'block')} ran again ({_counted(found.samples, 'sample')})"
    )
    compared = f"{found.integers:,} integers in {found.rows:,} rows"
    lines = [f"note: {what} differs: {then} then, {now} now" for what, then, now in found.changed]
    if not found.differences:
        return [*lines, f"✓ {ran}: {compared}, all equal"]
    lines.append(
        f"✗ {ran}: {len(found.differences):,} of {compared} differ, in {_counted(found.differing_rows, 'row')}"
    )
    for each in found.differences[:SHOWN]:
        then, now = ("none" if value is None else f"{value:,}" for value in (each.recorded, each.now))
        lines.append(f"  block {each.block}  {each.row}  {each.figure}: {then} recorded, {now} now")
    more = len(found.differences) - SHOWN
    return [*lines, f"  … {more:,} more"] if more > 0 else lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _hint(found: Verification) -> str:
    if found.changed:
        return "spikes may turn between versions and devices: repeat it where it was run ('snnprof env')"
    return "another processor or number of threads may turn a few spikes: OMP_NUM_THREADS=1 on both sides settles that"
