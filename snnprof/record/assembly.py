"""Assembles the counters of a recording into an Activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from snnprof.activity import (
    KINDS,
    PART_COUNTS,
    Activity,
    Block,
    ConstantOp,
    Finding,
    ModelFacts,
    NeuronRecord,
    OpRecord,
    Run,
    Uncounted,
)
from snnprof.record import findings
from snnprof.record.call_sites import CallSites
from snnprof.record.counters import LineCounter, NeuronCounter
from snnprof.record.neuron_layers import NeuronLayers
from snnprof.record.seen_time import SeenTime


@dataclass
class Assembly:
    """Makes an Activity of what was counted so far; changes nothing.

    Attributes:
        model: the recorded model.
        names: the paths of its modules.
        sites: the counters of contractions and other arithmetic.
        layers: the counters of neuron layers.
        seen_time: what the passes showed of T.
        ran: paths of the modules that have run.
        counted: samples and correct predictions of each block; correct is None without labels.
    """

    model: nn.Module
    names: Mapping[nn.Module, str]
    sites: CallSites
    layers: NeuronLayers
    seen_time: SeenTime
    ran: set[str]
    counted: Sequence[tuple[int, int | None]]

    def activity(self, batches: int | None, samples: int | None, timesteps: int | None) -> Activity:
        """Assembles the records and blocks.

        Args:
            batches: how many sequences ran; None if nobody knows, and then `steps` of all records is None.
            samples: how many samples ran; None if nobody knows, and then there are no blocks.
            timesteps: T; None if nobody knows.
        """
        units = self.sites.spikes.lines.sources.units()
        spiking = self._spiking()
        ops = self._op_records(batches, units, {counter.layer for counter in spiking})
        neurons = [self._neuron_record(counter, batches) for counter in spiking]
        lines = [
            line for line in self.sites.arithmetic.lines.values()
            if not (line.forgotten or self.layers.contain(line.layer))
        ]  # fmt: skip
        elementwise = [line.record() for line in lines]
        return Activity(
            run=Run(model=self._model_facts(), layout=self.sites.recording.layout, timesteps=timesteps),
            samples=samples,
            ops=ops,
            neurons=neurons,
            elementwise=elementwise,
            uncounted=self._uncounted(),
            constant_ops=self._constant_ops(),
            blocks=[] if samples is None else self._blocks(lines, spiking, units),
        )

    def findings(self, activity: Activity) -> list[Finding]:
        """Everything that a reader of these counts must know."""
        notes = self.sites.recording.notes
        return [*notes, *findings.of_sites(self.sites), *findings.of_activity(activity, self._idle())]

    # -- records -------------------------------------------------------------------------------------------

    def _spiking(self) -> list[NeuronCounter]:
        """The counters of neuron layers, and of firing lines whose spikes something reads."""
        spikes = self.sites.spikes
        read = set(self.sites.read_names)
        for op in self.sites.ops.values():
            for facts, role in zip(op.facts, op.roles, strict=True):
                if role == "data" and facts.grid:
                    read |= facts.fed_by
        lines = spikes.lines.by_name.items()
        kept = [line.counter for name, line in lines if name in read and name not in spikes.renamed]
        return [*self.layers.counters.values(), *(counter for counter in kept if counter is not None)]

    def _op_records(self, batches: int | None, units: Sequence[int], known: set[str]) -> list[OpRecord]:
        """The records of contractions, each with the names of the neurons before and after it that have a row."""
        spikes, ops = self.sites.spikes, self.sites.ops.values()
        lines = spikes.lines.by_name
        feeds = {id(op): {spikes.now_called(name) for name in op.feeds} & known for op in ops}
        for name in known & lines.keys():
            for number in lines[name].ops & feeds.keys():
                feeds[number].add(name)
        records = [op.record(batches, units) for op in ops]
        return [
            record.model_copy(
                update={
                    "feeds": sorted(feeds[number]),
                    "operands": [
                        operand.model_copy(update={"fed_by": sorted(spikes.fed_by(operand.fed_by, known))})
                        for operand in record.operands
                    ],
                }
            )
            for number, record in zip(feeds, records, strict=True)
        ]

    def _neuron_record(self, counter: NeuronCounter, batches: int | None) -> NeuronRecord:
        """The record; without the number of neurons if steps within one call were not told apart."""
        record = counter.record(batches)
        hidden = self.seen_time.within_calls and self.sites.recording.timesteps is None
        return record.model_copy(update={"size": 0, "fired_bitmap": None, "always_bitmap": None}) if hidden else record

    def _constant_ops(self) -> list[ConstantOp]:
        """Products of weights alone, by layer and kind."""
        sums = self.sites.constant_macs()
        return [ConstantOp(layer=layer, op=op, dense_macs=macs) for (layer, op), macs in sums.items()]

    def _uncounted(self) -> list[Uncounted]:
        calls = self.sites.arithmetic.uncounted.items()
        outside = {(layer, op): n for (layer, op), n in calls if not self.layers.contain(layer)}
        return [Uncounted(layer=layer, op=op, calls=calls) for (layer, op), calls in outside.items()]

    def _blocks(
        self, lines: Sequence[LineCounter], spiking: Sequence[NeuronCounter], units: Sequence[int]
    ) -> list[Block]:
        count = len(self.counted)
        width = 2 + len(KINDS) * len(PART_COUNTS)
        ops = [_padded(c.blocks_in(units), count, width) for c in self.sites.ops.values()]
        neurons = [_padded(c.blocks, count, 0) for c in spiking]
        other = [_padded(line.blocks, count, 2) for line in lines]
        return [
            Block(
                samples=samples,
                correct=correct,
                ops=[rows[i] for rows in ops],
                neurons=[rows[i] for rows in neurons],
                elementwise=[rows[i] for rows in other],
            )
            for i, (samples, correct) in enumerate(self.counted)
        ]

    # -- the model -----------------------------------------------------------------------------------------

    def _model_facts(self) -> ModelFacts:
        sizes = {name: p.numel() for name, p in nn.Module.named_parameters(self.model) if not is_lazy(p)}
        used = sum(size for name, size in sizes.items() if name in self.sites.weights.used)
        name = type(self.model).__name__
        return ModelFacts(source=name, name=name, parameters=sum(sizes.values()), parameters_used=used)

    def _idle(self) -> list[str]:
        """Modules that ran, and whose weight matrices reached no counted operator.

        A matrix of a module with others inside may be a dead parameter, which no operator read at all.
        """
        weights = self.sites.weights
        counted = weights.used | weights.late
        return [
            name
            for module, name in self.names.items()
            if name in self.ran
            and not self.layers.contain(name)
            and (matrices := self._matrices(module, name))
            and not matrices & counted
            and (matrices & weights.read or not any(True for _ in module.children()))
        ]

    def _matrices(self, module: nn.Module, name: str) -> set[str]:
        """A module's own weight matrices, by the names that they are known by."""
        own = [(key, p) for key, p in module._parameters.items() if p is not None and not is_lazy(p)]
        return {
            self.sites.weights.name_of(parameter) or f"{name}.{key}".lstrip(".")
            for key, parameter in own
            if parameter.dim() > 1
        }


def _padded(blocks: list[Any], count: int, width: int) -> list[Any]:
    """The blocks of a counter; one that appeared late has nothing in the blocks before."""
    width = len(blocks[0]) if blocks else width
    return [[0] * width] * (count - len(blocks)) + blocks
