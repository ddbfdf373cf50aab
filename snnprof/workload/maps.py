"""`snnprof profile --maps K`: a separate pass over the run's first K samples, which does not affect the counts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps
from snnprof.options import ProfileOptions
from snnprof.workload import inputs, machine
from snnprof.workload.attention_tap import tapped
from snnprof.workload.batches import Batch, batch_axis
from snnprof.workload.plan import RunPlan


def attention_maps(options: ProfileOptions) -> AttentionMaps:
    """The attention maps of the first `options.maps` samples of the run.

    Raises:
        SnnprofError: the model or data are missing or wrong, or the model has no `AttentionMap` module.
    """
    plan = RunPlan.of(replace(options, resume=None))
    model, layout = plan.loaded.module, plan.wanted.layout
    if layout == "step":
        raise SnnprofError("--maps needs a model that runs over its time steps itself, not layout step")
    device = options.device or machine.default_device()
    with machine.on_device(model, device), tapped(model) as tap, torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        batch = _first(plan, options.maps)
        assert batch.x is not None
        model.eval()
        with machine.autocast(options.amp, machine.device_of(model)):
            inputs.call(model, inputs.mapped(batch.x, lambda x: x.to(machine.device_of(model))))
    facts, run = plan.loaded.facts, plan.source.facts
    shown = inputs.first(batch.x)
    images = shown.movedim(batch_axis(shown, layout, plan.wanted.timesteps), 0)[: options.maps]
    labels = None if batch.y is None else _array(batch.y[: options.maps])
    return AttentionMaps(facts.label, run.source, _array(images.float()), labels, tap.maps(options.maps))


def _first(plan: RunPlan, samples: int) -> Batch:
    """The run's first samples as one batch."""
    sampler = replace(plan.sampler, size=samples, samples=samples)
    with closing(plan.source.batches(sampler, lambda number, start: True)) as batches:
        batch = next(batches, None)
    if batch is None or batch.x is None:
        raise SnnprofError("the data source gave no batch", hint="check --data and --samples")
    return batch


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()
