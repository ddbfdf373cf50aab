"""fvcore's FLOPs per layer: an independent look at the same forward pass, and the FLOPs of the papers' formula."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from typing import Any

import torch
from torch import nn

from snnprof.activity import Activity, LayerFlops

CONTRACTIONS = frozenset(f"aten::{name}" for name in "addmm bmm _convolution matmul mm linear einsum".split())


def layer_flops(model: nn.Module, inputs: Any, repeats: int = 1) -> list[LayerFlops] | None:
    """FLOPs (1 FLOP = 1 MAC) of each module itself, without its children, for one sample.

    Only contractions count; batch norm and other element-wise work is left out. The model is traced once in
    evaluation mode under its current state, which the caller resets.

    Args:
        model: the network.
        inputs: what its forward takes, for one sample.
        repeats: how often the caller runs it per sample (T in a loop over steps).

    Returns:
        The layers with FLOPs, or None where fvcore cannot trace the model.
    """
    try:
        totals = _by_module(model, inputs)
    except Exception:  # fvcore and the tracer fail in as many ways as there are models
        return None
    own = {name: flops - _of_children(model, name, totals) for name, flops in totals.items()}
    return [LayerFlops(layer=name, flops=int(flops) * repeats) for name, flops in own.items() if flops > 0]


def coverage(activity: Activity) -> float | None:
    """Σ min(ours, fvcore) / Σ fvcore over modules; null where fvcore saw nothing."""
    total = sum(entry.flops for entry in activity.layers)
    if not total or not activity.samples:
        return None
    ours: Counter[str] = Counter()
    for op in activity.ops:
        ours[op.layer] += op.dense_macs
    seen = sum(min(ours[entry.layer] / activity.samples, entry.flops) for entry in activity.layers)
    return float(seen / total)


def _by_module(model: nn.Module, inputs: Any) -> Counter[str]:
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with _quiet(), torch.no_grad():
        from fvcore.nn import FlopCountAnalysis  # its import warns as well

        analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        for name in set(analysis._op_handles) - CONTRACTIONS:
            analysis.set_op_handle(name, lambda inputs, outputs: 0)
        return Counter(analysis.by_module())


def _of_children(model: nn.Module, name: str, totals: Counter[str]) -> int:
    prefix = f"{name}." if name else ""
    children = [prefix + child for child, _ in model.get_submodule(name).named_children()]
    return sum(totals.get(child, 0) for child in children)


@contextlib.contextmanager
def _quiet() -> Any:
    """The tracer talks to standard output and by warnings; neither is the user's business."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
