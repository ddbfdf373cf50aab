"""Which model of the catalogue a state dict belongs to, and of what size, read off its names and shapes."""

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
    """The state dict of a file that a model of the catalogue fits, of whatever size; where none does, the nearest one.

    Raises:
        SnnprofError: several fit, and hold different weights.
    """
    return nearest(file, preset_shapes(entry, preset), lambda found: sizes(entry, found) is not None)


def fitting_presets(entry: ModelEntry, shapes: Shapes) -> list[str]:
    """The presets whose state dict has exactly these names and shapes."""
    return [name for name, preset in entry.presets.items() if _fits(entry, preset.settings, shapes)]


def recognised(entry: ModelEntry, checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """The preset a checkpoint belongs to, and the settings in which it departs from it.

    Depth, width, classes and channels are read off the shapes. Heads and T leave no trace in them and are those of
    the preset.

    Raises:
        SnnprofError: no preset or several fit, whatever their depth, width and classes.
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
    """What a checkpoint's shapes say against the settings asked for, in one line; "" where they agree."""
    shown = _settings_from(entry, checkpoint.shapes)
    wrong = [key for key, value in shown.items() if settings.get(key, value) != value]
    if not wrong or not _fits(entry, {**settings, **shown}, checkpoint.shapes):
        return ""
    has, asked = (", ".join(f"{key} = {values[key]}" for key in wrong) for values in (shown, settings))
    return f"checkpoint {checkpoint.path} has {has}, not {asked}"


def sizes(entry: ModelEntry, checkpoint: Checkpoint) -> tuple[str, dict[str, Any]] | None:
    """The preset nearest to a checkpoint, and the settings in which it departs from it; None where none fits."""
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
    """What a model's own `settings_from(shapes)` reads off a state dict; nothing where it has no such function."""
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
    """Names and shapes of a preset's weights; of the default one's where none is named."""
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
