"""Loads models: turns `NAME[:PRESET]`, `FILE.py:FUNCTION`, `package.module:ATTR` or `FILE.nir` into a module."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
import yaml
from torch import nn

from snnprof import catalogue
from snnprof.activity import ModelFacts
from snnprof.catalogue import ModelEntry, Preset
from snnprof.errors import SnnprofError, unknown
from snnprof.options import is_graph
from snnprof.workload import checkpoints, nir_network, recognition
from snnprof.workload.checkpoints import Checkpoint, WeightsFile
from snnprof.workload.settings import must_suit

WEIGHTLESS = {"timesteps"}  # settings that may change while the shipped weights still fit
UNTRAINED = "No checkpoint given. If the model is untrained, rates and energies are meaningless."
_LOADED: WeakKeyDictionary[nn.Module, tuple[ModelFacts, str]] = WeakKeyDictionary()
"""For each module that `load_model` returned and that is still alive: its facts and the digest of its weights."""
FORMS = "NAME[:PRESET], FILE.py:FUNCTION, package.module:ATTR or FILE.nir"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, and the known facts about it; None for what is unknown.

    Attributes:
        module: the model, in evaluation mode, on the CPU.
        facts: the model's facts for the run file; `note` says so if its weights are random.
        timesteps: T.
        layout: first axes of its input (`batch`, `time-batch`, `batch-time`, `step`).
        input_shape: shape of one sample, without the batch axis; for event models, T is its first axis.
        classes: number of outputs.
        entry: the entry of the catalogue, for bundled models.
        preset: the preset of that entry, for bundled models.
    """

    module: nn.Module
    facts: ModelFacts
    timesteps: int | None = None
    layout: str | None = None
    input_shape: list[int] | None = None
    classes: int | None = None
    entry: ModelEntry | None = None
    preset: Preset | None = None


def load_model(spec: str, settings: Mapping[str, Any] | None = None, checkpoint: str | Path | None = None) -> nn.Module:
    """Builds a model and loads its weights.

    `snnprof.profile` recognises the returned module and writes its name and checkpoint to the run file.

    Args:
        spec: `NAME[:PRESET]` for a bundled model (`snnprof models list` lists them), `FILE.py:FUNCTION` or
            `package.module:ATTR` for a module or a function that returns one, or `FILE.nir` for a graph in the
            Neuromorphic Intermediate Representation.
        settings: keyword arguments of the function that builds the model. A string is parsed as YAML: `"4"` is a
            number, `"[3, 4]"` a list.
        checkpoint: a file with a state dict, or `FILE:KEY` for one of several in a file. None takes the weights shipped
            with the preset, if there are any and the settings fit them; otherwise the weights stay as the model's code
            initialises them (seed 0). A NIR graph holds its own weights and takes no checkpoint.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        SnnprofError: the name, file, function, setting or checkpoint is wrong, or the model's own code failed.
    """
    loaded = resolve(spec, settings, checkpoint)
    _LOADED[loaded.module] = (loaded.facts, digest(loaded.module))
    return loaded.module


def facts_of(module: nn.Module) -> ModelFacts | None:
    """The facts of a module that `load_model` returned; None for any other module.

    If its weights have changed since then, the facts name no checkpoint, and their note says why.
    """
    if module not in _LOADED:
        return None
    facts, before = _LOADED[module]
    if digest(module) == before:
        return facts
    note = " ".join(filter(None, [facts.note, "Its weights were changed after it was loaded."]))
    return facts.model_copy(update={"checkpoint": None, "sha256": None, "note": note})


def digest(model: nn.Module) -> str:
    """A digest of the names, shapes and bytes of all parameters and buffers: equal if the weights are equal."""
    found = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if tensor.layout is torch.strided and not tensor.is_quantized:
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def resolve(
    spec: str,
    settings: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    timesteps: int | None = None,
    layout: str | None = None,
) -> LoadedModel:
    """Builds a model and loads its weights.

    For a name without a preset, the shapes in the checkpoint select the preset; without a checkpoint it is the default
    preset. Without a checkpoint, a preset's shipped weights are loaded, unless the settings change the network. In all
    other cases the weights are random, drawn with `seed`, and the note of the facts says so.

    Args:
        spec: `NAME[:PRESET]`, `FILE.py:FUNCTION`, `package.module:ATTR` or `FILE.nir`.
        settings: keyword arguments of the function that builds the model; a string is parsed as YAML.
        checkpoint: `FILE` or `FILE:KEY`, a state dict to load.
        seed: seed of random weights.
        timesteps: T, for bundled models that have this setting.
        layout: first axes of the input, for NIR graphs, whose file does not say them.

    Raises:
        SnnprofError: the name, file, function, setting or checkpoint is wrong; or the model's own code failed.
    """
    given = {key: yaml_value(value) for key, value in (settings or {}).items()}
    if is_graph(spec):
        return _graph(spec, {"layout": layout, **given} if layout else given, checkpoint)
    weights = None if checkpoint is None else checkpoints.read(checkpoint)
    name, _, rest = spec.partition(":")
    if catalogue.is_known(name):
        if timesteps is not None and "timesteps" in catalogue.preset(name, rest or None).settings:
            given.setdefault("timesteps", timesteps)
        return _known(spec, name, rest or None, given, weights, seed)
    return _foreign(spec, given, weights, seed)


