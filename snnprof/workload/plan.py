"""Resolves the options of `snnprof profile` into a model, a data source, batches and the facts of the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from snnprof import capacity, merging
from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.options import MAX_TIMESTEPS, ProfileOptions, Progress, threshold_text
from snnprof.record.recorder import Recorder
from snnprof.workload import machine, models, resume, source_code, sources
from snnprof.workload.batches import Batch, Batches, InputSpec, Loading, Sampler, Source, reading
from snnprof.workload.distributed import ProcessGroup
from snnprof.workload.map_dataset import TensorDataset
from snnprof.workload.models import LoadedModel
from snnprof.workload.rate_coding import RateCoded
from snnprof.workload.session import Session, Shard
from snnprof.workload.stopping import StoppingRule
from snnprof.workload.thresholds import set_thresholds

DEFAULT_BATCH = 32
BATCHES_OF_A_PART = 16
"""At least as many batches run with --samples, so that there are blocks enough for a confidence interval."""
BATCHES_TO_STOP = 64
"""At least as many batches exist with --until-ci, so that the run can stop after a part of them."""
Opener = Callable[[str, InputSpec, "int | None"], Source]
"""Opens a data source by the value of --data, what the model needs of its data, and the number of samples."""


@dataclass(frozen=True)
class RunPlan:
    """What will run: a model, a data source, a sampler, and perhaps an earlier run to resume.

    Attributes:
        options: the options of the command.
        loaded: the model with its weights.
        wanted: what the model needs of its data.
        source: the data source.
        sampler: which samples run, in which batches.
        conditions: the settings that decide the counts, by the flag that sets them.
        earlier: the run to resume; None without --resume.
    """

    options: ProfileOptions
    loaded: LoadedModel
    wanted: InputSpec
    source: Source
    sampler: Sampler
    conditions: dict[str, str]
    earlier: Activity | None

    @classmethod
    def of(cls, options: ProfileOptions, open_source: Opener = sources.open_source) -> RunPlan:
        """Loads the model and the earlier run, and opens the data source; no sample is read from an iterable yet.

        Args:
            options: the options of the command.
            open_source: opens the data source. Runs that share sources pass a function that opens each one once.

        Raises:
            SnnprofError: the model, checkpoint, data source or the run to resume is missing or wrong.
        """
        machine.now()
        settings = dict(options.settings)
        loaded = models.resolve(
            options.model, settings, options.checkpoint, options.seed, options.timesteps, options.layout
        )
        set_thresholds(loaded.module, options.thresholds, options.neurons)
        wanted = _wanted(loaded, options)
        _must_be_possible(wanted.timesteps)
        source = open_source(_data_name(loaded, options), wanted, options.samples)
        if options.input_rate is not None:
            source = RateCoded(source, options.input_rate, options.seed)
        earlier = resume.earlier_run(options.resume) if options.resume else None
        sampler = _sampler(source, options)
        _must_fit(wanted, min(sampler.size, source.facts.total or sampler.size))
        return cls(options, loaded, wanted, source, sampler, _conditions(loaded, options), earlier)

    @property
    def stopping(self) -> StoppingRule | None:
        """The stopping rule of --until-ci; None without it."""
        return None if self.options.until_ci is None else StoppingRule(self.options.until_ci)

    @property
    def samples(self) -> int | None:
        """The number of samples that will run at most; None if unknown."""
        return _smaller(self.source.facts.total, self.options.samples)

    def session(self, group: ProcessGroup, progress: Progress) -> Session:
        """The session that counts this process's share of the run."""
        done = (self.earlier.samples or 0) if self.earlier else 0
        return self.session_of(Shard(group.rank, group.size, done), self._span(), progress)

    def session_of(self, shard: Shard, span: int, progress: Progress) -> Session:
        """The session that counts the batches of a shard, in blocks of `span` batches."""
        recorder = Recorder(
            self.loaded.module,
            layout=self.wanted.layout,
            timesteps=self.wanted.timesteps,
            input=self.options.input,
            neuron=self.options.neurons,
        )
        return Session(
            self.loaded.module, recorder, self.options.seed, amp=self.options.amp, compile=self.options.compile,
            shard=shard, span=span, progress=progress, total=self.samples, remembers=True,
        )  # fmt: skip

    def _span(self) -> int:
        """The number of batches in a block; 1 if the number of batches is unknown, and then the session raises it."""
        if self.stopping or self.samples is None or not self.source.ordered:
            return 1
        return merging.span(-(-self.samples // self.sampler.size))

    def batches(self, session: Session) -> Batches:
        """The batches that the session draws. An iterable makes every batch anyway, so all are read and compared."""
        needed = session.shard.reads if self.source.ordered else _everything
        return self.source.batches(self.sampler, needed, self._loading())

    def fresh_batches(self) -> Batches:
        """All batches of the run, from a source that is opened again, since an iterable may be read once only."""
        source = sources.open_source(_data_name(self.loaded, self.options), self.wanted, self.options.samples)
        return source.batches(self.sampler, _everything)

    def _loading(self) -> Loading:
        on_cuda = machine.device_of(self.loaded.module).type == "cuda"
        return Loading(self.options.workers, pinned=on_cuda, seed=self.options.seed)

    def run(self, recorded: Run) -> Run:
        """Adds the facts of the run to those that the recorder knows; a resumed run keeps its first command line."""
        model = self.loaded.facts.model_copy(update={"parameters_used": recorded.model.parameters_used})
        data = self.source.facts.model_copy(update={"order_seed": self.sampler.seed})
        argv = self.earlier.run.argv if self.earlier else list(self.options.argv)
        facts = {
            "model": model, "data": data, "argv": argv, "conditions": self.conditions,
            "layout": self.wanted.layout, "timesteps": recorded.timesteps or self.wanted.timesteps,
            "batch_size": self.sampler.size, "seed": self.options.seed, **machine.facts(self.loaded.module),
        }  # fmt: skip
        return recorded.model_copy(update=facts)

    def must_go_on(self) -> None:
        """Raises SnnprofError if the run to resume differs from this one in something that decides the counts."""
        if self.earlier is not None:
            resume.must_be_same(self.earlier.run, self.run(Run()))

    def must_agree(self, group: ProcessGroup) -> None:
        """Checks after the first batch that the run to resume and all processes have the same data and weights.

        Raises:
            SnnprofError: they have not.
        """
        self.must_go_on()
        seen = group.gather((self.source.facts, _contents(self.source, group), self.sampler, self.conditions))
        if any(other != seen[0] for other in seen):
            raise SnnprofError(
                "the processes of this run have different data or weights",
                hint="seed the random numbers in the model's and the data's code, or load weights with --checkpoint",
            )


def _must_be_possible(timesteps: Any) -> None:
    """Raises SnnprofError if T is no number in range; given with --set, it may be any value."""
    if timesteps is not None and not (isinstance(timesteps, int) and 1 <= timesteps <= MAX_TIMESTEPS):
        raise SnnprofError(f"the number of time steps must be from 1 to {MAX_TIMESTEPS:,}, not {timesteps}")


def _must_fit(wanted: InputSpec, samples: int) -> None:
    """Raises SnnprofError if a batch for a model of known input shape does not fit in memory.

    Layout `step` is not checked, since the model sees one step at a time.
    """
    if wanted.shape is None or wanted.layout == "step":
        return
    steps = 1 if wanted.events else wanted.timesteps or 1
    capacity.must_fit(
        f"a batch of {samples} samples in {wanted.timesteps or 1} time steps",
        4 * math.prod(wanted.shape) * steps * samples,
        "pass a smaller --timesteps or --batch-size",
    )


def _everything(number: int, start: int) -> bool:
    return True


def _contents(source: Source, group: ProcessGroup) -> int | None:
    """A digest of all data in memory, to compare processes; None for one process, and for data in files.

    The fingerprint in the facts covers the beginning of data in files; no process reads all the rest.
    """
    if not isinstance(source, TensorDataset) or group.size == 1:
        return None
    return reading(Batch(0, len(source), source.x, source.y))


def _sampler(source: Source, options: ProfileOptions) -> Sampler:
    """The sampler; it draws samples at random if only a part of the data runs, since data may be sorted by class."""
    partly = bool(options.samples or options.until_ci) and source.ordered
    return Sampler(
        options.batch_size or _batch_size(source, options), options.samples, options.seed if partly else None
    )


def _batch_size(source: Source, options: ProfileOptions) -> int:
    """The batch size: at most 32, and smaller if a part of the data would make too few blocks for an interval."""
    samples = _smaller(source.facts.total, options.samples)
    if samples is None:
        return DEFAULT_BATCH
    batches = BATCHES_TO_STOP if options.until_ci else BATCHES_OF_A_PART if options.samples else 1
    return max(1, min(DEFAULT_BATCH, samples // batches))


def _smaller(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _conditions(loaded: LoadedModel, options: ProfileOptions) -> dict[str, str]:
    """The further settings that decide the counts, by the flag that sets them."""
    flags = {
        "--set": " ".join(f"{key}={value}" for key, value in sorted(options.settings)),
        "--input": options.input,
        "--neuron": " ".join(sorted(options.neurons)),
        "--threshold": " ".join(threshold_text(*each) for each in options.thresholds),
        "--input-rate": options.input_rate,
        "--samples": options.samples,
        "--until-ci": options.until_ci,
        "--amp": options.amp,
        "--compile": options.compile or None,
        "the weights": models.digest(loaded.module),
        "the code of the model": source_code.digest(loaded.module, options.model),
    }
    return {flag: str(value) for flag, value in flags.items() if value not in (None, "")}


def _wanted(loaded: LoadedModel, options: ProfileOptions) -> InputSpec:
    """What the model needs of its data: the options first, then what is known of the model."""
    preset = loaded.preset
    normalise = preset.normalise if preset else None
    return InputSpec(
        shape=tuple(loaded.input_shape) if loaded.input_shape else None,
        layout=options.layout or loaded.layout or "batch",
        timesteps=options.timesteps or loaded.timesteps,
        classes=loaded.classes,
        events=bool(preset and preset.events),
        dtype=machine.only_format(loaded.module) or torch.float32,
        tokens=models.tokens(loaded.module),
        mean=tuple(normalise.mean) if normalise else (),
        std=tuple(normalise.std) if normalise else (),
    )


def _data_name(loaded: LoadedModel, options: ProfileOptions) -> str:
    """The data source: --data, or the data that ships with snnprof if the model was made for them."""
    if options.data:
        return options.data
    made_for = loaded.preset.data if loaded.preset else None
    if made_for == "digits":
        return "digits"
    name = f"{made_for}:DIR" if made_for else "FILE.npz or FILE.py:FUNCTION"
    raise SnnprofError(f"{options.model} needs data", hint=f"pass --data {name}, or --data random to see shapes only")
