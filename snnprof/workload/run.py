"""The two ways to run a model over data: `snnprof.profile` for a program, `profile_run` for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.options import MAX_TIMESTEPS, ProfileOptions, Progress, ignore_progress
from snnprof.record import findings
from snnprof.record.recorder import Recorder
from snnprof.run_file import Target
from snnprof.spike_trace import SpikeTrace
from snnprof.workload import checking, flops, machine, measuring, sources
from snnprof.workload.batches import Sampler
from snnprof.workload.checkpointer import Checkpointer
from snnprof.workload.distributed import ProcessGroup, process_group
from snnprof.workload.interrupt import Interrupt
from snnprof.workload.iterable_dataset import IterableDataset
from snnprof.workload.models import facts_of
from snnprof.workload.plan import DEFAULT_BATCH, Opener, RunPlan
from snnprof.workload.progress import bar
from snnprof.workload.session import Session

Afterwards = Callable[[RunPlan, Session, Interrupt], None]


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
    progress: bool | Progress = False,
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
        progress: show a bar on stderr; or a function that is called with the name of the phase, the samples done and
            the samples to do (null where unknown).

    Returns:
        The Activity; its run facts name the model's class and the device. After Ctrl-C it holds the batches that ran,
        and `run.complete` is false.

    Raises:
        SnnprofError: no data, a layout without T, or a batch the model does not take.
    """
    machine.now()
    if timesteps is not None and not 1 <= timesteps <= MAX_TIMESTEPS:
        raise SnnprofError(f"timesteps must be from 1 to {MAX_TIMESTEPS:,}, not {timesteps}")
    known = facts_of(model)
    items = [batches] if isinstance(batches, Tensor) else batches
    source = IterableDataset(items, "user data", layout, timesteps)
    with _shown(progress) as tell, machine.on_device(model, device), Interrupt() as interrupt:
        recorder = Recorder(model, layout=layout, timesteps=timesteps, input=input, neuron=neuron)
        session = Session(model, recorder, seed, progress=tell, total=samples or _samples_of(batches))

        def run(recorded: Run) -> Run:
            used = {"parameters_used": recorded.model.parameters_used}
            named = {"model": known.model_copy(update=used)} if known else {}
            return recorded.model_copy(update={"data": source.facts, "seed": seed, **named, **machine.facts(model)})

        checkpointer = Checkpointer(session, ProcessGroup(), interrupt, run)
        session.run(source.batches(Sampler(DEFAULT_BATCH, samples), session.shard.needs), checkpointer.should_stop)
        return _checked(checkpointer.result(), session, self_check)


def _shown(progress: bool | Progress) -> AbstractContextManager[Progress]:
    return bar() if progress is True else nullcontext(progress or ignore_progress)


def _samples_of(batches: object) -> int | None:
    """How many samples a DataLoader has; null for what else gives batches."""
    dataset = getattr(batches, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else None


def _quiet(text: str) -> None:
    """What nobody reads."""


def profile_run(
    options: ProfileOptions,
    progress: Progress = ignore_progress,
    target: Target | None = None,
    warn: Callable[[str], None] = _quiet,
    afterwards: Afterwards | None = None,
    open_source: Opener = sources.open_source,
) -> Activity:
    """Does what `snnprof profile` was asked to do; of several processes, only rank 0 returns.

    Args:
        options: what to do.
        progress: is told how far it is.
        target: where a long run saves what it has; the caller saves the result. Null: where the options say, and a run
            that goes on in its own file is saved in the end.
        warn: is told what went wrong and was left for later.
        afterwards: is given the plan and the session of a run that came to its end, and hears of Ctrl-C.
        open_source: opens the data; see `RunPlan.of`.

    Raises:
        SnnprofError: anything about model, checkpoint, data, device or the run to resume is wrong.
    """
    place = options.output or options.resume
    kept = target or (Target(place, force=True) if place else None)
    with process_group(options.device or machine.default_device()) as (group, device):
        plan = group.run_on_all(lambda: RunPlan.of(options, open_source))
        with machine.on_device(plan.loaded.module, device), Interrupt(group.size == 1) as interrupt:
            group.run_on_all(plan.must_go_on)
            sensors = group.run_on_all(lambda: measuring.sensors_for(plan, group)) if options.measure else []
            activity = plan.earlier
            if activity is None or not activity.run.complete:
                activity = _counted(plan, group, interrupt, progress, kept, warn, afterwards)
            if sensors and activity.run.complete:
                if kept:  # what was counted is safe, whatever happens now
                    activity.save(kept)
                activity = measuring.with_measurement(
                    activity, plan, sensors, progress, should_stop=lambda: interrupt.requested
                )
        group.exit_workers()
    if target is None and options.resume and not options.output:
        activity.save(options.resume)
    return activity


def trace_run(options: ProfileOptions, progress: Progress = ignore_progress) -> tuple[Activity, SpikeTrace]:
    """Counts one sample and keeps its single spikes.

    Args:
        options: of a run of one sample.

    Raises:
        SnnprofError: anything about model, checkpoint, data or device is wrong.
    """
    plan = RunPlan.of(options)
    with machine.on_device(plan.loaded.module, options.device or machine.default_device()), Interrupt() as interrupt:
        session = plan.session(ProcessGroup(), progress)
        checkpointer = Checkpointer(session, ProcessGroup(), interrupt, plan.run)
        session.run(plan.batches(session), checkpointer.should_stop)
        return checkpointer.result(), session.trace()


def _counted(
    plan: RunPlan,
    group: ProcessGroup,
    interrupt: Interrupt,
    progress: Progress,
    target: Target | None,
    warn: Callable[[str], None],
    afterwards: Afterwards | None,
) -> Activity:
    if plan.options.workers and plan.source.no_workers and group.leads:
        warn(f"warning: --workers has no effect: {plan.source.no_workers}")
    session = plan.session(group, progress if group.leads else ignore_progress)
    checkpointer = Checkpointer(
        session, group, interrupt, plan.run, check=lambda: plan.must_agree(group), target=target, warn=warn,
        draws_all=not plan.source.ordered, earlier=plan.earlier, stopping=plan.stopping,
    )  # fmt: skip
    session.run(plan.batches(session), checkpointer.should_stop)
    activity = checkpointer.result()
    if group.leads:
        activity = _checked(activity, session, plan.options.self_check)
    if afterwards and activity.run.complete:
        afterwards(plan, session, interrupt)
    return activity


def _checked(activity: Activity, session: Session, self_check: bool) -> Activity:
    """With what is seen of one sample after the run: fvcore's operations, spikes in float32, a second count."""
    layers, changed = session.flops(), session.changed_spikes()
    found = activity.findings + ([changed] if changed else []) + findings.of_accuracy(activity, session.classes)
    check = session.checked() if self_check else None
    if check is not None:
        found += checking.findings(check) + findings.of_look(session.recorder.sites)
    activity = activity.model_copy(update={"layers": layers, "self_check": check})
    activity = activity.model_copy(update={"coverage": flops.coverage(activity) if layers else None})
    return activity.model_copy(update={"findings": found + findings.of_coverage(activity)})
