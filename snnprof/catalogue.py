"""The catalogue: the models that are known by name, and what is known about them. It needs no torch and no NumPy.

One YAML file per paper, beside the model's `.py`:

    name: spikformer                  # what users type; the file's stem
    title: Spikformer
    builder: package.module:function  # function(**settings) -> nn.Module
    layout: batch                     # axes of the input: batch | time-batch | batch-time | step
    paper: {title, authors, year, venue, doi, url, bibtex}
    note: what was assumed            # `reconstruction: true` if the paper's own definition could not be read
    known, assumed: [sentence, …]
    default: digits                   # the preset of a bare name
    usual_width: 64                   # that of ResNets: papers name a width only if it is another one
    roles:                            # first match wins; a pattern is a regular expression for the whole of
      - {pattern: …, role: QKV}       # a module path, or of `path#index` for a layer's index-th contraction;
      - {pattern: …, role: …, presets: …}                                  # optionally only for some presets
    blocks:
      - {pattern: 'block\\.(\\d+)(\\..*)?', block: 'block \\1'}
    presets:
      4-384-cifar10:
        settings: {…, classes: 10, timesteps: 4}      # the builder's keyword arguments
        input_shape: [3, 32, 32]                      # one frame; an event model sees T of them
        parameters: 9330874                           # all; then those that reach the output; MACs of one inference.
        parameters_used: 9324730                      # `models list` shows these without building the network
        dense_macs: 3736145664
        events: false
        data: cifar10                                 # a `--data` source
        normalise: {mean: […], std: […]}              # of images in [0, 1], as in training
        aliases: […]
        checkpoint: file                              # beside the YAML; seed and test accuracy of its training
        seed: 0
        accuracy: 0.99
        note: …
    published:                        # rows for `paper:ROW`; those of the bundled models are in literature.yaml
      - {id, title, preset, dataset, timesteps, scope, parameters_m, accuracy, sops_g, energy_mj,
         attention_rate, output_rate, arithmetic: {sop_pj, mac_pj, macs_g}, note, source, status}

Third parties add models by an entry point in the group `snnprof.models`, named after the model: a module with a YAML
of its name beside it, a package that holds NAME.yaml, or an attribute with the path of a YAML file.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from snnprof import literature, plugins
from snnprof.errors import SnnprofError, unknown
from snnprof.literature import Published
from snnprof.yaml_file import YamlProblem, read_yaml

ENTRY_POINTS = "snnprof.models"
SEE = "snnprof models list"


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Paper(_Facts):
    """The paper that describes a model."""

    title: str
    authors: str
    year: int
    venue: str = ""
    doi: str | None = None
    url: str | None = None
    bibtex: str


class Role(_Facts):
    """What the layers that match a pattern do: `stem`, `SPS`, `QKV`, `QK^T`, `AV`, `projection`, `MLP`, `head`, …"""

    pattern: str
    role: str
    presets: str = ".*"


class BlockPattern(_Facts):
    """The block of the layers that match a pattern; `block` may use the pattern's groups."""

    pattern: str
    block: str


class Normalise(_Facts):
    """Mean and standard deviation of each channel by which training normalised images in [0, 1]."""

    mean: list[float]
    std: list[float]


class Preset(_Facts):
    """One configuration of a model.

    Attributes:
        settings: keyword arguments of the builder.
        input_shape: one frame [C, H, W]; `sample_shape` returns what the model takes.
        parameters, parameters_used: number of all parameters, and of those that reach the output.
        dense_macs: MACs of one inference over all time steps.
        events: a sample is T frames instead of one.
        data: a `--data` source.
        normalise: how training normalised images; None: not at all.
        aliases: further names of the preset.
        checkpoint: file beside the YAML; None if snnprof has no weights for it.
        seed, accuracy: of the checkpoint's training; accuracy is a share (0 to 1) of the test samples.
        note: what a reader must know about the preset.
    """

    settings: dict[str, Any] = Field(default_factory=dict)
    input_shape: list[int]
    parameters: int | None = None
    parameters_used: int | None = None
    dense_macs: int | None = None
    events: bool = False
    data: str
    normalise: Normalise | None = None
    aliases: list[str] = Field(default_factory=list)
    checkpoint: str | None = None
    seed: int | None = None
    accuracy: float | None = None
    note: str | None = None

    @property
    def timesteps(self) -> int | None:
        """T; None if the settings do not contain it."""
        return self.settings.get("timesteps")

    @property
    def classes(self) -> int | None:
        """Number of classes; None if the settings do not contain it."""
        return self.settings.get("classes")

    def sample_shape(self, timesteps: int | None = None) -> list[int]:
        """Returns the shape of one sample: [T, C, H, W] of an event model, else [C, H, W].

        `timesteps` replaces the preset's T.
        """
        steps = timesteps or self.timesteps
        return [steps, *self.input_shape] if self.events and steps else list(self.input_shape)


