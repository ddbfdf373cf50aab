"""A sweep: the same model and data, run once for each combination of settings, each run in a file of its own."""

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
"""What models call the attribute that says how often they show an image."""


@dataclass
class SharedSources:
    """Opens each source of data once for all runs that can share it: not an iterable, which is used up by one run."""

    _opened: dict[object, Source] = field(default_factory=dict)

    def __call__(self, spec: str, wanted: InputSpec, samples: int | None) -> Source:
        """See `sources.open_source`. Samples of layout `batch` are the same for each T, but event frames are not."""
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
    """Each run, one after the other, written to its file as soon as it ends.

    A run whose file is there is not repeated if it is complete, and goes on where it stopped if it is not.

    Args:
        progress: is told how far each run is.
        warn: is told what went wrong and was left for later.
        force: runs anew what has a file.

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
        model: a module; a function that builds one, called with the values of `set.KEY`; or a name as
            `snnprof profile` takes it.
        batches: one tensor (one batch), or an iterable of x or (x, label), as for `profile`; of a model by name also a
            source such as `digits`, or null for the data that it was made for.
        over: settings and their values: `timesteps`, `threshold`, `threshold.LAYERS`, `input_rate`, `checkpoint`,
            `seed`, `set.KEY`. Curves are drawn over the first; the others tell families apart.
        hardware: a price list, its id or its YAML file; or a list of them.
        convention: a convention or its id.
        folder: keeps each run in a file here, and goes on with what is there; models by name only.
        options: further arguments of `profile`; of a model by name, fields of `snnprof.options.ProfileOptions`.

    Returns:
        The curves, with the Pareto front and the energies at equal accuracy. `sweep.comparison` has the runs side by
        side. After Ctrl-C, of the runs that were complete.

    Raises:
        SnnprofError: a setting or a value is wrong, the model has no such setting, or what `profile` raises.
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
    if batches is None or isinstance(batches, str):
        raise SnnprofError("a sweep of a module needs batches: a tensor, or an iterable of x or (x, label)")
    again = list(batches) if isinstance(batches, Iterator) else batches  # a generator gives its batches once
    known = ProfileOptions(model="", timesteps=options.get("timesteps"), seed=options.get("seed", 0))
    for point in points:
        asked = point.options(known)
        settings = {key: models.yaml_value(value) for key, value in asked.settings}
        with _module(model, settings, asked, options.get("neuron", ())) as module:
            given = {**options, "seed": asked.seed, "timesteps": asked.timesteps}
            coded = again if asked.input_rate is None else _coded(again, asked, given)
            activity = profile(module, coded, **given)
        yield _with_conditions(activity, asked)


@contextmanager
def _module(
    model: nn.Module | Callable[..., nn.Module],
    settings: Mapping[str, Any],
    asked: ProfileOptions,
    named: Sequence[str],
) -> Iterator[nn.Module]:
    """The model with the settings of one run; a module that the caller holds is put back afterwards."""
    if settings and isinstance(model, nn.Module):
        raise SnnprofError(
            f"set.{next(iter(settings))} is an argument of the function that builds the model, and this is a module",
            hint="pass the function instead",
        )
    module = model if isinstance(model, nn.Module) else model(**settings)
    with ExitStack() as undo:
        if asked.checkpoint is not None:
            before = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
            undo.callback(module.load_state_dict, before)
            checkpoints.load_into(module, checkpoints.read(asked.checkpoint), type(module).__name__)
        undo.callback(set_thresholds(module, asked.thresholds, named))
        if asked.timesteps is not None:
            undo.callback(_set_steps(module, asked.timesteps))
        yield module


def _set_steps(module: nn.Module, timesteps: int) -> Callable[[], None]:
    """Sets T where the model keeps it in an attribute; elsewhere `profile` sees whether the model follows."""
    name = next((name for name in STEPS if type(getattr(module, name, None)) is int), None)
    if name is None:
        return lambda: None
    before = getattr(module, name)
    setattr(module, name, timesteps)
    return lambda: setattr(module, name, before)


def _coded(batches: Any, asked: ProfileOptions, given: Mapping[str, Any]) -> Iterator[Any]:
    """The batches as spikes of the rate asked for."""
    items = [batches] if isinstance(batches, Tensor) else batches
    source = IterableDataset(items, "user data", given.get("layout", "batch"), given.get("timesteps"))
    assert asked.input_rate is not None
    for batch in RateCoded(source, asked.input_rate, given["seed"]).batches(Sampler(1), lambda number, start: True):
        yield batch.x if batch.y is None else (batch.x, batch.y)


def _with_conditions(activity: Activity, asked: ProfileOptions) -> Activity:
    """The activity with the settings of its run among its facts, as `snnprof profile` writes them."""
    flags = {
        "--set": " ".join(f"{key}={value}" for key, value in asked.settings),
        "--threshold": " ".join(threshold_text(*each) for each in asked.thresholds),
        "--input-rate": "" if asked.input_rate is None else str(asked.input_rate),
    }
    run = activity.run
    conditions = {**run.conditions, **{flag: text for flag, text in flags.items() if text}}
    model = run.model
    if asked.checkpoint is not None:
        weights = checkpoints.read(asked.checkpoint)
        model = model.model_copy(update={"checkpoint": weights.path.name, "sha256": weights.sha256})
    return activity.model_copy(update={"run": run.model_copy(update={"conditions": conditions, "model": model})})
