"""Weights from files: reads a state dict without running any code in it, and says how it fits a model."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snnprof import capacity
from snnprof.errors import SnnprofError
from snnprof.workload.catalogue import ModelEntry

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "state_dict_ema", "model_ema")
PREFIXES = ("module.", "_orig_mod.", "model.")
SHOWN = 3
RESAVE = "save its state dict: torch.save(model.state_dict(), FILE)"

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Checkpoint:
    """A state dict read from a file.

    Attributes:
        path: the file.
        state: parameters and buffers by name.
        facts: what else the file says about itself (preset, seed, accuracy, epoch, …), plain values only.
        sha256: of the file.
    """

    path: Path
    state: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def shapes(self) -> dict[str, list[int]]:
        return {name: list(tensor.shape) for name, tensor in self.state.items()}


def read(path: str | Path) -> Checkpoint:
    """Reads a `.pt`, `.pth` or `.safetensors` file.

    Raises:
        SnnprofError: the file is missing, cut short, would not fit in memory, holds code, or holds no state dict.
    """
    path = Path(path)
    digest = _sha256(path)
    capacity.must_unpack(path)
    content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    state, facts = _unwrapped(content, path)
    return Checkpoint(path, _unprefixed(state), facts, digest)


def load_into(model: nn.Module, checkpoint: Checkpoint, name: str, hint: str = "") -> None:
    """Loads every weight.

    Raises:
        SnnprofError: names or shapes differ; the message names the first of each kind and counts them. Or a weight is
            no finite number: what such a network does says nothing.
    """
    problems = differences(shapes_of(model), checkpoint.shapes)
    if problems:
        raise SnnprofError(f"checkpoint {checkpoint.path} does not fit {name}: {problems}", hint=hint)
    model.load_state_dict(checkpoint.state)
    if broken := _not_finite(model):
        raise SnnprofError(
            f"checkpoint {checkpoint.path} holds NaN or infinity in {_first(broken)}",
            hint="its training diverged, or the file is damaged",
        )


def _not_finite(model: nn.Module) -> list[str]:
    """Parameters with NaN or infinity, and buffers with NaN: a buffer may be an attention mask, which is infinite."""
    broken = [name for name, tensor in model.named_parameters() if not bool(torch.isfinite(tensor).all())]
    return broken + [name for name, tensor in model.named_buffers() if bool(torch.isnan(tensor).any())]


def shapes_of(model: nn.Module) -> dict[str, list[int]]:
    """The names and shapes of a model's parameters and buffers."""
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def differences(wanted: Shapes, given: Shapes) -> str:
    """How two state dicts differ, in one line; "" where they do not."""
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    others = [
        f"{name} is {list(given[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in given and list(given[name]) != list(shape)
    ]
    named = {"missing": missing, "unexpected": unexpected, "of another shape": others}
    return "; ".join(f"{len(found)} {what} ({_first(found)})" for what, found in named.items() if found)


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
    return (exact[0], {}) if exact else _nearest(entry, checkpoint)


def contradiction(entry: ModelEntry, settings: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """What a checkpoint's shapes say against the settings asked for, in one line; "" where they agree."""
    shown = _settings_from(entry, checkpoint.shapes)
    wrong = [key for key, value in shown.items() if settings.get(key, value) != value]
    if not wrong or not _fits(entry, {**settings, **shown}, checkpoint.shapes):
        return ""
    has, asked = (", ".join(f"{key} = {values[key]}" for key in wrong) for values in (shown, settings))
    return f"checkpoint {checkpoint.path} has {has}, not {asked}"


def _nearest(entry: ModelEntry, checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    read_off = _settings_from(entry, checkpoint.shapes)
    ranked = _nearest_first(entry, read_off)
    for name in ranked:
        changed = {key: value for key, value in read_off.items() if entry.presets[name].settings.get(key) != value}
        if _fits(entry, {**entry.presets[name].settings, **changed}, checkpoint.shapes):
            return name, changed
    raise SnnprofError(
        f"checkpoint {checkpoint.path} holds no {entry.title}", hint=f"see 'snnprof models show {entry.name}'"
    )


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
    module, _, function = entry.builder.partition(":")
    try:
        with torch.device("meta"):
            model = getattr(importlib.import_module(module), function)(**settings)
    except (SnnprofError, TypeError):
        return False
    return not differences(shapes_of(model), shapes)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for piece in iter(lambda: stream.read(1 << 20), b""):
                digest.update(piece)
    except OSError as error:
        raise SnnprofError(f"cannot read checkpoint {path}: {(error.strerror or 'unknown error').lower()}") from error
    return digest.hexdigest()


def _safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise SnnprofError(
            f"reading {path} needs the safetensors package", hint="pip install 'snnprof[safetensors]'"
        ) from error
    try:
        return load_file(path)
    except Exception as error:
        raise SnnprofError(f"checkpoint {path} is damaged or is no safetensors file") from error


def _pickled(path: Path) -> Any:
    """The content of a torch file; argparse's Namespace, which training scripts store, holds no code."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of tensors, which are refused where they matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise SnnprofError(
                f"checkpoint {path} holds pickled code besides weights, which is not run", hint=RESAVE
            ) from error
        raise _damaged(path) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OSError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> SnnprofError:
    return SnnprofError(f"checkpoint {path} is cut short, damaged or no PyTorch file")


def _unwrapped(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict inside training scripts' wrappers, and the plain values beside it."""
    facts: dict[str, Any] = {}
    while isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            break
        facts |= {key: value for key, value in content.items() if isinstance(value, (str, int, float))}
        content = content[wrapper]
    else:
        raise SnnprofError(f"checkpoint {path} holds {_named(content)}, not a state dict", hint=RESAVE)
    if not tensors:
        raise SnnprofError(f"checkpoint {path} holds no weights", hint=RESAVE)
    if odd := [name for name, tensor in tensors.items() if not _plain(tensor)]:
        raise SnnprofError(
            f"checkpoint {path} holds sparse, quantised, complex or empty weights: {_first(odd)}", hint=RESAVE
        )
    return tensors, facts


def _plain(tensor: Tensor) -> bool:
    """Whether its numbers can be copied into a parameter; a tensor on `meta` has none."""
    return tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_complex())


def _named(content: Any) -> str:
    return "a tensor" if isinstance(content, Tensor) else f"a {type(content).__name__}"


def _unprefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that DataParallel and torch.compile put before every name."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _unprefixed({name.removeprefix(prefix): tensor for name, tensor in state.items()})
    return state


def _first(found: Iterable[str]) -> str:
    names = list(found)
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