class ModelEntry(_Facts):
    """Everything that the catalogue knows about one model; the module docstring explains the fields."""

    name: str
    title: str
    builder: str
    layout: Literal["batch", "time-batch", "batch-time", "step"] = "batch"
    paper: Paper
    reconstruction: bool = False
    note: str | None = None
    known: list[str] = Field(default_factory=list)
    assumed: list[str] = Field(default_factory=list)
    default: str
    usual_width: int | None = None
    roles: list[Role] = Field(default_factory=list)
    blocks: list[BlockPattern] = Field(default_factory=list)
    presets: dict[str, Preset]
    published: list[Published] = Field(default_factory=list)
    _path: Path = PrivateAttr(default=Path())

    @field_validator("roles", "blocks")
    @classmethod
    def _patterns_compile(cls, value: list[Any]) -> list[Any]:
        for item in value:
            try:
                re.compile(item.pattern)
            except re.error as error:
                raise ValueError(f"{item.pattern!r} is not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> ModelEntry:
        if self.default not in self.presets:
            raise ValueError(f"the default preset {self.default!r} is not among the presets")
        strangers = {row.preset for row in self.published if row.preset} - set(self.presets)
        if strangers:
            raise ValueError(f"published rows name presets that do not exist: {', '.join(sorted(strangers))}")
        return self

    @property
    def path(self) -> Path:
        """The YAML file."""
        return self._path

    def preset_name(self, name: str | None) -> str:
        """Returns a preset's own name, from its name or an alias; None means the default one.

        Raises:
            SnnprofError: there is no such preset.
        """
        if name is None:
            return self.default
        for own, preset in self.presets.items():
            if name == own or name in preset.aliases:
                return own
        aliases = [alias for preset in self.presets.values() for alias in preset.aliases]
        names = [*self.presets, *aliases]
        raise unknown("preset", name, names, f"snnprof models show {self.name}", owner=self.name)

    def preset(self, name: str | None = None) -> Preset:
        """Returns a preset by name or alias, or the default one."""
        return self.presets[self.preset_name(name)]

    def checkpoint_path(self, name: str | None = None) -> Path | None:
        """Returns the file of the checkpoint that comes with a preset; None if there is none."""
        file = self.preset(name).checkpoint
        return None if file is None else self.path.parent / file

    def role(self, layer: str, index: int | None = None, preset: str | None = None) -> str | None:
        """Returns the role of a layer, or of its `index`-th contraction; None if no pattern matches."""
        for entry in self.roles:
            if _matches(entry.pattern, layer, index) and re.fullmatch(entry.presets, preset or self.default):
                return entry.role
        return None

    def block(self, layer: str) -> str | None:
        """Returns the block of the network to which a layer belongs; None if no pattern matches."""
        for entry in self.blocks:
            match = re.fullmatch(entry.pattern, layer)
            if match:
                return match.expand(entry.block)
        return None


def architecture(name: str, preset: str | None, changed: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """Names a network as papers do, by blocks and width; None if either is unknown.

    `changed` holds settings that replace the preset's, as texts.

    >>> architecture("spikformer", "4-384-cifar10"), architecture("sew_resnet", "34-imagenet")
    ('Spikformer-4-384', 'SEW-ResNet-34')
    """
    if not is_known(name):
        return None
    known = entry(name)
    preset = preset or known.default
    if preset not in known.presets:
        return None
    settings = {**known.presets[preset].settings, **changed}
    depth, width = settings.get("depth"), settings.get("width")
    if depth is None or width is None:
        return None
    family = known.title.partition(" (")[0]
    return f"{family}-{depth}" if str(width) == str(known.usual_width) else f"{family}-{depth}-{width}"


def architecture_of(row: Published) -> str | None:
    """Names the network of a published row; None if no preset represents it."""
    model, _, preset = (row.preset or "").partition(":")
    return architecture(model, preset) if preset else None


def names() -> list[str]:
    """Returns the names of all models: the bundled ones, then those of other packages."""
    bundled = sorted(_bundled())
    return bundled + sorted(set(_plugins()) - set(bundled))


def is_known(name: str) -> bool:
    """Whether a model is in the catalogue. Other packages are searched only for names that are not bundled."""
    return name in _bundled() or name in _plugins()


@cache
def entry(name: str) -> ModelEntry:
    """Returns what is known about a model.

    Raises:
        SnnprofError: there is no such model, or its file is invalid.
    """
    if name in _bundled():
        return load(_bundled()[name])
    if name in _plugins():
        return _third_party(_plugins()[name])
    raise unknown("model", name, names(), SEE)


def entries() -> tuple[list[ModelEntry], list[SnnprofError]]:
    """Returns every valid model, and what is wrong with the others: a broken package hides no other model."""
    return plugins.in_order(names(), entry)


def split(spec: str) -> tuple[str, str]:
    """Splits NAME[:PRESET] into the model's name and the preset's own name.

    Raises:
        SnnprofError: there is no such model or preset.
    """
    name, _, wanted = spec.partition(":")
    return name, entry(name).preset_name(wanted or None)


def preset(name: str, preset: str | None = None) -> Preset:
    """Returns a preset by `NAME:PRESET`, or by name and preset.

    Raises:
        SnnprofError: there is no such model or preset.
    """
    model, own = split(name if preset is None else f"{name}:{preset}")
    return entry(model).presets[own]


def role(name: str, layer: str, index: int | None = None, preset: str | None = None) -> str | None:
    """Returns a layer's role in a model known by name; None for other models."""
    known = _in_order(name)
    return known.role(layer, index, preset) if known else None


def block(name: str, layer: str) -> str | None:
    """Returns a layer's block in a model known by name; None for other models."""
    known = _in_order(name)
    return known.block(layer) if known else None


def published() -> dict[str, Published]:
    """Returns all published rows by id: those of other packages' models, and the bundled ones, which win."""
    others = plugins.in_order([name for name in _plugins() if name not in _bundled()], entry)[0]
    return {row.id: row for row in (*(row for model in others for row in published_of(model)), *_bundled_rows())}


def published_of(model: ModelEntry) -> list[Published]:
    """Returns the published rows about one model: those in its own file, then the bundled ones."""
    own = [row.model_copy(update={"preset": row.preset and f"{model.name}:{row.preset}"}) for row in model.published]
    return own + [row for row in _bundled_rows() if (row.preset or "").partition(":")[0] == model.name]


def published_row(row: str) -> Published:
    """Finds a published row by its id, an alias, or an unambiguous beginning of one, as in `paper:ROW`.

    Raises:
        SnnprofError: there is no such row, or there are several.
    """
    return literature.row_of(row, published())


def _bundled_rows() -> Iterable[Published]:
    return literature.rows().values()


def load(path: Path) -> ModelEntry:
    """Reads a model's YAML file.

    Raises:
        SnnprofError: the file is missing or does not follow the schema.
    """
    try:
        document = read_yaml(path)
        found = ModelEntry.model_validate(document.data)
    except YamlProblem as problem:
        raise SnnprofError(f"model file {path}{_at(problem.line)}: {problem.text}") from problem
    except ValidationError as error:
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")  # a misspelt key first
        where = ".".join(str(part) for part in first["loc"])
        line = _at(document.line_of(first["loc"]))
        raise SnnprofError(f"model file {path}{line}: {where or 'file'}: {first['msg']}") from error
    found._path = path
    return found


def _at(line: int | None) -> str:
    return "" if line is None else f", line {line}"


def _matches(pattern: str, layer: str, index: int | None) -> bool:
    if re.fullmatch(pattern, layer):
        return True
    return index is not None and re.fullmatch(pattern, f"{layer}#{index}") is not None


@cache
def _bundled() -> dict[str, Path]:
    folder = Path(str(files("snnprof.models")))
    return {path.stem: path for path in folder.glob("*.yaml")}


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _in_order(name: str | None) -> ModelEntry | None:
    """Returns a model's entry; None if its package is missing or broken, since a run file can be shown without it."""
    try:
        return entry(name) if name and is_known(name) else None
    except SnnprofError:
        return None


def _third_party(point: EntryPoint) -> ModelEntry:
    try:
        return load(_plugin_file(point))
    except plugins.BROKEN as error:
        raise plugins.failed(f"model {point.name!r}", point, error) from error


def _plugin_file(point: EntryPoint) -> Path:
    """Returns the YAML file of an entry point. It locates a module without importing it, so torch is not loaded."""
    if point.attr:
        return Path(point.load())
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None:
        raise SnnprofError(f"there is no module {point.module!r}")
    return _first_file(_candidates(Path(spec.origin), point.name))


def _candidates(module: Path, name: str) -> Iterable[Path]:
    return (module.with_suffix(".yaml"), module.parent / f"{name}.yaml")


def _first_file(candidates: Iterable[Path]) -> Path:
    tried = list(candidates)
    for path in tried:
        if path.is_file():
            return path
    raise SnnprofError(f"there is no {' or '.join(map(str, tried))}")
