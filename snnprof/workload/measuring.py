"""`snnprof profile --measure`: runs the model without a recorder over batches of the run, and reads energy sensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import torch
from torch import Tensor

from snnprof.activity import Activity, Finding
from snnprof.errors import SnnprofError, first_line
from snnprof.options import MEASURING, Progress, ignore_progress
from snnprof.records import Measurement
from snnprof.sensors import Plan, Sensor, Stopped, metered, sensors_of
from snnprof.workload import inputs, machine, seeds
from snnprof.workload.batches import Batch, Batches
from snnprof.workload.distributed import ProcessGroup
from snnprof.workload.inputs import Input
from snnprof.workload.plan import RunPlan

LASTING = Plan()
OF_MEASURING = ("C34", "C35")
"""The findings of an earlier measurement; a new measurement replaces them."""
MOST_BATCHES = 16
MOST_BYTES = 1 << 30
"""Limits of one pass. Its batches are on the device beforehand, so that reading and moving data is not measured."""


def sensors_for(plan: RunPlan, group: ProcessGroup) -> list[Sensor]:
    """The energy sensors of the model's device.

    Raises:
        SnnprofError: there are none, or the run has several processes, whose energy cannot be told apart.
    """
    if group.size > 1:
        raise SnnprofError("--measure is for one process", hint="measure without torchrun: --resume RUN.json --measure")
    device = machine.device_of(plan.loaded.module)
    if device.type not in ("cpu", "cuda"):
        raise SnnprofError(f"--measure has no sensor for device {device.type}", hint="use --device cpu or cuda")
    return sensors_of(machine.gpu_uuid(device))


def with_measurement(
    activity: Activity, plan: RunPlan, sensors: Sequence[Sensor], progress: Progress, should_stop: Callable[[], bool]
) -> Activity:
    """Adds the measured energy to a run; if the measurement fails, a finding that says why."""
    others = [finding for finding in activity.findings if finding.code not in OF_MEASURING]
    activity = activity.model_copy(update={"findings": others})
    try:
        measurement = measured(plan, sensors, progress, should_stop, LASTING)
    except Stopped:
        return _unmeasured(activity, "Ctrl-C ended the measurement of energy before it was whole")
    except Exception as error:  # the counts are complete without the measurement
        return _unmeasured(activity, f"The energy could not be measured: {first_line(error)}")
    return activity.model_copy(update={"measurement": measurement})


def measured(
    plan: RunPlan,
    sensors: Sequence[Sensor],
    progress: Progress,
    should_stop: Callable[[], bool],
    lasting: Plan,
) -> Measurement:
    """Measures the energy of passes over the run's first batches, each batch from the start of a sequence.

    Raises:
        SnnprofError: a sensor, the model or the data failed.
        Stopped: `should_stop` returned True.
    """
    device = machine.device_of(plan.loaded.module)
    session = plan.session(ProcessGroup(), ignore_progress)
    with closing(plan.fresh_batches()) as source, torch.random.fork_rng(devices=[]):
        batches = _kept(source, plan.options.seed, device)
    session.run(_again(batches[:1]))  # finds which modules are neurons, and what their state is
    with session.uncounted(compiled=plan.options.compile) as run:

        def run_pass() -> int:
            for batch in batches:
                assert batch.x is not None
                run(batch.x)
            machine.synchronise(device)
            return sum(batch.stop - batch.start for batch in batches)

        def tell(done: int, total: int) -> None:
            progress(MEASURING, done, total)

        found = metered(sensors, run_pass, lasting, should_stop=should_stop, tell=tell)
    return found.model_copy(update={"device": machine.device_name(device), "batches": len(batches)})


def _kept(source: Batches, seed: int, device: torch.device) -> list[Batch]:
    """The first batches of the run, on the device: as many as the limits allow, at least one.

    Raises:
        SnnprofError: there is no batch.
    """
    kept: list[Batch] = []
    size = 0
    for number in range(MOST_BATCHES):
        torch.manual_seed(seeds.of_data(seed, number))
        batch = next(source, None)
        if batch is None or batch.x is None:
            break
        size += _bytes(batch.x)
        if kept and size > MOST_BYTES:
            break
        kept.append(Batch(batch.start, batch.stop, inputs.mapped(batch.x, lambda x: x.to(device))))
    if not kept:
        raise SnnprofError("the data source gave no batch", hint="check --data and --samples")
    return kept


def _bytes(x: Input) -> int:
    sizes: list[int] = []

    def add(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    inputs.mapped(x, add)
    return sum(sizes)


def _again(batches: Sequence[Batch]) -> Batches:
    yield from batches


def _unmeasured(activity: Activity, text: str) -> Activity:
    finding = Finding(code="C35", layer="", text=text, hint="Try again: profile --resume RUN.json --measure")
    return activity.model_copy(update={"findings": [*activity.findings, finding]})
