"""Prices that a user states in one line, `mac=4.6pJ,ac=0.9pJ`, instead of a file with sources."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import Field, ValidationError

from snnprof.errors import SnnprofError
from snnprof.hardware.schema import Energy, HardwareProfile, Precision, Price, Source, Technology
from snnprof.units import price_text

ID = "own-prices"
WORDS = {
    "mac": "MAC", "ac": "AC", "sop": "SOP", "sop_conv": "SOP of a convolution", "sop_linear": "SOP of a linear layer",
    "sop_sparse": "SOP of a sparse linear layer", "sop_matmul": "SOP of data with data",
    "neuron_update": "neuron update", "neuron_update_idle": "neuron update without input", "spike_out": "spike out",
    "message": "message", "spike_in": "spike in", "hop": "hop", "hop_east_west": "hop east or west",
    "hop_north_south": "hop north or south", "mul": "multiplication", "add": "addition", "compare": "comparison",
    "learn_update": "learning update",
}  # fmt: skip


class OwnPrices(HardwareProfile):
    """A price list without sources: only its user vouches for it, and nothing is known of the machine.

    Attributes:
        sources: empty.
    """

    sources: list[Source] = Field(default_factory=list)


def prices(id: str = ID, **energy: str | float) -> OwnPrices:
    """Makes a price list from constants: `prices(mac="4.6 pJ", ac="0.9 pJ", neuron_update="2 pJ")`.

    Args:
        id: what columns and messages call it: lower-case letters, digits, `-`, `.` and `_`.
        energy: fields of `Energy`: each a text with its unit, or a number of picojoules.

    Returns:
        The price list; `snnprof.price` takes it as hardware.

    Raises:
        SnnprofError: a field is unknown; an energy has no unit, is negative or is not finite; or neither MACs nor
            synaptic operations have a price.
    """
    for name in energy:
        _must_be_known(name)
    if not {"mac", "ac", "sop"} & energy.keys():
        raise SnnprofError("prices need at least one of mac, ac, sop", hint="for example mac=4.6pJ,ac=0.9pJ")
    try:
        costs = Energy.model_validate(energy)
        return _list(id, costs)
    except ValidationError as error:
        details = error.errors()[0]
        name, reason = str(details["loc"][0]), str(details["msg"]).removeprefix("Value error, ")
        raise SnnprofError(f"price {name}={energy.get(name, id)}: {_first_to_lower(reason)}") from error


def prices_in(text: str, id: str = ID) -> OwnPrices:
    """Reads the prices of a text such as `mac=4.6pJ,ac=0.9pJ`, in which each has its unit.

    Raises:
        SnnprofError: as `prices`; or the text is not of that form, or gives a price twice.
    """
    energy: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not name or not value:
            raise SnnprofError(
                f"prices are NAME=ENERGY, not {part.strip()!r}", hint="for example --price mac=4.6pJ,ac=0.9pJ"
            )
        _must_be_known(name)
        if name in energy:
            raise SnnprofError(f"price {name} is there twice")
        if value[-1:].isdigit():
            raise SnnprofError(f"price {name}={value} has no unit", hint=f"for example {name}={value}pJ")
        energy[name] = value
    return prices(id, **energy)


def stated(energy: Energy) -> Mapping[str, float]:
    """Returns the prices that are known, in picojoules, by the name of the event."""
    return {WORDS.get(name, name): price.value for name, price in energy if isinstance(price, Price)}


def _list(id: str, energy: Energy) -> OwnPrices:
    constants = ", ".join(f"{what} {price_text(pj)}" for what, pj in stated(energy).items())
    return OwnPrices(
        schema="snnprof.hardware/1", id=id, title=f"your own prices: {constants}", kind="digital",
        scope="per_term", evidence="unstated", technology=Technology(node_nm=None),
        precision=Precision(weight="unstated", activation="unstated", accumulator="unstated"), energy=energy,
        includes=["arithmetic"], excludes=[], note="Constants that the user stated; no source",
    )  # fmt: skip


def _must_be_known(name: str) -> None:
    if name not in Energy.model_fields:
        near = get_close_matches(name.lower(), Energy.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SnnprofError(f"unknown price {name!r}", hint=f"{hint}known: {', '.join(Energy.model_fields)}")


def _first_to_lower(text: str) -> str:
    return text[:1].lower() + text[1:]
