"""FLOPs per layer from fvcore: a cross-check of our MACs, and the FLOPs in the formula of the papers.

fvcore traces the model. Tracing can abort the Python process (if the model catches an exception of one of its modules),
and a failed trace leaves hooks on the modules. So the trace runs in a forked child process where that is possible: on
Linux, and with no CUDA device in use, since a device cannot be used after a fork. Elsewhere it runs in this process,
and the hooks are restored.
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
"""The time limit of the child process in seconds."""
_HOOKS = tuple(name for name in nn.Module().__dict__ if name.startswith(("_forward_hooks", "_forward_pre_hooks")))


def layer_flops(model: nn.Module, inputs: Any, repeats: int = 1) -> list[LayerFlops] | None:
    """The FLOPs (1 FLOP = 1 MAC) of each module itself, without its children, for one sample.

    Only contractions count; batch norm and other element-wise work are left out. The model is traced once, in the mode
    and from the state that it has; the caller sets both.

    Args:
        model: the network.
        inputs: the arguments of its `forward` for one sample.
        repeats: how often the caller runs the model per sample (T in a loop over time steps).

    Returns:
        The layers with FLOPs; None if fvcore cannot trace the model.
    """
    totals = _in_a_child(model, inputs) if _can_fork(model, inputs) else _here(model, inputs)
    if totals is None:
        return None
    own = {name: flops - _of_children(model, name, totals) for name, flops in totals.items()}
    return [LayerFlops(layer=name, flops=int(flops) * repeats) for name, flops in own.items() if flops > 0]


def coverage(activity: Activity) -> float | None:
    """The share of fvcore's MACs that snnprof counts too: Σ min(ours, fvcore) / Σ fvcore over modules.

    None if fvcore saw no operation.
    """
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
    """The FLOPs by module that a child process finds; None if it could not trace, died, or took too long."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads; `_report` deals with them
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
        with contextlib.suppress(OSError):  # the program may have waited for all its children already
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return None if found is None else Counter(found)


def _report(model: nn.Module, inputs: Any, writing: int) -> None:
    """Traces the model in the child process, writes the result to the pipe, and ends the process.

    A fork copies only the calling thread, so PyTorch's compute threads are missing in the child: with the number of
    threads set to 1, PyTorch does not use them. Garbage collection is off and the process ends by `os._exit`, so that
    no finaliser in the child closes what the parent still uses, such as a loader's workers or a connection.
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
    """Reads a pipe until it is closed; returns nothing if that takes until the deadline."""
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
    except Exception:  # fvcore and the tracer raise errors of any kind
        return None


@contextlib.contextmanager
def _hooks_kept(model: nn.Module) -> Iterator[None]:
    """Restores the hooks of all modules at the end."""
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
    """fvcore's FLOPs of each module together with its children; operators other than contractions count 0."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with _quiet(), torch.no_grad():
        from fvcore.nn import FlopCountAnalysis  # imported here, since the import warns too

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
    """Suppresses warnings and standard output of the tracer, which mean nothing to the user."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
