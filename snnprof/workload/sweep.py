"""Sweeps: the same model and data, run once for each combination of settings; each run can be kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Activity
from snnprof.comparison import Entry
from snnprof.conventions import Convention
from snnprof.errors import SnnprofError
from snnprof.grid import GridPoint, PlannedRun, axes, file_names, grid
from snnprof.hardware import DEFAULT
from snnprof.options import ProfileOptions, Progress, ignore_progress, threshold_text
from snnprof.pricing import Hardware, Reports, price
from snnprof.run_file import Target
from snnprof.sweeps import Sweep, sweep_of
from snnprof.workload import checkpoints, models, sources
from snnprof.workload.batches import InputSpec, Sampler, Source
from snnprof.workload.iterable_dataset import IterableDataset
from snnprof.workload.rate_coding import RateCoded
from snnprof.workload.run import profile, profile_run
from snnprof.workload.thresholds import set_thresholds

STEPS = ("timesteps", "T", "time_steps", "num_steps")
"""Usual names of the attribute in which a model keeps its number of time steps."""


@dataclass
class SharedSources:
    """Opens each data source once for all runs that can share it. An iterable is not shared: one run exhausts it."""

    _opened: dict[object, Source] = field(default_factory=dict)

    def __call__(self, spec: str, wanted: InputSpec, samples: int | None) -> Source:
        """Opens a source or returns the open one; see `sources.open_source`.

        Samples in layout `batch` do not depend on T, so runs with different T share them. Event frames do depend on T.
        """
        alike = wanted.layout == "batch" and not wanted.events
        key = (spec, replace(wanted, timesteps=None) if alike else wanted, samples)
        found = self._opened.get(key) or sources.open_source(spec, wanted, samples)
        if found.ordered:
            self._opened[key] = found
        return found


def run_sweep(
    runs: Sequence[PlannedRun],
    progress: Progress = ignore_progress,
    warn: Callable[[str], None] = lambda text: None,
    force: bool = False,
) -> Iterator[tuple[PlannedRun, Activity]]:
    """Makes one run after the other, writes each to its file when it ends, and yields it.

    If the file of a run exists, a complete run is not repeated, and an incomplete run is resumed.

    Args:
        runs: the runs with their options and files.
        progress: called with the name of the phase, the samples done and the samples to do, for each run.
        warn: called with the text of a warning, such as a save that failed and is tried again.
        force: repeats the runs whose files exist.

    Yields:
        Each run with its counts.

    Raises:
        SnnprofError: something about a run is wrong, or its file holds a run with other settings.
    """
    shared = SharedSources()
    for run in runs:
        there = run.path.exists() and not force
        options = replace(run.options, output=None, resume=run.path) if there else run.options
        target = Target.to_go_on(run.path) if there else Target(run.path, force)
        activity = profile_run(options, progress, target, warn, open_source=shared)
        if not there or not _is_complete(run.path):
            activity.save(target)
        yield run, activity


def _is_complete(path: Path) -> bool:
    return Activity.load(path).run.complete


# -- from Python -----------------------------------------------------------------------------------------------


def sweep(
    model: nn.Module | str | Callable[..., nn.Module],
    batches: Tensor | Iterable[Any] | str | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
    *,
    hardware: Hardware | Sequence[Hardware] = DEFAULT,
    convention: str | Convention = "exact",
    folder: str | Path | None = None,
    **options: Any,
) -> Sweep:
    """Runs a model once for each combination of settings.

    Args:
        model: a module; a function that builds one and takes the values of `set.KEY` as keyword arguments; or a name,
            as `snnprof profile` takes it.
        batches: for a module or a function: one tensor (one batch), or an iterable of x or (x, label), as for
            `snnprof.profile`. For a model by name: a data source such as `"digits"` or `"test.npz"`, or None for the
            data that the model was made for.
        over: the values of each setting, by its name: `timesteps`, `threshold`, `threshold.LAYERS`, `input_rate`,
            `checkpoint`, `seed` or `set.KEY`. The first setting is the horizontal axis of the curves; the others
            distinguish the curves. Runs that differ in `seed` alone are averaged.
        hardware: a price list (hardware profile), its id or its YAML file; or a list of them.
        convention: the counting convention or its id.
        folder: for models by name: keeps each run in a file in this folder, skips runs whose file is complete and
            resumes the others. None keeps no files.
        options: further arguments of `snnprof.profile`; for a model by name, fields of
            `snnprof.options.ProfileOptions`.

    Returns:
        The curves, with the Pareto fronts and the energies at equal accuracy; `sweep.comparison` has the runs side by
        side. After Ctrl-C, only the runs that were complete.

    Raises:
        SnnprofError: a setting or a value is wrong, the model has no such setting, or `snnprof.profile` raised it.
        KeyboardInterrupt: Ctrl-C came in the first run.
    """
    found = axes(over or {})
    points = grid(found)
    if isinstance(model, str):
        activities = _by_name(model, batches, points, folder, options)
    elif folder is not None:
        raise SnnprofError("a folder keeps runs of a model by name", hint="save them yourself: activity.save(path)")
    else:
        activities = _of_module(model, batches, points, options)
    finished = list(takewhile(lambda activity: activity.run.complete, activities))
    if not finished:
        raise KeyboardInterrupt
    entries = []
    for point, activity in zip(points, finished, strict=False):
        priced = price(activity, hardware, convention)
        reports = tuple(priced) if isinstance(priced, Reports) else (priced,)
        entries.append(Entry(point.name, (reports,)))
    return sweep_of(entries, found[0].name)


def _by_name(
    model: str, batches: object, points: Sequence[GridPoint], folder: str | Path | None, options: Mapping[str, Any]
) -> Iterator[Activity]:
    """Makes the runs of a model by name, as `snnprof sweep` does; they are kept if there is a folder."""
    if batches is not None and not isinstance(batches, str):
        raise SnnprofError(
            "a model by name takes its data by name, such as 'digits' or 'test.npz'",
            hint="to pass batches, load the model: snnprof.load_model(name)",
        )
    weights = options.get("checkpoint")
    named = {**options, "checkpoint": None if weights is None else Path(weights)}
    try:
        given = ProfileOptions(model=model, data=batches, **named)
    except TypeError as error:
        raise SnnprofError(f"sweep: {str(error).rpartition('() ')[2]}") from error
    wanted = [point.options(given) for point in points]
    if folder is None:
        shared = SharedSources()
        return (profile_run(each, open_source=shared) for each in wanted)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / name for name in file_names(points)]
    runs = [PlannedRun(*each) for each in zip(points, map(_kept_in, wanted, paths), strict=True)]
    return (activity for _, activity in run_sweep(runs))


def _kept_in(options: ProfileOptions, path: Path) -> ProfileOptions:
    return replace(options, output=path)


def _of_module(
    model: nn.Module | Callable[..., nn.Module], batches: Any, points: Sequence[GridPoint], options: Mapping[str, Any]
) -> Iterator[Activity]:
    """Makes the runs of a module, or of the modules that a function builds."""
    if batches is None or isinstance(batches, str):
        raise SnnprofError("a sweep of a module needs batches: a tensor, or an iterable of x or (x, label)")
    again = list(batches) if isinstance(batches, Iterator) else batches  # an iterator can be read once only
    known = ProfileOptions(model="", timesteps=options.get("timesteps"), seed=options.get("seed", 0))
    for point in points:
        run_options = point.options(known)
        settings = {key: models.yaml_value(value) for key, value in run_options.settings}
        with _module(model, settings, run_options, options.get("neuron", ())) as module:
            given = {**options, "seed": run_options.seed, "timesteps": run_options.timesteps}
            coded = again if run_options.input_rate is None else _coded(again, run_options, given)
            activity = profile(module, coded, **given)
        yield _with_conditions(activity, run_options)


@contextmanager
def _module(
    model: nn.Module | Callable[..., nn.Module],
    settings: Mapping[str, Any],
    run_options: ProfileOptions,
    named: Sequence[str],
) -> Iterator[nn.Module]:
    """The model with the settings of one run; a module of the caller gets its weights and settings back afterwards."""
    if settings and isinstance(model, nn.Module):
        raise SnnprofError(
            f"set.{next(iter(settings))} is an argument of the function that builds the model, and this is a module",
            hint="pass the function instead",
        )
    module = model if isinstance(model, nn.Module) else model(**settings)
    with ExitStack() as undo:
        if run_options.checkpoint is not None:
            before = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
            undo.callback(module.load_state_dict, before)
            checkpoints.load_into(module, checkpoints.read(run_options.checkpoint), type(module).__name__)
        undo.callback(set_thresholds(module, run_options.thresholds, named))
        if run_options.timesteps is not None:
            undo.callback(_set_steps(module, run_options.timesteps))
        yield module


def _set_steps(module: nn.Module, timesteps: int) -> Callable[[], None]:
    """Sets T if the model keeps it in an attribute, and returns the function that undoes it.

    If the model has no such attribute, `profile` raises an error where the model runs another number of steps.
    """
    name = next((name for name in STEPS if type(getattr(module, name, None)) is int), None)
    if name is None:
        return lambda: None
    before = getattr(module, name)
    setattr(module, name, timesteps)
    return lambda: setattr(module, name, before)


def _coded(batches: Any, run_options: ProfileOptions, given: Mapping[str, Any]) -> Iterator[Any]:
    """The batches, with each input element coded as spikes of the rate that `run_options` names."""
    items = [batches] if isinstance(batches, Tensor) else batches
    source = IterableDataset(items, "user data", given.get("layout", "batch"), given.get("timesteps"))
    assert run_options.input_rate is not None
    for batch in RateCoded(source, run_options.input_rate, given["seed"]).batches(
        Sampler(1), lambda number, start: True
    ):
        yield batch.x if batch.y is None else (batch.x, batch.y)


def _with_conditions(activity: Activity, run_options: ProfileOptions) -> Activity:
    """Adds the settings of the run to its facts, as `snnprof profile` writes them."""
    flags = {
        "--set": " ".join(f"{key}={value}" for key, value in run_options.settings),
        "--threshold": " ".join(threshold_text(*each) for each in run_options.thresholds),
        "--input-rate": "" if run_options.input_rate is None else str(run_options.input_rate),
    }
    run = activity.run
    conditions = {**run.conditions, **{flag: text for flag, text in flags.items() if text}}
    model = run.model
    if run_options.checkpoint is not None:
        weights = checkpoints.read(run_options.checkpoint)
        model = model.model_copy(update={"checkpoint": weights.path.name, "sha256": weights.sha256})
    return activity.model_copy(update={"run": run.model_copy(update={"conditions": conditions, "model": model})})
