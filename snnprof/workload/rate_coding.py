"""`--input-rate`: values from 0 to 1 become spikes, as often as the rate says."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError
from snnprof.workload import inputs, seeds
from snnprof.workload.batches import DEFAULT_LOADING, Batches, Loading, Needed, Sampler, Source

_DRAWS = 2 * seeds.DRAWS  # apart from the seeds of the model and of the data's own code


class RateCoded:
    """A source whose elements fire: one of value x (0 to 1) is 1 with probability rate · x, and else 0.

    An input of spikes (0 and 1) loses some of them. Where the input has a time axis, each step is drawn anew; an image
    that the model itself shows T times is drawn once. What is drawn depends on the seed and on the first sample of the
    batch alone.
    """

    def __init__(self, source: Source, rate: float, seed: int) -> None:
        self.source, self.rate, self.seed = source, rate, seed
        self.ordered = source.ordered

    @property
    def facts(self) -> DataFacts:
        """The source's own, with a note."""
        facts = self.source.facts
        note = f"given as spikes: an element of value x fires with probability {self.rate:g} x"
        return facts.model_copy(update={"note": "; ".join(filter(None, [facts.note, note]))})

    @property
    def no_workers(self) -> str:
        return self.source.no_workers

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """The source's batches, as spikes.

        Raises:
            SnnprofError: a value is not from 0 to 1.
        """
        with closing(self.source.batches(sampler, needed, loading)) as drawn:
            for batch in drawn:
                random = torch.Generator().manual_seed(seeds.of_model(self.seed, batch.start + _DRAWS))
                fired = None if batch.x is None else inputs.mapped(batch.x, partial(self._spikes, random))
                yield replace(batch, x=fired)

    def _spikes(self, random: torch.Generator, x: Tensor) -> Tensor:
        low, high = (float(bound) for bound in torch.aminmax(x)) if x.numel() else (0.0, 0.0)
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise SnnprofError(
                f"--input-rate needs data with values from 0 to 1; these are from {low:g} to {high:g}",
                hint="scale the data to 0 to 1 first, or run it as it is, without --input-rate",
            )
        chance = torch.rand(x.shape, generator=random).to(x.device)
        return (chance < self.rate * x).to(x.dtype)
