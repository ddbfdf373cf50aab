"""The place in a network where its attention can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn


class AttentionMap(nn.Identity):
    """Passes on what it gets; `snnprof profile --maps` reads what passes any module of a class of this name.

    Args:
        kind: `matrix`: attention weights [T, B, heads, N, N], a row per query, a column per key; `activity`: the spikes
            that an attention without such a matrix lets through, [T, B, D, N] or [T, B, D, H, W].
    """

    def __init__(self, kind: Literal["matrix", "activity"]) -> None:
        super().__init__()
        self.kind = kind

    if TYPE_CHECKING:  # PyTorch's modules do not say what calling them returns

        def __call__(self, input: Tensor) -> Tensor: ...
