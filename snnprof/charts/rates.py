"""Firing rates by role and block, by layer, and by time step, with 95 % confidence intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from snnprof import statistics
from snnprof.activity import Activity, NeuronRecord
from snnprof.errors import SnnprofError
from snnprof.grouping import ROOT, block_of, role_of
from snnprof.statistics import Interval

MOST_ROLES = 12
"""A figure with more roles than this cannot be read."""
_QKV = re.compile(r"(?:^|[._])([qkv])(?=[._\d]|$)")


@dataclass(frozen=True)
class Rate:
    """The firing rate of some neuron layers: spikes per neuron and step.

    Attributes:
        block: the block that contains the layers; "" outside of blocks.
        role: role of the layers in the catalogue, with separate roles for Q, K and V; else their path in the block.
        layers: paths of the neuron layers.
        value: the rate; None if none of them ever ran.
    """

    block: str
    role: str
    layers: tuple[str, ...]
    value: Interval | None


@dataclass(frozen=True)
class StepRates:
    """The firing rate of some neuron layers at each time step.

    Attributes:
        block: the block that contains the layers; "" if blocks are not told apart.
        role: role of the layers, as in `Rate`.
        values: the rate at each step; None where no neuron was updated.
    """

    block: str
    role: str
    values: tuple[Interval | None, ...]


def rates_by_role(activity: Activity) -> tuple[Rate, ...]:
    """The rate of each role in each block, in the order of the network.

    Raises:
        SnnprofError: the run saw no spiking neuron.
    """
    return _rates(activity, lambda neuron: (block_of(activity, neuron.layer), neuron_role(activity, neuron.layer)))


def rates_by_layer(activity: Activity) -> tuple[Rate, ...]:
    """The rate of each neuron layer.

    Raises:
        SnnprofError: the run saw no spiking neuron.
    """
    return _rates(activity, lambda neuron: (neuron.layer,))


def roles_repeat(rates: Sequence[Rate]) -> bool:
    """Whether a figure by role is useful: some role occurs in several blocks, and there are at most `MOST_ROLES`."""
    roles = [rate.role for rate in rates]
    return len(set(roles)) < len(roles) and len(set(roles)) <= MOST_ROLES


def rates_by_step(activity: Activity, by_block: bool = False) -> tuple[StepRates, ...]:
    """The rate of each role at each time step.

    Args:
        activity: the run.
        by_block: give each block its own rates.

    Raises:
        SnnprofError: the run saw no spiking neuron, or its number of time steps is unknown.
    """
    known = [neuron for neuron in _spiking(activity) if neuron.spikes_per_step and neuron.updates]
    if not known:
        raise SnnprofError(
            "the number of time steps is unknown, so there is nothing to plot by step",
            hint="profile with --timesteps T, or with the --layout of the model's input",
        )
    groups: dict[tuple[str, str], list[NeuronRecord]] = {}
    for neuron in known:
        block = block_of(activity, neuron.layer) if by_block else ""
        groups.setdefault((block, neuron_role(activity, neuron.layer)), []).append(neuron)
    restricted = _blocks(activity)
    return tuple(StepRates(block, role, _steps(group, restricted)) for (block, role), group in groups.items())


def neuron_role(activity: Activity, layer: str) -> str:
    """The role of a neuron layer, with separate roles for Q, K and V; its path in its block if it is unknown."""
    role = role_of(activity, layer, None)
    letter = _QKV.search(layer.rpartition(".")[2].lower())
    if letter and (role is None or role in ("QKV", "QK")):
        return letter.group(1).upper()
    if role is not None:
        return role
    block = block_of(activity, layer)
    return layer.removeprefix(block).lstrip(".") or layer or ROOT


def _spiking(activity: Activity) -> list[NeuronRecord]:
    if not activity.neurons:
        raise SnnprofError(
            "there are no firing rates to plot: the run saw no spiking neuron",
            hint="name your neuron class with 'snnprof profile --neuron CLASS'",
        )
    return activity.neurons


def _rates(activity: Activity, key: Callable[[NeuronRecord], tuple[str, ...]]) -> tuple[Rate, ...]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for neuron in _spiking(activity):
        groups.setdefault(key(neuron), []).append(neuron.layer)
    restricted = _blocks(activity)
    return tuple(
        Rate(
            block_of(activity, layers[0]), neuron_role(activity, layers[0]), tuple(layers),
            _ratio(_of(activity.neurons, layers), [_of(each, layers) for each in restricted]),
        )
        for layers in groups.values()
    )  # fmt: skip


def _blocks(activity: Activity) -> list[list[NeuronRecord]]:
    """The records of the neuron layers for each block of samples."""
    return [activity.restricted(block).neurons for block in activity.blocks if block.samples]


def _of(neurons: Sequence[NeuronRecord], layers: Sequence[str]) -> list[NeuronRecord]:
    return [neuron for neuron in neurons if neuron.layer in layers]


def _ratio(whole: Sequence[NeuronRecord], parts: Sequence[Sequence[NeuronRecord]]) -> Interval | None:
    """Σ spikes / Σ updates, with an interval from the blocks of samples; None without updates."""
    return share(_counts(whole), [_counts(part) for part in parts])


def _counts(neurons: Sequence[NeuronRecord]) -> tuple[int, int]:
    return sum(neuron.spikes for neuron in neurons), sum(neuron.updates for neuron in neurons)


def _steps(group: Sequence[NeuronRecord], restricted: Sequence[Sequence[NeuronRecord]]) -> tuple[Interval | None, ...]:
    """The rate at each step, over the layers that ran at that step."""
    layers = [neuron.layer for neuron in group]
    parts = [_of(each, layers) for each in restricted]
    steps = max(len(neuron.spikes_per_step) for neuron in group)
    return tuple(share(_at(group, step), [_at(part, step) for part in parts]) for step in range(steps))


def _at(neurons: Sequence[NeuronRecord], step: int) -> tuple[int, int]:
    """Spikes and updates at one step; each layer updates the same number of neurons at all of its steps."""
    ran = [neuron for neuron in neurons if step < len(neuron.spikes_per_step)]
    spikes = sum(neuron.spikes_per_step[step] for neuron in ran)
    return spikes, sum(neuron.updates // len(neuron.spikes_per_step) for neuron in ran)


def share(whole: tuple[int, int], parts: Sequence[tuple[int, int]]) -> Interval | None:
    """The ratio of two counts with its 95 % interval, whose lower end is at least 0.

    Args:
        whole: numerator and denominator over the run.
        parts: numerator and denominator of each block of samples.

    Returns:
        The ratio and its interval; None if the denominator is 0.
    """
    if not whole[1]:
        return None
    interval = statistics.ratio_interval([part[0] for part in parts], [part[1] for part in parts])
    low = None if interval.low is None else max(0.0, interval.low)
    return replace(interval, value=whole[0] / whole[1], low=low)
