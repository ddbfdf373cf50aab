"""The loop over the data: eval mode, fresh neuron state and a seed before every batch; everything is put back."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from snnprof._version import __version__
from snnprof.activity import Accuracy, Activity, DataFacts
from snnprof.errors import SnnprofError
from snnprof.record import flops, neurons
from snnprof.record.recorder import Recorder
from snnprof.workload import models, sources
from snnprof.workload.models import LoadedModel
from snnprof.workload.options import ProfileOptions, Progress, ignore_progress
from snnprof.workload.sources import Batch, Wanted

DEFAULT_BATCH = 32
MIN_BLOCKS_TO_STOP = 16


def profile(
    model: nn.Module,
    batches: Tensor | Iterable[Any],
    layout: str = "batch",
    timesteps: int | None = None,
    device: str | None = None,
    samples: int | None = None,
    *,
    input: str = "auto",
    neuron: tuple[str, ...] = (),
    seed: int = 0,
) -> Activity:
    """Runs a model over data and counts what happens.

    Args:
        model: any module; training mode, neuron state, RNG and batch-norm statistics are put back afterwards.
        batches: one tensor (one batch), or an iterable of x or (x, label), as the model takes them.
        layout: first axes of x: `batch`, `time-batch`, `batch-time`; or `step`, where this function loops over T
            (x is `[T, B, ...]`, or `[B, ...]` shown T times).
        timesteps: T, where the model makes its own time axis or is looped over.
        device: where to run; null leaves the model where it is.
        samples: stop after this many samples.
        input: `auto`, `spikes` or `real`.
        neuron: class names to be taken for neuron layers besides those known.
        seed: torch is seeded with it and the batch's number before each batch.

    Returns:
        The Activity; its run facts name the model's class and the device.

    Raises:
        SnnprofError: no data, a layout without T, or a batch the model does not take.
    """
    items = [batches] if isinstance(batches, Tensor) else batches
    source = sources.Stream(items, DataFacts(source="python", kind="iterable"))
    with _on_device(model, device):
        recorder = Recorder(model, layout=layout, timesteps=timesteps, input=input, neuron=neuron)
        session = Session(model, recorder, seed)
        activity = session.run(_limited(source.batches(DEFAULT_BATCH, samples, None), samples, layout))
    facts = activity.run.model_copy(update={"data": source.facts, "seed": seed, **_machine(model)})
    return activity.model_copy(update={"run": facts})


def profile_run(options: ProfileOptions, progress: Progress = ignore_progress) -> Activity:
    """Does what `snnprof profile` was asked to do.

    Raises:
        SnnprofError: anything about model, checkpoint, data or device is wrong.
    """
    loaded = models.resolve(options.model, dict(options.settings), options.checkpoint, options.seed)
    wanted = _wanted(loaded, options)
    source = sources.open_source(_data_name(loaded, options), wanted, options.samples)
    total = source.facts.total
    wanted_samples = options.samples if options.samples and options.samples < (total or sys.maxsize) else total
    order_seed = options.seed if options.samples or options.until_ci else None
    size = options.batch_size or min(DEFAULT_BATCH, wanted_samples or DEFAULT_BATCH)
    with _on_device(loaded.module, options.device or _default_device()):
        recorder = Recorder(
            loaded.module,
            layout=wanted.layout,
            timesteps=wanted.timesteps,
            input=options.input,
            neuron=options.neurons,
        )
        session = Session(loaded.module, recorder, options.seed, options.amp, progress, wanted_samples)
        batches = source.batches(size, options.samples, order_seed)
        activity = session.run(_limited(batches, options.samples, wanted.layout), _goal(options))
        machine = _machine(loaded.module)
    used = activity.run.model.parameters_used
    run = activity.run.model_copy(
        update={
            "model": loaded.facts.model_copy(update={"parameters_used": used}),
            "data": source.facts.model_copy(update={"order_seed": order_seed}),
            "layout": wanted.layout,
            "batch_size": size,
            "seed": options.seed,
            "argv": list(options.argv),
            **machine,
        }
    )
    return activity.model_copy(update={"run": run})


class Session:
    """One model run over batches under one recorder."""

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        seed: int,
        amp: str | None = None,
        progress: Progress = ignore_progress,
        total: int | None = None,
    ) -> None:
        self.model, self.recorder, self.seed = model, recorder, seed
        self.amp, self.progress, self.total = amp, progress, total
        self.samples = 0
        self.labelled = True
        self.first: Tensor | None = None

    def run(self, batches: Iterator[Batch], reached: Callable[[Activity], bool] | None = None) -> Activity:
        """Counts all batches; `reached` ends the run early."""
        complete = True
        with _as_found(self.model, self.recorder), torch.no_grad():
            with self.recorder:
                try:
                    self._count(batches, reached)
                except KeyboardInterrupt:
                    if not self.samples:
                        raise
                    complete = False
            layers = self._flops()
        activity = self.recorder.activity()
        correct = [block.correct for block in activity.blocks]
        known = [c for c in correct if c is not None]
        accuracy = Accuracy(correct=sum(known), total=self.samples) if len(known) == len(correct) else None
        activity = activity.model_copy(
            update={
                "accuracy": accuracy,
                "layers": layers or [],
                "run": activity.run.model_copy(update={"complete": complete}),
            }
        )
        return activity.model_copy(update={"coverage": flops.coverage(activity) if layers else None})

    def _count(self, batches: Iterator[Batch], reached: Callable[[Activity], bool] | None) -> None:
        for number, (x, y) in enumerate(batches):
            x = x.to(_device(self.model), non_blocking=True)
            if self.first is None:
                self.first = x
            count = self._samples_in(x)
            neurons.reset(self.model, self.recorder.watched)
            torch.manual_seed(self.seed * 1_000_003 + number)
            logits = self._forward(x)
            self.recorder.end_batch()
            self.recorder.end_block(count, _correct(logits, y, count))
            self.samples += count
            self.progress("profiling", self.samples, self.total)
            if reached and reached(self.recorder.activity()):
                break
        if not self.samples:
            raise SnnprofError("the data source gave no batch", hint="check --data and --samples")

    def _forward(self, x: Tensor) -> Tensor | None:
        try:
            with _autocast(self.amp, x.device):
                return self._steps(x) if self.recorder.layout == "step" else self._logits(self.model(x))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise SnnprofError(
                f"the model does not run on a batch of shape {list(x.shape)}: {first}",
                hint="check --data, --layout and --timesteps against what its forward takes; --debug shows where",
            ) from error

    def _steps(self, x: Tensor) -> Tensor | None:
        """The caller's loop over T: frames of a sequence, or one still image shown T times."""
        steps = self.recorder.timesteps
        if not steps:
            raise SnnprofError("layout 'step' needs the number of time steps", hint="pass --timesteps T")
        frames = x if x.shape[0] == steps and x.dim() > 2 else x.unsqueeze(0).expand(steps, *x.shape)
        outputs = [neurons.first_tensor(self.model(frame)) for frame in frames]
        if any(o is None for o in outputs):
            return None
        return torch.stack([o for o in outputs if o is not None]).float().mean(0)

    def _logits(self, result: Any) -> Tensor | None:
        """The first tensor returned, averaged over T where it has a time axis."""
        logits = neurons.first_tensor(result)
        steps, batch = self.recorder.timesteps, self.recorder.batch_size
        if logits is not None and logits.dim() == 3 and steps:
            if tuple(logits.shape[:2]) == (steps, batch):
                return logits.float().mean(0)
            if tuple(logits.shape[:2]) == (batch, steps):
                return logits.float().mean(1)
        return logits

    def _samples_in(self, x: Tensor) -> int:
        layout, steps = self.recorder.layout, self.recorder.timesteps
        time_first = layout == "time-batch" or (layout == "step" and x.dim() > 2 and x.shape[0] == steps)
        return int(x.shape[1 if time_first else 0])

    def _flops(self) -> list[Any] | None:
        """fvcore's look at one sample, after the run, so that it can disturb nothing."""
        if self.first is None:
            return None
        self.progress("checking with fvcore", self.samples, self.total)
        neurons.reset(self.model, self.recorder.watched)
        x, layout = self.first, self.recorder.layout
        time_first = self._samples_in(x) == x.shape[1] if layout in ("time-batch", "step") and x.dim() > 1 else False
        sample = x[:, :1] if time_first else x[:1]
        if layout != "step":
            return flops.layer_flops(self.model, (sample,))
        frame = sample[0] if time_first else sample
        return flops.layer_flops(self.model, (frame,), self.recorder.timesteps or 1)


