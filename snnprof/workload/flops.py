"""fvcore's FLOPs per layer: an independent look at the same forward pass, and the FLOPs of the papers' formula.

The trace that they are taken from has aborted Python, where a model goes on after an exception in one of its modules,
and a failed one leaves hooks behind. So it is made in a child process where one can be forked: without a device, which
does not outlive a fork, and on Linux, whose libraries do. Elsewhere it is made here, and the hooks are put back.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import json
import logging
import os
import select
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from snnprof.activity import Activity, LayerFlops
from snnprof.record.layers import modules_of
from snnprof.record.overloads import tensors_in

CONTRACTIONS = frozenset(f"aten::{name}" for name in "addmm bmm _convolution matmul mm linear einsum".split())
LIMIT_S = 300.0
"""After so long a child is given up."""
_HOOKS = tuple(name for name in nn.Module().__dict__ if name.startswith(("_forward_hooks", "_forward_pre_hooks")))


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
    totals = _in_a_child(model, inputs) if _can_fork(model, inputs) else _here(model, inputs)
    if totals is None:
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


def _can_fork(model: nn.Module, inputs: Any) -> bool:
    if not sys.platform.startswith("linux") or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    own = ([*module._parameters.values(), *module._buffers.values()] for module in modules_of(model).values())
    return all(tensor.device.type in ("cpu", "meta") for tensor in tensors_in([inputs, *own]))


def _in_a_child(model: nn.Module, inputs: Any) -> Counter[str] | None:
    """What a child process finds; None where it found nothing, died, or took too long."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: see `_report`
        child = os.fork()
    if child == 0:
        _report(model, inputs, writing)
    os.close(writing)
    try:
        found = json.loads(_all_of(reading, time.monotonic() + LIMIT_S))
    except ValueError:
        return None
    finally:
        os.close(reading)
        with contextlib.suppress(OSError):  # whoever waits for all children may have been first
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return None if found is None else Counter(found)


def _report(model: nn.Module, inputs: Any, writing: int) -> None:
    """Writes what is found, and ends this process, which is a child.

    It goes on alone: the threads that compute beside the parent's are not there. With one thread PyTorch asks for
    none, and what ends with an object that others still use (a loader's workers, a connection) does not end here.
    """
    try:
        gc.disable()
        faulthandler.disable()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        torch.set_num_threads(1)
        with open(writing, "w", encoding="utf-8") as report:
            json.dump(_here(model, inputs), report)
    finally:
        os._exit(0)


def _all_of(reading: int, deadline: float) -> bytes:
    """What a pipe holds until it is closed; nothing where that takes too long."""
    parts: list[bytes] = []
    while select.select([reading], [], [], max(deadline - time.monotonic(), 0))[0]:
        part = os.read(reading, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""


def _here(model: nn.Module, inputs: Any) -> Counter[str] | None:
    try:
        with _hooks_kept(model):
            return _by_module(model, inputs)
    except Exception:  # fvcore and the tracer fail in as many ways as there are models
        return None


@contextlib.contextmanager
def _hooks_kept(model: nn.Module) -> Iterator[None]:
    """All modules have the hooks at the end that they had before."""
    hooks = [
        (own[name], dict(own[name]))
        for own in (module.__dict__ for module in modules_of(model).values())
        for name in _HOOKS
        if name in own
    ]
    try:
        yield
    finally:
        for held, before in hooks:
            if held != before:
                held.clear()
                held.update(before)


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
    children = [prefix + child for child, _ in nn.Module.named_children(model.get_submodule(name))]
    return sum(totals.get(child, 0) for child in children)


@contextlib.contextmanager
def _quiet() -> Any:
    """The tracer talks to standard output and by warnings; neither is the user's business."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
