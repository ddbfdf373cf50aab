"""The module that marks where a network's attention can be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn


class AttentionMap(nn.Identity):
    """Returns its input unchanged, so that `snnprof profile --maps` can record the attention that passes through it.

    `--maps` finds the module by the name of its class: a class `AttentionMap` of your own works as well.

    Args:
        kind: what passes: `matrix` for attention weights [T, B, heads, N, N], one row per query and one column per
            key; `activity` for the spikes that an attention without such a matrix lets through, [T, B, D, N] or
            [T, B, D, H, W].
    """

    def __init__(self, kind: Literal["matrix", "activity"]) -> None:
        super().__init__()
        self.kind = kind

    if TYPE_CHECKING:  # PyTorch's modules do not say what calling them returns

        def __call__(self, input: Tensor) -> Tensor:
            """Returns `input`."""