def _correct(logits: Tensor | None, y: Tensor | None, count: int) -> int | None:
    if logits is None or y is None or logits.dim() != 2 or logits.shape[0] != count or y.dim() != 1:
        return None
    return int((logits.argmax(1) == y.to(logits.device)).sum())


def _limited(batches: Iterator[Batch], samples: int | None, layout: str) -> Iterator[Batch]:
    """Stops at `samples`, cutting the batch that goes beyond."""
    left = samples
    for x, y in batches:
        axis = 1 if layout == "time-batch" else 0
        if left is not None and x.shape[axis] > left:
            x = x.narrow(axis, 0, left)
            y = None if y is None else y[:left]
        yield x, y
        if left is not None:
            left -= x.shape[axis]
            if left <= 0:
                return


def _wanted(loaded: LoadedModel, options: ProfileOptions) -> Wanted:
    preset = loaded.preset
    normalise = preset.normalise if preset else None
    return Wanted(
        shape=tuple(loaded.input_shape) if loaded.input_shape else None,
        layout=options.layout or loaded.layout or "batch",
        timesteps=options.timesteps or loaded.timesteps,
        events=bool(preset and preset.events),
        mean=tuple(normalise.mean) if normalise else (),
        std=tuple(normalise.std) if normalise else (),
    )


