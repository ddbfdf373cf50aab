"""Recognises the bundled model and preset of a state dict by its names and shapes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch

from snnprof import catalogue
from snnprof.catalogue import ModelEntry
from snnprof.errors import SnnprofError
from snnprof.workload.fitting import Checkpoint, Shapes, differences, nearest, readings, shapes_of
from snnprof.workload.weights_file import WeightsFile


def of_entry(file: WeightsFile, entry: ModelEntry, preset: str | None) -> Checkpoint:
    """The state dict of a file that fits a bundled model in any size; if none fits, the nearest one.

    Raises:
        SnnprofError: several fit and hold different weights.
    """
    return nearest(file, preset_shapes(entry, preset), lambda found: sizes(entry, found) is not None)


def fitting_presets(entry: ModelEntry, shapes: Shapes) -> list[str]:
    """The presets of a model whose state dict fits these names and shapes."""
    return [name for name, preset in entry.presets.items() if _fits(entry, preset.settings, shapes)]


def recognised(entry: ModelEntry, checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """The preset to which a checkpoint belongs, and the settings in which the checkpoint differs from it.

    Depth, width, classes and channels follow from the shapes. The number of heads and T do not, and are taken from the
    preset.

    Raises:
        SnnprofError: several presets fit, or none in any depth, width or number of classes.
    """
    shapes = checkpoint.shapes
    exact = fitting_presets(entry, shapes)
    said = str(checkpoint.facts.get("preset", "")).removeprefix(f"{entry.name}:")
    if said in exact:
        return said, {}
    if len(exact) > 1:
        raise SnnprofError(
            f"checkpoint {checkpoint.path} fits several presets of {entry.name}", hint=f"name one: {', '.join(exact)}"
        )
    found = (exact[0], {}) if exact else sizes(entry, checkpoint)
    if found is None:
        problems = differences(preset_shapes(entry, None), shapes)
        raise misfit(checkpoint, entry.title.partition(" (")[0], problems, f"see 'snnprof models show {entry.name}'")
    return found


def contradiction(entry: ModelEntry, settings: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """How the shapes of a checkpoint contradict the settings, in one line; "" if they agree."""
    shown = _settings_from(entry, checkpoint.shapes)
    wrong = [key for key, value in shown.items() if settings.get(key, value) != value]
    if not wrong or not _fits(entry, {**settings, **shown}, checkpoint.shapes):
        return ""
    has, wanted = (", ".join(f"{key} = {values[key]}" for key in wrong) for values in (shown, settings))
    return f"checkpoint {checkpoint.path} has {has}, not {wanted}"


def sizes(entry: ModelEntry, checkpoint: Checkpoint) -> tuple[str, dict[str, Any]] | None:
    """The nearest preset that fits a checkpoint, and the settings in which it differs; None if none fits."""
    read_off = _settings_from(entry, checkpoint.shapes)
    ranked = _nearest_first(entry, read_off)
    for name in ranked:
        changed = {key: value for key, value in read_off.items() if entry.presets[name].settings.get(key) != value}
        if _fits(entry, {**entry.presets[name].settings, **changed}, checkpoint.shapes):
            return name, changed
    return None


def _nearest_first(entry: ModelEntry, settings: Mapping[str, Any]) -> list[str]:
    def shared(name: str) -> int:
        own = entry.presets[name].settings
        return sum(own.get(key) == value for key, value in settings.items())

    return sorted(entry.presets, key=shared, reverse=True)


def _settings_from(entry: ModelEntry, shapes: Shapes) -> dict[str, Any]:
    """The settings that the model's function `settings_from(shapes)` infers; none if it has no such function."""
    module = importlib.import_module(entry.builder.partition(":")[0])
    try:
        return dict(module.settings_from(shapes))
    except (AttributeError, KeyError, IndexError):
        return {}


def _fits(entry: ModelEntry, settings: Mapping[str, Any], shapes: Shapes) -> bool:
    try:
        return not differences(_shapes_with(entry, settings), shapes)
    except (SnnprofError, TypeError):
        return False


def _shapes_with(entry: ModelEntry, settings: Mapping[str, Any]) -> Shapes:
    module, _, function = entry.builder.partition(":")
    with torch.device("meta"):
        return shapes_of(getattr(importlib.import_module(module), function)(**settings))


def preset_shapes(entry: ModelEntry, preset: str | None) -> Shapes:
    """Names and shapes of the weights of a preset; None is the default preset."""
    return _shapes_with(entry, entry.preset(preset).settings)


def misfit(
    found: Checkpoint, name: str, problems: str, hint: str = "", file: WeightsFile | None = None
) -> SnnprofError:
    """The error for a checkpoint that does not fit a model; names the catalogue's model that it fits.

    Args:
        found: the state dict that came nearest.
        name: of the model that it does not fit.
        problems: how the two differ.
        hint: what to do where no other model fits.
        file: all state dicts of the file; by default the nearest one alone.
    """
    text = f"{found.name} does not fit {name}: {problems}"
    looks_like, model = _looks_like(file or WeightsFile(found.path, {"": found.state}))
    if not model:
        return SnnprofError(text, hint=hint)
    return SnnprofError(f"{text}. It looks like {looks_like}.", hint=f"--model {model}")


def _looks_like(file: WeightsFile) -> tuple[str, str]:
    """Which model of the catalogue fits these weights, in words, and as `--model` takes it; empty where none does."""
    for name in catalogue.names():
        entry = catalogue.entry(name)
        for reading in readings(file, preset_shapes(entry, None)):
            found = sizes(entry, reading)
            if found is not None:
                exact = [f"{name}:{preset}" for preset in fitting_presets(entry, reading.shapes)]
                preset, changed = found
                settings = ", ".join(f"{key} = {value}" for key, value in changed.items())
                return (" or ".join(exact), exact[0]) if exact else (f"{name}:{preset} with {settings}", name)
    return "", ""
