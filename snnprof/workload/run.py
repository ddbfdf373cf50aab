"""The two ways to run a model over data: `snnprof.profile` for a program, `profile_run` for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.record import findings, flops
from snnprof.record.recorder import Recorder
from snnprof.run_file import Target
from snnprof.workload import checking, machine
from snnprof.workload.asked import DEFAULT_BATCH, Asked
from snnprof.workload.batches import Sampler
from snnprof.workload.ctrl_c import CtrlC
from snnprof.workload.distributed import Team, team
from snnprof.workload.iterable_dataset import IterableDataset
from snnprof.workload.journal import Journal
from snnprof.workload.options import MAX_TIMESTEPS, ProfileOptions, Progress, ignore_progress
from snnprof.workload.session import Session


def profile(
    model: nn.Module,
    batches: Tensor | Iterable[Any],
    layout: str = "batch",
    timesteps: int | None = None,
    device: str | None = None,
    samples: int | None = None,
    *,
    input: str = "auto",
    neuron: tuple[str, ...] = (),
    seed: int = 0,
    self_check: bool = True,
) -> Activity:
    """Runs a model over data and counts what happens.

    Args:
        model: any module; training mode, neuron state, RNG and batch-norm statistics are put back afterwards.
        batches: one tensor (one batch), or an iterable of x or (x, label), as the model takes them.
        layout: first axes of x: `batch`, `time-batch`, `batch-time`; or `step`, where this function loops over T
            (x is `[T, B, ...]`, or `[B, ...]` shown T times).
        timesteps: T, where the model makes its own time axis or is looped over.
        device: where to run; null leaves the model where it is.
        samples: stop after this many samples.
        input: `auto`, `spikes` or `real`.
        neuron: names of classes and functions to be taken for neurons besides those known.
        self_check: count one sample twice after the run, by two counters, and say where they disagree.
        seed: torch is seeded with it and the batch's number before each batch.

    Returns:
        The Activity; its run facts name the model's class and the device. After Ctrl-C it holds the batches that ran,
        and `run.complete` is false.

    Raises:
        SnnprofError: no data, a layout without T, or a batch the model does not take.
    """
    machine.now()
    if timesteps is not None and not 1 <= timesteps <= MAX_TIMESTEPS:
        raise SnnprofError(f"timesteps must be from 1 to {MAX_TIMESTEPS:,}, not {timesteps}")
    items = [batches] if isinstance(batches, Tensor) else batches
    source = IterableDataset(items, "python", layout, timesteps)
    with machine.on_device(model, device), CtrlC() as ctrl_c:
        recorder = Recorder(model, layout=layout, timesteps=timesteps, input=input, neuron=neuron)
        session = Session(model, recorder, seed)

        def run(recorded: Run) -> Run:
            return recorded.model_copy(update={"data": source.facts, "seed": seed, **machine.facts(model)})

        journal = Journal(session, Team(), ctrl_c, run)
        session.run(source.batches(Sampler(DEFAULT_BATCH, samples), session.shard.needs), journal.ends_before)
        return _checked(journal.result(), session, self_check)


def _quiet(text: str) -> None:
    """What nobody reads."""


def profile_run(
    options: ProfileOptions,
    progress: Progress = ignore_progress,
    target: Target | None = None,
    warn: Callable[[str], None] = _quiet,
) -> Activity:
    """Does what `snnprof profile` was asked to do; of several processes, only rank 0 returns.

    Args:
        options: what to do.
        progress: is told how far it is.
        target: where a long run saves what it has; the caller saves the result. Null: where the options say, and a run
            that goes on in its own file is saved in the end.
        warn: is told what went wrong and was left for later.

    Raises:
        SnnprofError: anything about model, checkpoint, data, device or the run to go on from is wrong.
    """
    place = options.output or options.resume
    kept = target or (Target(place, force=True) if place else None)
    with team(options.device or machine.default_device()) as (own_team, device):
        asked = own_team.together(lambda: Asked.of(options))
        with machine.on_device(asked.loaded.module, device), CtrlC(own_team.size == 1) as ctrl_c:
            own_team.together(asked.must_go_on)
            activity = asked.earlier
            if activity is None or not activity.run.complete:
                activity = _counted(asked, own_team, ctrl_c, progress, kept, warn)
        own_team.dismiss()
    if target is None and options.resume and not options.output:
        activity.save(options.resume)
    return activity


def _counted(
    asked: Asked, team: Team, ctrl_c: CtrlC, progress: Progress, target: Target | None, warn: Callable[[str], None]
) -> Activity:
    if asked.options.workers and asked.source.no_workers and team.leads:
        warn(f"warning: --workers has no effect: {asked.source.no_workers}")
    session = asked.session(team, progress if team.leads else ignore_progress)
    journal = Journal(
        session, team, ctrl_c, asked.run, check=lambda: asked.must_agree(team), target=target, warn=warn,
        draws_all=not asked.source.ordered, earlier=asked.earlier, goal=asked.goal,
    )  # fmt: skip
    session.run(asked.batches(session), journal.ends_before)
    activity = journal.result()
    return _checked(activity, session, asked.options.self_check) if team.leads else activity


def _checked(activity: Activity, session: Session, self_check: bool) -> Activity:
    """With what is seen of one sample after the run: fvcore's operations, spikes in float32, a second count."""
    layers, turned = session.flops(), session.turned_spikes()
    found = activity.findings + ([turned] if turned else []) + findings.of_accuracy(activity, session.classes)
    check = session.checked() if self_check else None
    if check is not None:
        found += checking.findings(check) + findings.of_look(session.recorder.books)
    activity = activity.model_copy(update={"layers": layers, "self_check": check})
    activity = activity.model_copy(update={"coverage": flops.coverage(activity) if layers else None})
    return activity.model_copy(update={"findings": found + findings.of_coverage(activity)})