def tokens(model: nn.Module) -> int | None:
    """The number of rows of the embedding that a model begins with; None if it begins with another layer.

    A model begins with its first module that has parameters of its own.
    """
    first = next((module for module in model.modules() if any(True for _ in module.parameters(recurse=False))), None)
    return first.num_embeddings if isinstance(first, nn.Embedding | nn.EmbeddingBag) else None


def untrained(spec: str, settings: Mapping[str, Any] | None = None, seed: int = 0) -> nn.Module:
    """A bundled model with random weights, in training mode, also where trained weights are shipped."""
    name, preset = catalogue.split(spec)
    entry = catalogue.entry(name)
    return _built(_builder(entry), {**entry.presets[preset].settings, **(settings or {})}, spec, seed)


def yaml_value(value: Any) -> Any:
    """Parses the text of a setting as YAML: `4` is a number, `[3, 4]` a list; other values are returned unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _known(
    spec: str, name: str, wanted: str | None, given: dict[str, Any], file: WeightsFile | None, seed: int
) -> LoadedModel:
    """A bundled model with the weights of the user's file, else with shipped ones if they fit, else random ones."""
    entry = catalogue.entry(name)
    weights = None if file is None else recognition.of_entry(file, entry, wanted)
    preset_name, read_off = _chosen_preset(entry, wanted, weights)
    preset = entry.presets[preset_name]
    settings = {**preset.settings, **read_off, **given}
    contradiction = weights and recognition.contradiction(entry, settings, weights)
    if weights and contradiction:
        raise SnnprofError(contradiction, hint=_preset_hint(entry, weights))
    builder = _builder(entry)
    module = _built(builder, settings, f"{name}:{preset_name}", seed)
    must_suit(builder, given, f"{name}:{preset_name}")  # a value of a wrong type may not fail before the run
    shipped = entry.checkpoint_path(preset_name)
    if weights is None and shipped is not None and set(given) <= WEIGHTLESS:
        weights = recognition.of_entry(checkpoints.read(shipped), entry, preset_name)
    if weights is not None:
        checkpoints.load_into(module, weights, f"{name}:{preset_name}", _preset_hint(entry, weights))
    steps = settings.get("timesteps")
    note = _read_off_note(preset_name, read_off) if weights else _random_note(seed, shipped is not None)
    notes = [entry.note if entry.reconstruction else None, note, _unused_note(module, weights)]
    facts = _facts(module, spec, weights, "; ".join(filter(None, notes)) or None, name, preset_name)
    return LoadedModel(
        module=module.eval(),
        facts=facts.model_copy(update={"title": f"{entry.title} {preset_name}"}),
        timesteps=steps,
        layout=entry.layout,
        input_shape=preset.sample_shape(steps),
        classes=settings.get("classes"),
        entry=entry,
        preset=preset,
    )


def _chosen_preset(entry: ModelEntry, wanted: str | None, weights: Checkpoint | None) -> tuple[str, dict[str, Any]]:
    """The preset's full name, and the settings that a checkpoint shows to be others, where no preset was named."""
    if wanted is not None or weights is None:
        return entry.preset_name(wanted), {}
    return recognition.recognised(entry, weights)


def _preset_hint(entry: ModelEntry, weights: Checkpoint) -> str:
    fitting = recognition.fitting_presets(entry, weights.shapes)
    if fitting:
        return f"it fits {' or '.join(f'{entry.name}:{name}' for name in fitting)}"
    known = recognition.sizes(entry, weights) is not None
    return f"name no preset: --model {entry.name} takes the sizes from the checkpoint" if known else ""


def _foreign(spec: str, given: dict[str, Any], file: WeightsFile | None, seed: int) -> LoadedModel:
    """A model from the user's code: a module, or what a function returns."""
    found = find(spec)
    if isinstance(found, nn.Module):
        if given:
            raise SnnprofError(f"{spec} is a finished module; it takes no settings")
        module = found
    else:
        module = _built(found, given, spec, seed)
    weights = None if file is None else checkpoints.load_into(module, file, spec)
    note = _unused_note(module, weights) if weights else UNTRAINED
    return LoadedModel(module.eval(), _facts(module, spec, weights, note, spec.rpartition(":")[2]))


def _graph(spec: str, given: dict[str, Any], checkpoint: str | Path | None) -> LoadedModel:
    """A NIR graph, which holds its own weights."""
    if checkpoint is not None:
        raise SnnprofError(f"{spec} holds its own weights; --checkpoint is for models in code", hint="leave it out")
    path = Path(spec).expanduser()
    build = functools.partial(nir_network.load, path)
    _check_settings(build, given, spec)
    module = build(**given)
    facts = ModelFacts(
        source=spec,
        name=path.stem,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        checkpoint=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        note=module.about,
    )
    classes = module.output_shape[0] if len(module.output_shape) == 1 else None
    return LoadedModel(module.eval(), facts, None, module.layout, list(module.sample_shape), classes)


