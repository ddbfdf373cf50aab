"""Loads weights from files into models."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import nn

from snnprof.errors import SnnprofError
from snnprof.workload import pickled
from snnprof.workload.fitting import Checkpoint, differences, left_over, nearest, shapes_of
from snnprof.workload.recognition import misfit
from snnprof.workload.weights_file import State, WeightsFile, first, read

__all__ = ["Checkpoint", "WeightsFile", "load_into", "notes", "read", "shapes_of"]


def load_into(model: nn.Module, weights: WeightsFile | Checkpoint, name: str, hint: str = "") -> Checkpoint:
    """Loads weights into a model.

    Args:
        model: the model.
        weights: a file, from which the state dict that fits is taken, or a state dict.
        name: name of the model, for messages.
        hint: advice for the message if the weights do not fit.

    Returns:
        The state dict that was loaded.

    Raises:
        SnnprofError: names or shapes differ; the message counts them, shows the first of each kind, and names the model
            whose weights they are. Or a weight is not finite, so that the network's activity would mean nothing.
    """
    shapes = shapes_of(model)
    if isinstance(weights, Checkpoint):
        found = weights
    else:
        found = nearest(weights, shapes, lambda reading: not differences(shapes, reading.shapes))
    if problems := differences(shapes, found.shapes):
        raise misfit(found, name, problems, hint, weights if isinstance(weights, WeightsFile) else None)
    state = {key: found.state[key] for key in shapes if key in found.state}
    _must_be_plain(state, found.path)
    model.load_state_dict(state, strict=False)
    if broken := _not_finite(model):
        raise SnnprofError(
            f"checkpoint {found.path} holds NaN or infinity in {first(broken)}",
            hint="its training diverged, or the file is damaged",
        )
    return found


def notes(wanted: Collection[str], found: Checkpoint) -> str:
    """A note on entries of the checkpoint that are not used and of the model that it lacks; "" if it fits exactly."""
    left = left_over(wanted, found.shapes)
    lacking = [name for name in wanted if name not in found.state]
    parts = []
    if left:
        parts.append(f"{_entries(left)} of the checkpoint not used: {first(left)}")
    if lacking:
        parts.append(f"{_entries(lacking)} not in the checkpoint and not needed for evaluation: {first(lacking)}")
    return "; ".join(parts)


def _entries(names: Sequence[str]) -> str:
    return "1 entry" if len(names) == 1 else f"{len(names)} entries"


def _must_be_plain(state: State, path: Path) -> None:
    """Raises SnnprofError unless all weights are dense and real, so that their values can be copied."""
    odd = [
        name for name, tensor in state.items()
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex()
    ]  # fmt: skip
    if odd:
        raise SnnprofError(
            f"checkpoint {path} holds sparse, quantised, complex or empty weights: {first(odd)}", hint=pickled.RESAVE
        )


def _not_finite(model: nn.Module) -> list[str]:
    """Names of parameters with NaN or infinity and of buffers with NaN; an attention mask may hold infinity."""
    broken = [name for name, tensor in model.named_parameters() if not bool(torch.isfinite(tensor).all())]
    return broken + [name for name, tensor in model.named_buffers() if bool(torch.isnan(tensor).any())]
