"""Records the attention of a running model by forward hooks on its `AttentionMap` modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from snnprof.errors import SnnprofError
from snnprof.maps import KINDS, LayerMaps
from snnprof.record.layers import modules_of

SHOWN_BY = "AttentionMap"
Hook = Callable[[nn.Module, object, Tensor], None]


class AttentionTap:
    """The attention that passed the `AttentionMap` modules of a model; see models/attention_map.py."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, list[Tensor]]] = {}

    def maps(self, samples: int) -> tuple[LayerMaps, ...]:
        """The maps of the first samples, layer by layer; for a module that ran several times, the mean of its calls."""
        return tuple(
            LayerMaps(layer, kind, (sum(calls[1:], calls[0]) / len(calls))[:samples].cpu().numpy())
            for layer, (kind, calls) in self._seen.items()
        )

    def note(self, layer: str, kind: str, passing: Tensor) -> None:
        """Keeps the attention of one call, [T, B, heads or channels, ...], averaged over T and heads or channels."""
        self._seen.setdefault(layer, (kind, []))[1].append(passing.detach().float().mean((0, 2)))


@contextmanager
def tapped(model: nn.Module) -> Iterator[AttentionTap]:
    """Records the attention of a model.

    Yields:
        The tap, which holds the maps after a forward pass.

    Raises:
        SnnprofError: the model has no `AttentionMap` module.
    """
    shown = {name: module for name, module in modules_of(model).items() if type(module).__name__ == SHOWN_BY}
    if not shown:
        raise SnnprofError(
            "--maps: this model does not show its attention",
            hint="pass the attention through a module of a class named AttentionMap, as models/attention_map.py says",
        )
    tap = AttentionTap()
    handles = [module.register_forward_hook(_noting(tap, name, module)) for name, module in shown.items()]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()


def _noting(tap: AttentionTap, name: str, module: nn.Module) -> Hook:
    """A forward hook that passes the output of one module to the tap."""
    kind, layer = getattr(module, "kind", ""), name.rpartition(".")[0] or name
    if kind not in KINDS:
        raise SnnprofError(f"--maps: {name} must have a kind, one of {', '.join(KINDS)}, not {kind!r}")

    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.dim() < 4:
            raise SnnprofError(f"--maps: {layer} shows {list(output.shape)}, not [T, B, ...]")
        tap.note(layer, kind, output)

    return hook