def find(spec: str) -> Any:
    """Imports the object that `FILE.py:NAME` or `package.module:NAME` names.

    Raises:
        SnnprofError: there is no such file, module or attribute, or its own code failed on import.
    """
    place, colon, attribute = spec.rpartition(":")
    if place.endswith(".py") or spec.endswith(".py"):
        if not colon:
            raise SnnprofError(f"{spec} does not say which function builds the model", hint=f"{spec}:FUNCTION")
        return _attribute(_module_of_file(Path(place)), attribute, spec)
    if not colon or not all(part.isidentifier() for part in place.split(".")):
        raise _no_model(spec)
    return _attribute(_module_of_name(place, spec), attribute, spec)


def _attribute(module: ModuleType, name: str, spec: str) -> Any:
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise unknown("", name, public, owner=spec.rpartition(":")[0])
    return getattr(module, name)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SnnprofError(f"there is no file {path}")
    name = f"_snnprof_file_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise SnnprofError(f"{path} cannot be imported")
    _search_first(path.resolve().parent)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise _failed(f"{path} failed on import", error) from error
    return module


def _module_of_name(name: str, spec: str) -> ModuleType:
    _search_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _no_model(spec) from error
        raise _failed(f"module {name} failed on import", error) from error
    except Exception as error:
        raise _failed(f"module {name} failed on import", error) from error


def _search_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _no_model(spec: str) -> SnnprofError:
    place = spec.partition(":")[0]
    if "." in place or "/" in place:
        return SnnprofError(f"there is no module {place!r} for the model {spec}", hint=f"a model is {FORMS}")
    return unknown("model", place, catalogue.names(), catalogue.SEE)


def _failed(what: str, error: Exception) -> SnnprofError:
    return SnnprofError(f"{what}: {type(error).__name__}: {error}", hint="--debug shows the traceback")


def _builder(entry: ModelEntry) -> Callable[..., Any]:
    builder: Callable[..., Any] = find(entry.builder)
    return builder


def _built(builder: Any, settings: Mapping[str, Any], spec: str, seed: int) -> nn.Module:
    """Calls the function that builds a model; random weights are drawn with the seed."""
    if not callable(builder):
        raise SnnprofError(f"{spec} is a {type(builder).__name__}, neither a module nor a function that returns one")
    _check_settings(builder, settings, spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            built = builder(**settings)
        except SnnprofError:
            raise
        except Exception as error:
            must_suit(
                builder, settings, spec
            )  # a value of a wrong type is the likeliest reason, and has a clear message
            raise _failed(f"building {spec} failed", error) from error
    if not isinstance(built, nn.Module):
        raise SnnprofError(f"{spec} returned a {type(built).__name__}, not an nn.Module")
    return built


def _check_settings(builder: Callable[..., Any], settings: Mapping[str, Any], spec: str) -> None:
    """Raises SnnprofError for a setting that the builder does not take, or one that it needs and does not get."""
    parameters = inspect.signature(builder).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in settings:
        if key not in parameters:
            raise unknown("setting", key, parameters, owner=spec)
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in settings
    ]
    if needed:
        raise SnnprofError(f"{spec} needs a value for {', '.join(needed)}", hint=f"--set {needed[0]}=VALUE")


def _read_off_note(preset: str, read_off: Mapping[str, Any]) -> str | None:
    if not read_off:
        return None
    shown = ", ".join(f"{key} = {value}" for key, value in read_off.items())
    return f"derived from the checkpoint: {shown}; everything else, including heads and T, is assumed as in {preset}"


def _random_note(seed: int, shipped: bool) -> str:
    why = "the shipped weights belong to other settings; " if shipped else ""
    return f"{why}weights are random (seed {seed}), not trained: rates and energies are meaningless"


def _unused_note(module: nn.Module, weights: Checkpoint | None) -> str | None:
    """A note on the entries of the checkpoint that the model does not use; None if it uses all of them."""
    return None if weights is None else checkpoints.notes(checkpoints.shapes_of(module), weights) or None


def _facts(
    module: nn.Module,
    spec: str,
    weights: Checkpoint | None,
    note: str | None,
    name: str,
    preset: str | None = None,
) -> ModelFacts:
    return ModelFacts(
        source=spec,
        name=name,
        preset=preset,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        checkpoint=None if weights is None else _checkpoint_name(weights),
        sha256=None if weights is None else weights.sha256,
        note=note,
    )


def _checkpoint_name(weights: Checkpoint) -> str:
    """The name of the file, with the key of the state dict if the file holds several."""
    return weights.path.name + weights.name.removeprefix(str(weights.path))