def _data_name(loaded: LoadedModel, options: ProfileOptions) -> str:
    if options.data:
        return options.data
    made_for = loaded.preset.data if loaded.preset else None
    if made_for == "digits":
        return "digits"
    name = f"{made_for}:DIR" if made_for else "FILE.npz or FILE.py:FUNCTION"
    raise SnnprofError(f"{options.model} needs data", hint=f"pass --data {name}, or --data random to see shapes only")


def _goal(options: ProfileOptions) -> Callable[[Activity], bool] | None:
    """Whether the interval of the SOPs is narrow enough, asked after each block from the sixteenth on."""
    if options.until_ci is None:
        return None
    from snnprof import statistics

    half_width = options.until_ci / 100

    def reached(activity: Activity) -> bool:
        if len(activity.blocks) < MIN_BLOCKS_TO_STOP:
            return False
        interval = statistics.mean_per_sample(activity, _spike_events)
        return interval is not None and interval.relative is not None and interval.relative <= half_width

    return reached


def _spike_events(activity: Activity) -> float:
    return float(sum(op.part("spikes").events for op in activity.ops))


@contextmanager
def _as_found(model: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Training mode, neuron state and RNG as they were, also after an exception or Ctrl-C."""
    modes = {module: module.training for module in model.modules()}
    state = neurons.saved_state(recorder.watched)
    with torch.random.fork_rng(devices=_cuda_devices(model)):
        try:
            model.eval()
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            neurons.restore_state(state)


@contextmanager
def _on_device(model: nn.Module, device: str | None) -> Iterator[None]:
    """Moves the model for the run and back again."""
    if device is None:
        yield
        return
    home = _device(model)
    try:
        model.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise SnnprofError(f"cannot use device {device!r}: {first}", hint="try --device cpu") from error
    try:
        yield
    finally:
        model.to(home)


def _device(model: nn.Module) -> torch.device:
    tensor = next((t for t in (*model.parameters(), *model.buffers())), None)
    return tensor.device if tensor is not None else torch.device("cpu")


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})


def _autocast(dtype: str | None, device: torch.device) -> AbstractContextManager[Any]:
    if dtype is None:
        return nullcontext()
    known = {"bf16": torch.bfloat16, "bfloat16": torch.bfloat16, "fp16": torch.float16, "float16": torch.float16}
    if dtype not in known:
        raise SnnprofError(f"--amp takes {', '.join(known)}, not {dtype!r}")
    return torch.autocast(device.type, dtype=known[dtype])


def _machine(model: nn.Module) -> dict[str, Any]:
    """The facts of the machine and the moment; SOURCE_DATE_EPOCH stands in for the clock where set."""
    device = _device(model)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    parameter = next(model.parameters(), None)
    return {
        "versions": {
            "snnprof": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fvcore": _version("fvcore"),
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": str(parameter.dtype).removeprefix("torch.") if parameter is not None else "",
        "created": now.isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
