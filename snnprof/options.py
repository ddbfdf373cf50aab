"""The options of a profiling run as plain values: the command line fills them in before it loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Layout = Literal["batch", "time-batch", "batch-time", "step"]
InputKind = Literal["auto", "spikes", "real"]
Amp = Literal["float16", "bfloat16", "fp16", "bf16"]
MAX_TIMESTEPS = 1_000_000
"""No network runs for more steps; a larger number is a typing error."""
MAX_SEED = 2**63 - 1
MAX_WORKERS = 1024
MEASURING = "measuring energy"
"""Name of the only phase that counts stretches of time instead of samples."""
Progress = Callable[[str, int, "int | None"], None]
"""A function of the phase's name, the samples done and the samples to do (None if unknown)."""


@dataclass(frozen=True)
class ProfileOptions:
    """The options of `snnprof profile` that decide what runs and how; None means the model's own default.

    Attributes:
        model: `NAME[:PRESET]`, `FILE.py:FUNCTION`, `package.module:ATTR` or `FILE.nir`.
        settings: keyword arguments for the model, as (key, text).
        checkpoint: weights to load.
        data: `digits`, `cifar10:DIR`, …, `FILE.npz`, `FILE.py:FUNCTION` or `random`.
        samples: stop after this many samples.
        until_ci: stop when the 95 % interval of the SOPs is within ± this many percent.
        device: a torch device; None: an accelerator if there is one.
        amp: number format of autocast.
        neurons: classes and functions to treat as spiking neurons.
        thresholds: firing thresholds by pattern of layers; pattern "" means all neurons.
        input_rate: an input element x (0 to 1) fires with this probability × x; None: the input stays as it is.
        self_check: count one sample twice after the run.
        resume: a run file to continue.
        workers: processes that load data ahead; None: the data source decides.
        measure: measure the energy of this machine after the run.
        maps: write attention maps of this many samples beside the run file.
        output: the run file, in which a long run also saves what it has so far.
        argv: the command line, for the record.
    """

    model: str
    settings: tuple[tuple[str, str], ...] = ()
    checkpoint: Path | None = None
    data: str | None = None
    layout: Layout | None = None
    input: InputKind = "auto"
    timesteps: int | None = None
    batch_size: int | None = None
    samples: int | None = None
    until_ci: float | None = None
    seed: int = 0
    device: str | None = None
    amp: Amp | None = None
    compile: bool = False
    neurons: tuple[str, ...] = ()
    thresholds: tuple[tuple[str, float], ...] = ()
    input_rate: float | None = None
    self_check: bool = True
    resume: Path | None = None
    workers: int | None = None
    measure: bool = False
    maps: int = 0
    output: Path | None = None
    argv: tuple[str, ...] = field(default=())


def is_graph(model: str) -> bool:
    """Whether a model is a file in the Neuromorphic Intermediate Representation; such a file holds no code.

    >>> is_graph("net.nir"), is_graph("net.py:nir")
    (True, False)
    """
    return model.lower().endswith(".nir")


def unit_of(phase: str) -> str:
    """Returns the unit in which a phase counts its progress."""
    return "stretches" if phase == MEASURING else "samples"


def ignore_progress(phase: str, done: int, total: int | None) -> None:
    """Shows no progress."""


def threshold_text(layers: str, value: float) -> str:
    """Writes a threshold as `--threshold` takes it and a run file holds it.

    >>> threshold_text("", 0.5), threshold_text("block.*", 1.0)
    ('0.5', 'block.*=1')
    """
    return f"{layers}={value:.12g}" if layers else f"{value:.12g}"


def threshold_of(text: str) -> tuple[str, float]:
    """Reads `VALUE` or `LAYERS=VALUE`: a pattern ("" for all neurons) and a positive number.

    Raises:
        ValueError: the value is not a positive, finite number.
    """
    layers, _, number = text.rpartition("=")
    value = float(number)
    if not 0 < value < float("inf"):
        raise ValueError(number)
    return layers, value


def file_and_key(place: str) -> tuple[Path, str]:
    """Splits `FILE:KEY`; the longest beginning that is a file is FILE, since a file's name may contain a colon.

    >>> file_and_key("missing.pt:ema"), file_and_key("C:\\\\missing.pt")[1]
    ((PosixPath('missing.pt'), 'ema'), '')
    """
    colons = [at for at, sign in enumerate(place) if sign == ":"]
    for end in [len(place), *reversed(colons)]:
        if Path(place[:end]).is_file():
            return Path(place[:end]), place[end + 1 :]
    drive = len(place) > 2 and place[0].isalpha() and place[1] == ":" and place[2] in "\\/"
    file, _, key = place[2:].partition(":") if drive else place.partition(":")
    return Path(place[:2] + file if drive else file), key
