"""`--input-rate`: converts input values from 0 to 1 to random spikes."""

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

_DRAWS = 2 * seeds.DRAWS  # offset that keeps the seeds apart from those of the model and of the data


class RateCoded:
    """A source whose elements are random spikes: an element of value x (0 to 1) is 1 with probability rate · x, else 0.

    A rate below 1 thus removes spikes from an input of spikes. Each step of an input with a time axis is drawn
    separately; an image that the model itself repeats T times is drawn once. The spikes depend only on the seed and on
    the number of samples before the batch.
    """

    def __init__(self, source: Source, rate: float, seed: int) -> None:
        self.source, self.rate, self.seed = source, rate, seed
        self.ordered = source.ordered

    @property
    def facts(self) -> DataFacts:
        """The facts of the source, with a note on the coding."""
        facts = self.source.facts
        note = f"given as spikes: an element of value x fires with probability {self.rate:g} x"
        return facts.model_copy(update={"note": "; ".join(filter(None, [facts.note, note]))})

    @property
    def no_workers(self) -> str:
        """Why workers cannot read the source ahead; "" if they can."""
        return self.source.no_workers

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """Yields the batches of the source as spikes.

        Yields:
            Each batch; without x if it is not needed.

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
