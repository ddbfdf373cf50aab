"""One model run over batches under one recorder: fresh neuron state and a seed before every batch."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnprof.activity import Activity, Finding, LayerFlops, SelfCheck
from snnprof.errors import SnnprofError, first_line
from snnprof.record import flops, neurons
from snnprof.record.recorder import Recorder
from snnprof.record.seen_time import SeenTime
from snnprof.record.state import ModelState
from snnprof.workload import checking, flips, machine, parts
from snnprof.workload.batches import Batch, Batches, Labels, batch_axis
from snnprof.workload.compiling import Compiling
from snnprof.workload.flips import Fired
from snnprof.workload.options import Amp, Progress, ignore_progress

SEEDS_PER_RUN = 1_000_003
DRAWS = 1 << 40  # apart from the seeds of the batches themselves


@dataclass(frozen=True)
class Share:
    """Which batches of a run one process counts.

    Attributes:
        rank, ranks: every `ranks`-th batch, from number `rank` on.
        done: samples that an earlier run has counted already.
    """

    rank: int = 0
    ranks: int = 1
    done: int = 0

    def counts(self, number: int, start: int) -> bool:
        return start >= self.done and number % self.ranks == self.rank

    def needs(self, number: int, start: int) -> bool:
        """Everybody learns from the first batch, so that all count alike."""
        return number == 0 or self.counts(number, start)


class Session:
    """Runs batches and counts those of its share, in blocks of `span` batches.

    Attributes:
        seen: samples of all batches so far, whoever counts them.
        skipped: leading batches that an earlier run has counted.
        torn: an interrupt came within a batch; blocks that had ended are whole, which neurons fired is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        seed: int,
        *,
        amp: Amp | None = None,
        compile: bool = False,
        share: Share = Share(),
        span: int = 1,
        progress: Progress = ignore_progress,
        total: int | None = None,
    ) -> None:
        self.model, self.recorder, self.seed, self.amp = model, recorder, seed, amp
        self.share, self.span = share, span
        self.progress, self.total = progress, total
        self.seen = self.skipped = self.batches = 0
        self.torn = False
        self._device = machine.device_of(model)
        self._call: Callable[[Tensor], Any] = model
        if compile and recorder.layout != "step":
            self._call = Compiling(model, recorder)
        elif compile:
            recorder.note(
                "C10", "", "layout step calls the model once a step, which is not compiled; it ran eagerly",
                "profile without --compile; the counts are the same",
            )  # fmt: skip
        self._sample: Tensor | None = None
        self._first: Tensor | None = None
        self.classes: int | None = None
        self._learned: Activity | None = None
        self._firsts: list[int] = []
        self._events: list[tuple[int, int]] = []
        self._open: _OpenBlock | None = None
        self._fresh: ModelState | None = None  # the model at the start of a sequence

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self, batches: Batches, ends_before: Callable[[int], bool] = lambda number: False) -> None:
        """Runs all batches; `ends_before` is asked before each is drawn, by its number, and may end the run."""
        with _as_found(self.model, self.recorder) as found, torch.no_grad(), self.recorder, closing(batches):
            try:
                self._run(batches, ends_before)
            except KeyboardInterrupt:
                if not self._firsts or self.share.ranks > 1:
                    raise
                self._tear()
        _note_what_stays(found, self.recorder)
        if not self.seen:
            raise SnnprofError("the data source gave no batch", hint="check --data and --samples")

    def _run(self, batches: Batches, ends_before: Callable[[int], bool]) -> None:
        while not ends_before(self.batches):
            torch.manual_seed(self._seed(DRAWS))
            batch = next(batches, None)
            if batch is None:
                break
            self._take(batch)
        self.close()

    def _tear(self) -> None:
        """Goes back to the last block that ended."""
        self.torn = True
        if self._open is not None:
            self.batches, self._open = self._open.first, None

    def _take(self, batch: Batch) -> None:
        number = self.batches
        self._place(number, batch)
        if batch.x is None:
            return
        x, count = batch.x.to(self._device, non_blocking=True), batch.stop - batch.start
        if self.share.counts(number, batch.start):
            block = self._block(number)
            block.add(count, self._correct(number, x, batch.y, count))
        else:
            self._correct(number, x, batch.y, count)
            self._learn()
        self.progress("profiling", self.seen, self.total)

    def _place(self, number: int, batch: Batch) -> None:
        """Where in the run a batch stands."""
        self.batches, self.seen = number + 1, batch.stop
        self.span = parts.span(self.batches, self.span)
        if batch.stop <= self.share.done:
            self.skipped = self.batches
        elif batch.start < self.share.done:
            raise SnnprofError(
                f"the run to go on from ends after {self.share.done} samples, in the middle of batch {number}",
                hint="its data came in other batches; profile again",
            )

    def _correct(self, number: int, x: Tensor, y: Labels, count: int) -> Tensor | None:
        """One batch through the model; its correct predictions, still on the device."""
        if self._sample is None:
            self._first = x
            self._sample = x.narrow(batch_axis(x, self.recorder.layout, self.recorder.timesteps), 0, 1).clone()
        _check_labels(x, y, count, self.recorder.layout)
        logits = self._sequence(number, x)
        if number == 0 and self._other_time(x, logits):
            logits = self._sequence(number, x)
        self.recorder.end_batch()
        self._know_classes(logits, y, count)
        return _correct(logits, y, count)

    def _sequence(self, number: int, x: Tensor) -> Tensor | None:
        """One batch from the start of a sequence."""
        self._reset()
        torch.manual_seed(self.seed * SEEDS_PER_RUN + number)
        return self._forward(x)

    def _other_time(self, x: Tensor, logits: Tensor | None) -> bool:
        """Whether the first batch showed time steps within its calls that nobody told: it must be counted anew by them.

        Raises:
            SnnprofError: what was told is on no axis, while state is carried along another.
        """
        recorder, seen = self.recorder, self.recorder.seen_time
        if recorder.layout != "batch":
            return False
        other = recorder.timesteps and seen.disagrees_with(recorder.timesteps)
        if other:
            raise SnnprofError(
                f"the model runs {other} time steps, not the {recorder.timesteps} that --timesteps says",
                hint=f"pass --timesteps {other}, or leave it out: it is seen",
            )
        carries, rows = seen.along_first_axis(x), _rows_are_second_axis(x, logits)
        anew = recorder.timesteps is None and self._tell_steps(seen)
        if carries or rows:
            recorder.note(
                "C14", "", "the first axis of a batch may be time: the model "
                f"{'carries state along it' if carries else 'puts out a row for each element of the second'}",
                "pass --layout time-batch if time comes first; all figures per inference are wrong otherwise",
            )  # fmt: skip
        return anew

    def _tell_steps(self, seen: SeenTime) -> bool:
        """Goes on with the T that was seen; whether the batch must be counted anew, since it lies within calls."""
        if seen.timesteps is None:
            return False
        if not seen.lengths:
            self.recorder.tell_steps(seen.timesteps)
            return False
        if isinstance(self._call, Compiling):
            self._call.forget()
        self.recorder.restart(seen.timesteps)
        return True

    def _know_classes(self, logits: Tensor | None, y: Labels, count: int) -> None:
        """How many classes there are, and whether all labels are among them."""
        if logits is None or logits.dim() != 2 or len(logits) != count:
            return
        self.classes = logits.shape[1]
        if y is not None and y.shape == (count,) and not y.is_floating_point() and y.numel():
            low, high = (int(bound) for bound in torch.aminmax(y))
            if low < 0 or high >= self.classes:
                self.recorder.note(
                    "C21", "", f"labels reach from {low} to {high}, but the model puts out {self.classes} classes",
                    "check that model and data belong together; the accuracy counts such labels as wrong",
                )  # fmt: skip

    def _learn(self) -> None:
        """The first batch was somebody else's to count: what it left in the counters is taken out of every part."""
        self.recorder.end_block(0)
        self._learned = self.recorder.activity()

    def _seed(self, purpose: int) -> int:
        return self.seed * SEEDS_PER_RUN + self.batches + purpose

    # -- blocks --------------------------------------------------------------------------------------------

    def _block(self, number: int) -> _OpenBlock:
        """The open block, which batch `number` belongs to."""
        if self._open is not None and self._open.first // self.span != number // self.span:
            self.close()
        if self._open is None:
            self._open = _OpenBlock(number)
        return self._open

    def close(self) -> None:
        """Ends the open block: the one time that the device is waited for."""
        if self._open is None:
            return
        block, self._open = self._open, None
        self.recorder.end_block(block.samples, block.total_correct())
        self._firsts.append(block.first)
        self._events.append((_spike_events(self.recorder), block.samples))

    @property
    def events(self) -> list[tuple[int, int, int]]:
        """Spike events and samples of what this process counted, each with the number of its block."""
        return [(first // self.span, *counted) for first, counted in zip(self._firsts, self._events, strict=True)]

    def part(self) -> Activity:
        """What this process counted so far, in blocks of the run."""
        self.close()
        activity = self.recorder.activity()
        if self._learned is not None:
            activity = parts.without_first(activity, self._learned)
        if self.torn:
            neurons_left = [
                n.model_copy(update={"fired_bitmap": None, "always_bitmap": None}) for n in activity.neurons
            ]
            activity = activity.model_copy(update={"neurons": neurons_left})
        return parts.blocked(activity, [first // self.span for first in self._firsts])

    # -- the model -----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Every batch is a new sequence: reset methods run, and all other state is put back in place."""
        try:
            neurons.reset(self.model, self.recorder.watched)
        except Exception as error:
            raise SnnprofError(
                f"the state of the model's neurons cannot be reset: {type(error).__name__}: {error}",
                hint="their own reset method is called before every batch, without arguments; --debug shows where",
            ) from error
        if self._fresh is None:
            self._fresh = ModelState.of(self.model)
        else:
            self._fresh.restore(self.recorder.is_state)

    def _forward(self, x: Tensor) -> Tensor | None:
        try:
            with machine.autocast(self.amp, x.device):
                return self._steps(x) if self.recorder.layout == "step" else self._logits(self._call(x))
        except SnnprofError:
            raise
        except Exception as error:
            if _is_ours(error):
                raise
            raise SnnprofError(
                f"the model does not run on a batch of shape {list(x.shape)}: {_reason(error)}",
                hint="check --data, --layout and --timesteps against what its forward takes; --debug shows where",
            ) from error

    def _steps(self, x: Tensor) -> Tensor | None:
        """The caller's loop over T: frames of a sequence, or one still image shown T times."""
        steps = self.recorder.timesteps
        if not steps:
            raise SnnprofError("layout 'step' needs the number of time steps", hint="pass --timesteps T")
        frames = x if batch_axis(x, "step", steps) == 1 else x.unsqueeze(0).expand(steps, *x.shape)
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

    def flops(self) -> list[LayerFlops]:
        """fvcore's look at one sample, after the run, so that it can disturb nothing; empty where it cannot trace."""
        assert self._sample is not None
        layout, steps = self.recorder.layout, self.recorder.timesteps
        sample, repeats = self._sample, 1
        if layout == "step":
            sample, repeats = (sample[0] if batch_axis(sample, layout, steps) == 1 else sample), steps or 1
        self.progress("checking with fvcore", self.seen, self.total)
        with _as_found(self.model, self.recorder), torch.no_grad():
            self._reset()
            return flops.layer_flops(self.model, (sample,), repeats) or []

    def checked(self) -> SelfCheck:
        """One sample counted twice, after the run."""
        assert self._sample is not None
        assert self._first is not None
        self.progress("checking the counts", self.seen, self.total)

        def run(x: Tensor) -> None:
            self._reset()
            torch.manual_seed(self.seed * SEEDS_PER_RUN)
            self._call = self.model
            self._forward(x)

        with _as_found(self.model, self.recorder), torch.no_grad():
            samples = self._first.shape[batch_axis(self._first, self.recorder.layout, self.recorder.timesteps)]
            return checking.self_check(self.recorder, run, [self._sample, self._first], samples)

    def turned_spikes(self) -> Finding | None:
        """Of one sample, after the run: the share of spikes that the number format or the device turned."""
        if (self.amp is None and self._device.type == "cpu") or self._sample is None:
            return None
        other = machine.other_formats(self.model)
        if other:
            return flips.unknown(f"the model's weights are {' and '.join(other)}")
        self.progress("comparing spikes with float32", self.seen, self.total)
        with _as_found(self.model, self.recorder), torch.no_grad():
            try:
                run = self._fired(self._sample, self.amp)
                with machine.on_device(self.model, "cpu"):
                    reference = self._fired(self._sample.cpu(), None)
            except Exception as error:  # the counts are whole without it
                return flips.unknown(first_line(error))
        return flips.finding(run, reference)

    def _fired(self, sample: Tensor, amp: Amp | None) -> Fired:
        self._fresh = None  # what is kept of the model lies on the device where it was
        self._reset()
        torch.manual_seed(self.seed * SEEDS_PER_RUN)
        with flips.fired(self.recorder) as found, machine.autocast(amp, sample.device):
            self._steps(sample) if self.recorder.layout == "step" else self.model(sample)
        return found


@dataclass
class _OpenBlock:
    """A block that is still being counted; correct predictions stay on the device until it ends."""

    first: int
    samples: int = 0
    correct: Tensor | None = None
    labelled: bool = True

    def add(self, samples: int, correct: Tensor | None) -> None:
        self.samples += samples
        if correct is None:
            self.labelled = False
        else:
            self.correct = correct if self.correct is None else self.correct + correct

    def total_correct(self) -> int | None:
        return int(self.correct) if self.labelled and self.correct is not None else None


MISFITS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What torch raises where a batch does not suit a model; it may be raised inside an operator that is being watched."""


def _is_ours(error: Exception) -> bool:
    """Whether the recorder failed, and not the model: what else could go wrong has nothing of it on its way."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    watching = any(frame.f_globals.get("__name__", "").startswith("snnprof.record.") for frame in frames)
    return watching and not isinstance(error, MISFITS)


def _reason(error: Exception) -> str:
    said = first_line(error)
    return said if isinstance(error, MISFITS) or not str(error).strip() else f"{type(error).__name__}: {said}"


def _correct(logits: Tensor | None, y: Labels, count: int) -> Tensor | None:
    if logits is None or y is None or logits.dim() != 2 or len(logits) != count or y.shape != (count,):
        return None
    return (logits.argmax(1) == y.to(logits.device, non_blocking=True)).sum()


def _check_labels(x: Tensor, y: Labels, count: int, layout: str) -> None:
    """A first axis that fits the labels only as time is no batch.

    Raises:
        SnnprofError: it does.
    """
    if y is None or layout != "batch" or not y.dim() or len(y) == count:
        return
    if x.dim() > 1 and x.shape[1] == len(y):
        raise SnnprofError(
            f"a batch of shape {list(x.shape)} has {len(y)} labels, as many as its second axis has rows",
            hint="pass --layout time-batch, if time comes first",
        )


def _rows_are_second_axis(x: Tensor, logits: Tensor | None) -> bool:
    """Whether the model makes a row of each element of a batch's second axis, and not of its first."""
    if logits is None or logits.dim() != 2 or x.dim() < 3:
        return False
    return bool(logits.shape[0] == x.shape[1] != x.shape[0])


def _spike_events(recorder: Recorder) -> int:
    return sum(op.blocks[-1][parts.SPIKE_EVENTS] for op in recorder.books.ops.values())


@contextmanager
def _as_found(model: nn.Module, recorder: Recorder) -> Iterator[ModelState]:
    """Training mode, state and random generators as they were, also after an exception or Ctrl-C."""
    modes = {module: module.training for _, module in neurons.named_modules(model)}
    state = ModelState.of(model)
    others = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=machine.cuda_devices(model)):
        try:
            model.eval()
            yield state
        finally:
            for module, training in modes.items():
                module.training = training
            state.restore(lambda module, name, value: True)
            np.random.set_state(others[0])
            random.setstate(others[1])


def _note_what_stays(state: ModelState, recorder: Recorder) -> None:
    """What a pass wrote to and nobody may write to, or could not be put back."""
    for name in state.changed_parameters():
        recorder.note(
            "C23", name.rpartition(".")[0], f"a pass writes to parameter {name!r}: it is state, or the model learns",
            "make it a buffer if it is state, or turn the learning off; large parameters are not put back",
        )  # fmt: skip
    for path in state.unrestorable:
        recorder.note(
            "C24", path.rpartition(".")[0], f"{path!r} could not be put back to what it was before a batch",
            "make a copy of the model for other work; batches may not start from the same state",
        )  # fmt: skip
