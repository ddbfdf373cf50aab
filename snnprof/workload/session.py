"""Runs a model over batches under a recorder: every batch starts with fresh neuron state and its own seed."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnprof import merging
from snnprof.activity import Activity, Finding, LayerFlops, SelfCheck
from snnprof.errors import SnnprofError, first_line
from snnprof.options import Amp, Progress, ignore_progress
from snnprof.record import neurons
from snnprof.record.recorder import Recorder
from snnprof.record.seen_time import SeenTime
from snnprof.spike_trace import SpikeTrace
from snnprof.workload import checking, flops, generators, inputs, machine, reference_run, seeds, tracing
from snnprof.workload.batches import Batch, Batches, Labels, batch_axis, reading
from snnprof.workload.compiling import Compiling
from snnprof.workload.inputs import Input
from snnprof.workload.interrupt import Interrupt, undisturbed
from snnprof.workload.labels import class_numbers
from snnprof.workload.numbers_check import NotFinite
from snnprof.workload.reference_run import Fired
from snnprof.workload.state import ModelState


@dataclass(frozen=True)
class Shard:
    """Decides which batches of a run one process counts and reads.

    Its methods take the number of a batch and the number of samples before it.

    Attributes:
        rank: number of this process.
        ranks: number of processes; each counts every `ranks`-th batch, beginning with batch `rank`.
        done: number of samples that an earlier run has counted; their batches are not counted again.
    """

    rank: int = 0
    ranks: int = 1
    done: int = 0

    def counts(self, number: int, start: int) -> bool:
        """Whether this process counts the batch."""
        return start >= self.done and number % self.ranks == self.rank

    def needs(self, number: int, start: int) -> bool:
        """Whether the model runs on the batch here; every process learns from the first, so that all count alike."""
        return number == 0 or self.counts(number, start)

    def reads(self, number: int, start: int) -> bool:
        """Whether this process reads the batch; data that an earlier run counted are read again and compared."""
        return number == 0 or number % self.ranks == self.rank


class Session:
    """Runs batches and counts those of its shard, in blocks of `span` batches.

    Attributes:
        samples_seen: number of samples in all batches so far, whichever process counts them.
        resumed_batches: number of leading batches that an earlier run has counted.
        stopped: an interrupt ended the run.
        interrupted: the interrupt came within a batch. Blocks that had ended are complete, but which neurons fired is
            unknown, since the unfinished batch has marked some.
        read: sum of the digests (`batches.reading`) of the batches that this process counted in blocks that have ended.
        reread: the same sum over this process's share of the batches that an earlier run has counted.
        drawn: the same sum over all batches that this process read, whichever process counts them.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        seed: int,
        *,
        amp: Amp | None = None,
        compile: bool = False,
        shard: Shard = Shard(),
        span: int = 1,
        progress: Progress = ignore_progress,
        total: int | None = None,
        remembers: bool = False,
    ) -> None:
        """Prepares a run.

        Args:
            model: the model that runs.
            recorder: counts its operations.
            seed: the run's seed; each batch is seeded from it and the batch's number.
            amp: number format of autocast; None runs without autocast.
            compile: run the model by `torch.compile`.
            shard: which batches this process counts.
            span: number of batches in a block, a power of two; it grows where the run has many batches.
            progress: called with the name of the phase, the samples done and the samples to do.
            total: number of samples that will run; None if unknown.
            remembers: keep digests of the data, with which a resumed run checks that its data are the same.
        """
        self.model, self.recorder, self.seed, self.amp = model, recorder, seed, amp
        recorder.learn_from_first_batch()
        self.shard, self.span = shard, span
        self.progress, self.total = progress, total
        self.samples_seen = self.resumed_batches = self.batches = 0
        self.stopped = self.interrupted = self._within = self._ending = False
        self.remembers = remembers
        self.read = self.reread = self.drawn = 0
        self._device = machine.device_of(model)
        self._call: Callable[[Tensor], Any] = model
        if compile and recorder.layout != "step":
            self._call = Compiling(model, recorder)
        elif compile:
            recorder.note(
                "C10", "", "Layout step calls the model once per step, which snnprof does not compile; it ran eagerly",
                "Profile without --compile; the counts are the same",
            )  # fmt: skip
        self._sample: Input | None = None
        self._first: Input | None = None
        self._finite = NotFinite(recorder)
        self._dtype = machine.only_format(model)
        self._labelled: set[bool] = set()
        self._unlabelled = self._outside = False  # True once a finding has said so
        self.classes: int | None = None
        self._learned: Activity | None = None
        self._firsts: list[int] = []
        self._events: list[tuple[int, int]] = []
        self._open: _OpenBlock | None = None
        self._fresh: ModelState | None = None  # the model at the start of a sequence

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self, batches: Batches, should_stop: Callable[[int], bool] = lambda number: False) -> None:
        """Runs all batches, restores the model, and notes what could not be restored.

        Args:
            batches: the batches; they are closed at the end.
            should_stop: called with the number of each batch before it is drawn; True ends the run.

        Raises:
            SnnprofError: there is no batch, or the model does not run on one.
            KeyboardInterrupt: Ctrl-C came before the first block had ended, while a block ended, or to one of several
                processes.
        """
        with _as_found(self.model, self.recorder) as found, torch.no_grad(), self.recorder, closing(batches):
            try:
                self._run(batches, should_stop)
            except KeyboardInterrupt:
                if not self._firsts or self.shard.ranks > 1 or self._ending:
                    raise
                self._stop()
        _note_what_stays(found, self.recorder)
        if not self.samples_seen:
            raise SnnprofError("the data source gave no batch", hint="check --data and --samples")

    def _run(self, batches: Batches, should_stop: Callable[[int], bool]) -> None:
        """Draws and runs one batch after the other; each is drawn with its own seed."""
        while not should_stop(self.batches):
            torch.manual_seed(seeds.of_data(self.seed, self.batches))
            batch = next(batches, None)
            if batch is None:
                break
            self._within = True
            self._take(batch)
            self._within = False
        self.close()

    def run_again(
        self, batches: Batches, watched: Callable[[int], AbstractContextManager[Any]], interrupt: Interrupt
    ) -> None:
        """Repeats the batches of a finished run with the same states and seeds, under another observer.

        Args:
            batches: the batches of the run.
            watched: given the number of samples in a batch, returns the context manager for its forward pass.
            interrupt: ends the repetition between two batches.

        Raises:
            KeyboardInterrupt: an interrupt was requested.
        """
        with _as_found(self.model, self.recorder), torch.no_grad(), closing(batches):
            for number in itertools.count():
                if interrupt.requested:
                    raise KeyboardInterrupt
                torch.manual_seed(seeds.of_data(self.seed, number))
                batch = next(batches, None)
                if batch is None or batch.x is None:
                    return
                self._reset()
                torch.manual_seed(seeds.of_model(self.seed, number))
                x = inputs.mapped(batch.x, self._arrived)
                with watched(batch.stop - batch.start), machine.autocast(self.amp, inputs.first(x).device):
                    for frame in self._frames(x) if self.recorder.layout == "step" else [x]:
                        inputs.call(self.model, frame)
                self.progress("counting again", batch.stop, self.total)

    def _stop(self) -> None:
        """Marks the run as stopped; if a batch was under way, drops the open block, which holds a part of it."""
        self.stopped, self.interrupted = True, self._within
        if self.interrupted and self._open is not None:
            self.batches, self._open = self._open.first, None

    def _take(self, batch: Batch) -> None:
        """Runs and counts a batch, if this process needs it, and adds its digest to the sums.

        If another process counts the first batch, the model still runs on it here, so that the recorder learns.
        """
        number = self.batches
        self._place(number, batch)
        if batch.x is None:
            return
        counts, now = self.shard.counts(number, batch.start), reading(batch) if self.remembers else 0
        self.drawn += now
        if not counts and number % self.shard.ranks == self.shard.rank and batch.stop <= self.shard.done:
            self.reread += now
        if not counts and number:
            return
        if number:
            self.recorder.widen_input(inputs.first(batch.x))
        x, count = inputs.mapped(batch.x, self._arrived), batch.stop - batch.start
        if counts:
            block = self._block(number)
            block.add(count, self._correct(number, x, batch.y, count), now)
        else:
            self._correct(number, x, batch.y, count)
            self._learn()
        self.progress("profiling", self.samples_seen, self.total)

    def _place(self, number: int, batch: Batch) -> None:
        """Advances the run's position to a batch.

        Raises:
            SnnprofError: the run to resume ended within this batch.
        """
        self.batches, self.samples_seen = number + 1, batch.stop
        self.span = merging.span(self.batches, self.span)
        if batch.stop <= self.shard.done:
            self.resumed_batches = self.batches
        elif batch.start < self.shard.done:
            raise SnnprofError(
                f"the run to resume ends after {self.shard.done} samples, in the middle of batch {number}",
                hint="its data came in other batches; profile again",
            )

    def _arrived(self, x: Tensor) -> Tensor:
        """Moves a tensor to the model's device; real numbers get the dtype of the weights if all have the same."""
        dtype = self._dtype if x.is_floating_point() else None
        return x.to(self._device, dtype or x.dtype, non_blocking=True)

    def _correct(self, number: int, x: Input, y: Labels, count: int) -> Tensor | None:
        """Runs the model on one batch; returns the number of correct predictions, a tensor on the device, or None.

        If the first batch shows that T differs from what was assumed, it runs again and is counted by its steps.
        """
        lead, axis = inputs.first(x), self._batch_axis(x)
        if self._sample is None:
            self._first = x
            self._sample = inputs.mapped(inputs.narrowed(x, axis, 1), torch.clone)
        _check_labels(lead, y, count, self.recorder.layout)
        self._finite.look("the data", number, lead, axis)
        logits = self._sequence(number, x)
        if number == 0 and self._other_time(lead, logits):
            logits = self._sequence(number, x)
        self.recorder.end_batch()
        self._finite.look("the model's output", number, logits, infinite=False)
        classes = self._classes_of(number, y, count)
        self._know_classes(logits, classes, count)
        return _correct(logits, classes, count)

    def _batch_axis(self, x: Input) -> int:
        return batch_axis(inputs.first(x), self.recorder.layout, self.recorder.timesteps)

    def _classes_of(self, number: int, y: Labels, count: int) -> Labels:
        """The labels as class numbers; None if the batch has none. Notes if only some batches have labels."""
        self._labelled.add(y is not None)
        if len(self._labelled) > 1:
            self._no_accuracy("some batches of the data have labels and some have none")
        if y is None:
            return None
        classes, why = class_numbers(y, count)
        if classes is None:
            self._no_accuracy(f"the labels {why}")
        return classes

    def _no_accuracy(self, why: str) -> None:
        if not self._unlabelled:
            self._unlabelled = True
            self.recorder.note(
                "C26", "", f"There is no accuracy: {why}",
                "Give one class number per sample ([B], [B, 1] or one-hot), or no labels at all",
            )  # fmt: skip

    def _sequence(self, number: int, x: Input) -> Tensor | None:
        """Runs one batch from the start of a sequence: with fresh state and the batch's seed."""
        self._reset()
        torch.manual_seed(seeds.of_model(self.seed, number))
        return self._forward(x)

    def _other_time(self, x: Tensor, logits: Tensor | None) -> bool:
        """Compares T as seen on the first batch with `timesteps`; True if the batch must be counted again.

        It must if T was not given and its steps lie within single calls, where they were not told apart.

        Raises:
            SnnprofError: the model carries state along another number of steps than `timesteps` says.
        """
        recorder, seen = self.recorder, self.recorder.seen_time
        if recorder.layout != "batch":
            return False
        other = recorder.timesteps and seen.disagrees_with(recorder.timesteps)
        if other:
            raise SnnprofError(
                f"the model runs {other} time steps, not the {recorder.timesteps} that --timesteps says",
                hint=f"pass --timesteps {other}, or leave it out to have T detected",
            )
        carries, rows = seen.along_first_axis(x, logits), _rows_are_second_axis(x, logits)
        anew = recorder.timesteps is None and self._tell_steps(seen)
        if carries or rows:
            recorder.note(
                "C14", "", "The first axis of a batch may be time: the model "
                f"{'carries state along it' if carries else 'outputs one row for each element of the second'}",
                "If time comes first, pass --layout time-batch; without it, all figures per inference are wrong",
            )  # fmt: skip
        return anew

    def _tell_steps(self, seen: SeenTime) -> bool:
        """Takes over the T that was seen; True if the recorder restarted, since its steps lie within single calls."""
        if seen.timesteps is None:
            return False
        if not seen.within_calls:
            self.recorder.tell_steps(seen.timesteps)
            return False
        if isinstance(self._call, Compiling):
            self._call.forget()
        self.recorder.restart(seen.timesteps)
        return True

    def _know_classes(self, logits: Tensor | None, y: Labels, count: int) -> None:
        """Learns the number of classes from the outputs, and notes labels that are outside of it."""
        if logits is None or logits.dim() != 2 or len(logits) != count:
            if y is not None:
                shown = "no tensor" if logits is None else f"{list(logits.shape)}"
                self._no_accuracy(f"the model outputs {shown}, not {count} rows of class scores")
            return
        self.classes = logits.shape[1]
        if y is not None and y.shape == (count,) and not y.is_floating_point() and y.numel():
            low, high = (int(bound) for bound in torch.aminmax(y))
            if (low < 0 or high >= self.classes) and not self._outside:
                self._outside = True
                self.recorder.note(
                    "C21", "", f"Labels range from {low} to {high}, but the model outputs {self.classes} classes; the "
                    "accuracy counts other labels as wrong", "Check that model and data belong together",
                )  # fmt: skip

    def _learn(self) -> None:
        """Ends a first batch that another process counts, and keeps its counts, which `part` subtracts."""
        self.recorder.end_block(0)
        self._finite.tell()
        self._learned = self.recorder.activity()

    # -- blocks --------------------------------------------------------------------------------------------

    def _block(self, number: int) -> _OpenBlock:
        """The open block for batch `number`; first closes the block before it."""
        if self._open is not None and self._open.first // self.span != number // self.span:
            self.close()
        if self._open is None:
            self._open = _OpenBlock(number)
        return self._open

    @undisturbed()
    def close(self) -> None:
        """Ends the open block: the only synchronisation with the device in the loop."""
        if self._open is None:
            return
        self._ending = True  # until the block has ended, the counts do not add up
        block, self._open = self._open, None
        self.recorder.end_block(block.samples, block.total_correct())
        self._finite.tell()
        self._firsts.append(block.first)
        self._events.append((_spike_events(self.recorder), block.samples))
        self.read += block.read
        self._ending = False

    @property
    def events(self) -> list[tuple[int, int, int]]:
        """Of each block that this process counted: its number in the run, its spike events and its samples."""
        return [(first // self.span, *counted) for first, counted in zip(self._firsts, self._events, strict=True)]

    def part(self) -> Activity:
        """The counts of this process so far, in blocks numbered as in the whole run."""
        self.close()
        activity = self.recorder.activity()
        if self._learned is not None:
            activity = merging.without_first(activity, self._learned)
        if self.interrupted:
            neurons_left = [
                n.model_copy(update={"fired_bitmap": None, "always_bitmap": None}) for n in activity.neurons
            ]
            activity = activity.model_copy(update={"neurons": neurons_left})
        return merging.rebin(activity, [first // self.span for first in self._firsts])

    # -- the model -----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Starts a new sequence: calls the reset methods of the neurons, and restores all other state in place.

        Raises:
            SnnprofError: a reset method failed.
        """
        try:
            neurons.reset(self.model, self.recorder.watched)
        except Exception as error:
            raise SnnprofError(
                f"the state of the model's neurons cannot be reset: {type(error).__name__}: {error}",
                hint="snnprof calls their reset method before every batch without arguments; see --debug",
            ) from error
        if self._fresh is None:
            self._fresh = ModelState.of(self.model)
        else:
            self._fresh.restore(self.recorder.is_state)

    def _forward(self, x: Input) -> Tensor | None:
        """Runs the model on a batch; its outputs averaged over T.

        Raises:
            SnnprofError: the model does not run on the batch, with or without the recorder.
        """
        try:
            with machine.autocast(self.amp, inputs.first(x).device):
                return self._steps(x) if self.recorder.layout == "step" else self._logits(self._called(x))
        except SnnprofError:
            raise
        except Exception as error:
            if _is_ours(error):
                raise
            if self._runs_alone(x):
                raise SnnprofError(
                    f"the model runs alone, but not under the recorder: {_reason(error)}",
                    hint="this is a fault of snnprof: report it with the model's code; --debug shows the traceback",
                ) from error
            raise SnnprofError(
                f"the model does not run on a batch of shape {inputs.shapes(x)}: {_reason(error)}",
                hint="check that --data, --layout and --timesteps fit its forward; --debug shows the traceback",
            ) from error

    def _runs_alone(self, x: Input) -> bool:
        """Whether the model runs on a batch without the recorder."""
        self.recorder.detach()
        try:
            self._reset()
            with machine.autocast(self.amp, inputs.first(x).device):
                self._steps(x) if self.recorder.layout == "step" else self._called(x)
        except Exception:
            return False
        finally:
            self.recorder.attach()
        return True

    def _called(self, x: Input) -> Any:
        """Calls the model on a batch; the compiled model only if the batch is a single tensor."""
        if isinstance(x, Tensor):
            return self._call(x)
        if isinstance(self._call, Compiling):
            self.recorder.note(
                "C10", "", "snnprof does not compile models with several inputs; the model ran eagerly",
                "Profile without --compile; the counts are the same",
            )  # fmt: skip
        return inputs.call(self.model, x)

    def _frames(self, x: Input) -> Iterator[Input]:
        """The inputs of the single steps in layout `step`: the frames of a sequence, or one still image T times."""
        steps = self.recorder.timesteps
        if not steps:
            raise SnnprofError("layout 'step' needs the number of time steps", hint="pass --timesteps T")
        return (inputs.at_step(x, step, steps) for step in range(steps))

    def _steps(self, x: Input) -> Tensor | None:
        """Calls the model once per time step; the mean output over T, or None if some output holds no tensor."""
        outputs = [neurons.first_tensor(inputs.call(self.model, frame)) for frame in self._frames(x)]
        if any(o is None for o in outputs):
            return None
        return torch.stack([o for o in outputs if o is not None]).float().mean(0)

    def _logits(self, result: Any) -> Tensor | None:
        """The first tensor of the output, averaged over T if its first two axes are time and batch."""
        logits = neurons.first_tensor(result)
        steps, batch = self.recorder.timesteps, self.recorder.batch_size
        if logits is not None and logits.dim() == 3 and steps:
            if tuple(logits.shape[:2]) == (steps, batch):
                return logits.float().mean(0)
            if tuple(logits.shape[:2]) == (batch, steps):
                return logits.float().mean(1)
        return logits

    @contextmanager
    def uncounted(self, compiled: bool) -> Iterator[Callable[[Input], None]]:
        """Yields a function that runs a batch through the model without the recorder, from the start of a sequence.

        The session must have run a batch before.
        """
        compiles = compiled and self.recorder.layout != "step"
        model: Any = torch.compile(self.model) if compiles else self.model

        def run(x: Input) -> None:
            x = inputs.mapped(x, self._arrived)
            self._reset()
            torch.manual_seed(seeds.of_model(self.seed))
            with machine.autocast(self.amp, self._device):
                self._steps(x) if self.recorder.layout == "step" else inputs.call(model, x)

        with _as_found(self.model, self.recorder), torch.no_grad():
            yield run

    def flops(self) -> list[LayerFlops]:
        """fvcore's operations per layer on one sample; empty if fvcore cannot trace the model. Called after the run."""
        assert self._sample is not None
        layout, steps = self.recorder.layout, self.recorder.timesteps
        sample, repeats = self._sample, 1
        if layout == "step":
            sample, repeats = inputs.at_step(sample, 0, steps or 1), steps or 1
        self.progress("checking with fvcore", self.samples_seen, self.total)
        with _as_found(self.model, self.recorder), torch.no_grad():
            self._reset()
            arguments = inputs.positional(self.model, sample)
            return (flops.layer_flops(self.model, arguments, repeats) if arguments else None) or []

    def checked(self) -> SelfCheck:
        """Counts one sample by the recorder and by a second counter, and compares both. Called after the run."""
        assert self._sample is not None
        assert self._first is not None
        self.progress("checking the counts", self.samples_seen, self.total)

        def run(x: Input) -> None:
            self._reset()
            torch.manual_seed(seeds.of_model(self.seed))
            self._call = self.model
            self._forward(x)

        with _as_found(self.model, self.recorder), torch.no_grad():
            samples = inputs.first(self._first).shape[self._batch_axis(self._first)]
            return checking.self_check(self.recorder, run, [self._sample, self._first], samples)

    def trace(self) -> SpikeTrace:
        """The single spikes of one sample. Called after the run."""
        assert self._sample is not None
        steps = self.recorder.timesteps or 1
        with _as_found(self.model, self.recorder), torch.no_grad(), tracing.traced(self.recorder) as trace:
            self._reset()
            torch.manual_seed(seeds.of_model(self.seed))
            self._steps(self._sample) if self.recorder.layout == "step" else inputs.call(self.model, self._sample)
        return trace.of(steps)

    def changed_spikes(self) -> Finding | None:
        """A finding on the share of spikes that the number format or the device changed, on one sample.

        None if no spike changed, or for a run on the CPU without autocast. Called after the run.
        """
        if (self.amp is None and self._device.type == "cpu") or self._sample is None:
            return None
        other = machine.other_formats(self.model)
        if other:
            return reference_run.unknown(f"the model's weights are {' and '.join(other)}")
        self.progress("comparing spikes with float32", self.samples_seen, self.total)
        with _as_found(self.model, self.recorder), torch.no_grad():
            try:
                self._reset()
                run = self._fired(self._sample, self.amp)
                self._reset()  # before the model is moved, since its saved state is on the device where it ran
                with machine.on_device(self.model, "cpu"):
                    reference = self._fired(inputs.mapped(self._sample, Tensor.cpu), None)
            except Exception as error:  # the counts are complete without this comparison
                return reference_run.unknown(first_line(error))
        return reference_run.finding(run, reference)

    def _fired(self, sample: Input, amp: Amp | None) -> Fired:
        torch.manual_seed(seeds.of_model(self.seed))
        with reference_run.fired(self.recorder) as found, machine.autocast(amp, inputs.first(sample).device):
            self._steps(sample) if self.recorder.layout == "step" else inputs.call(self.model, sample)
        return found


@dataclass
class _OpenBlock:
    """A block that is still being counted; the number of correct predictions stays on the device until it ends."""

    first: int
    samples: int = 0
    correct: Tensor | None = None
    labelled: bool = True
    read: int = 0

    def add(self, samples: int, correct: Tensor | None, read: int) -> None:
        """Adds a batch; `correct` is None if it has no labels."""
        self.samples += samples
        self.read += read
        if correct is None:
            self.labelled = False
        else:
            self.correct = correct if self.correct is None else self.correct + correct

    def total_correct(self) -> int | None:
        """The number of correct predictions, read from the device; None if some batch has no labels."""
        return int(self.correct) if self.labelled and self.correct is not None else None


MISFITS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""The errors that torch raises if a batch does not fit a model, also from an operator that the recorder calls."""


def _is_ours(error: Exception) -> bool:
    """Whether the recorder failed and not the model: its code is in the traceback, and no misfit explains the error."""
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
    """Compares the number of labels with the axes of a batch in layout `batch`.

    Raises:
        SnnprofError: the labels are as many as the second axis is long, and not the first: the first must be time.
    """
    if y is None or layout != "batch" or not y.dim() or len(y) == count:
        return
    if x.dim() > 1 and x.shape[1] == len(y):
        raise SnnprofError(
            f"a batch of shape {list(x.shape)} has {len(y)} labels, as many as its second axis has rows",
            hint="pass --layout time-batch, if time comes first",
        )


def _rows_are_second_axis(x: Tensor, logits: Tensor | None) -> bool:
    """Whether the model outputs one row for each element of the input's second axis instead of its first."""
    if logits is None or logits.dim() != 2 or x.dim() < 3:
        return False
    return bool(logits.shape[0] == x.shape[1] != x.shape[0])


def _spike_events(recorder: Recorder) -> int:
    return sum(op.blocks[-1][merging.SPIKE_EVENTS] for op in recorder.sites.ops.values())


@contextmanager
def _as_found(model: nn.Module, recorder: Recorder) -> Iterator[ModelState]:
    """Puts the model in evaluation mode; on exit restores training modes, state and random generators, always.

    Yields:
        The saved state.
    """
    modules = [module for _, module in neurons.named_modules(model)]
    modes = {
        module: module.training for module in modules if hasattr(module, "training")
    }  # frozen scripted modules have none
    state = ModelState.of(model)
    others = generators.restorers(model)
    with torch.random.fork_rng(devices=machine.cuda_devices(model)):
        try:
            _evaluate(model, modes)
            yield state
        finally:
            for module, training in modes.items():
                module.training = training
            state.restore(lambda module, name, value: True)
            for put_back in others:
                put_back()


def _evaluate(model: nn.Module, modules: Iterable[nn.Module]) -> None:
    """Puts the model in evaluation mode; exported programs refuse that and keep the mode of their export."""
    try:
        model.eval()
    except NotImplementedError:
        for module in modules:
            module.training = False


def _note_what_stays(state: ModelState, recorder: Recorder) -> None:
    """Notes the parameters that a pass wrote to, and the state that could not be restored."""
    for name in state.changed_parameters():
        recorder.note(
            "C23", name.rpartition(".")[0], f"A pass writes to parameter {name!r}: it is state, or the model learns",
            "Register state as a buffer, or switch learning off; large parameters are not restored",
        )  # fmt: skip
    for path in state.unrestorable:
        recorder.note(
            "C24", path.rpartition(".")[0], f"{path!r} could not be restored, so batches may not start from the same "
            "state", "Use a copy of the model for other work",
        )  # fmt: skip
