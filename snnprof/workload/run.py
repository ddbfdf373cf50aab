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
    """Runs a model over data in evaluation mode and counts its spikes and operations.

    Args:
        model: any module. Its training mode, neuron state, random generators and batch-norm statistics are restored
            afterwards.
        batches: one tensor (one batch), or an iterable of x or (x, label), where x is what the model's `forward` takes
            and labels are class numbers `[B]`, `[B, 1]` or one-hot `[B, classes]`. A batch of several inputs is a tuple
            or a dictionary of tensors.
        layout: the first axes of x: `batch` (`[B, ...]`), `time-batch` (`[T, B, ...]`), `batch-time` (`[B, T, ...]`),
            or `step`: this function calls the model once per time step, and x is `[T, B, ...]`, or `[B, ...]` that is
            shown T times.
        timesteps: T. None detects it on the first batch; layout `step` needs it.
        device: the torch device to run on. None leaves the model on its device.
        samples: stop after this many samples. None runs all batches.
        input: `spikes` or `real` says what x holds; `auto` decides by the values of x.
        neuron: names of further classes and functions to treat as spiking neurons.
        seed: before each batch, torch is seeded with a number made of this seed and the number of the batch.
        self_check: after the run, count one sample with a second, independent counter and report where both disagree.
        progress: True shows a bar on stderr, False shows nothing. A function is called with the name of the phase, the
            samples done and the samples to do (None if unknown).

    Returns:
        The counts, exact integers over all samples, with the facts of the run. After Ctrl-C it holds the batches that
        ran, and `run.complete` is False.

    Raises:
        SnnprofError: there is no data, T is missing or wrong, or the model does not run on a batch.
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
    """The number of samples of a DataLoader; None for other iterables."""
    dataset = getattr(batches, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else None


def _quiet(text: str) -> None:
    """Ignores a warning."""


def profile_run(
    options: ProfileOptions,
    progress: Progress = ignore_progress,
    target: Target | None = None,
    warn: Callable[[str], None] = _quiet,
    afterwards: Afterwards | None = None,
    open_source: Opener = sources.open_source,
) -> Activity:
    """Runs what the options of `snnprof profile` describe. Under torchrun, only rank 0 returns; the others exit.

    Args:
        options: the options of the command.
        progress: called with the name of the phase, the samples done and the samples to do.
        target: the file in which a long run saves its counts about once a minute; the caller saves the result. None
            takes the file that the options name (`output`, else `resume`). Then a run that resumes in its own file is
            also saved here at the end.
        warn: called with the text of a warning, such as a save that failed and is tried again.
        afterwards: called with the plan, the session and the interrupt handler after a run that is complete.
        open_source: opens the data; see `RunPlan.of`.

    Raises:
        SnnprofError: the model, checkpoint, data, device or the run to resume is missing or wrong.
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
                if kept:  # the counts are safe if the measurement fails
                    activity.save(kept)
                activity = measuring.with_measurement(
                    activity, plan, sensors, progress, should_stop=lambda: interrupt.requested
                )
        group.exit_workers()
    if target is None and options.resume and not options.output:
        activity.save(options.resume)
    return activity


def trace_run(options: ProfileOptions, progress: Progress = ignore_progress) -> tuple[Activity, SpikeTrace]:
    """Counts a run of one sample, and records each of its spikes.

    Raises:
        SnnprofError: the model, checkpoint, data or device is missing or wrong.
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
    """Counts this process's batches and merges the counts of all processes; rank 0 also makes the checks."""
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
    """Adds the checks that are made on one sample after the run.

    These are fvcore's operations per layer, the spikes that change in float32 on the CPU, and the self-check.
    """
    layers, changed = session.flops(), session.changed_spikes()
    found = activity.findings + ([changed] if changed else []) + findings.of_accuracy(activity, session.classes)
    check = session.checked() if self_check else None
    if check is not None:
        found += checking.findings(check) + findings.of_look(session.recorder.sites)
    activity = activity.model_copy(update={"layers": layers, "self_check": check})
    activity = activity.model_copy(update={"coverage": flops.coverage(activity) if layers else None})
    return activity.model_copy(update={"findings": found + findings.of_coverage(activity)})
