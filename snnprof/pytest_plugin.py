"""The pytest fixture `snn_budget`, for tests that fail if a network costs more than it may.

    def test_it_stays_cheap(snn_budget):
        budget = snn_budget(model, batches, timesteps=4)
        assert budget.energy < "0.2 mJ"
        assert budget.sops < 1e9

pytest loads this module in every run, so it imports nothing heavy before a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.pricing import EnergyReport


@total_ordering
@dataclass(frozen=True, eq=False)
class Energy:
    """An energy that compares with texts such as "0.2 mJ", and with other energies.

    Attributes:
        picojoules: the energy per inference.
        lower_bound: it excludes work without a price on this hardware.
    """

    picojoules: float
    lower_bound: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Energy, str)) and self.picojoules == _picojoules(other)

    def __lt__(self, other: Energy | str) -> bool:
        return self.picojoules < _picojoules(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        from snnprof.units import energy_text

        return ("≥ " if self.lower_bound else "") + energy_text(self.picojoules)


@dataclass(frozen=True)
class Budget:
    """What a network does and what it costs, per inference.

    Attributes:
        report: everything that was counted and priced.
    """

    report: EnergyReport

    @property
    def activity(self) -> Activity:
        """What ran: the raw counts and the facts of the run."""
        return self.report.activity

    @property
    def sops(self) -> float:
        """Synaptic operations per inference."""
        return self._per_inference(self.report.totals.sops)

    @property
    def macs(self) -> float:
        """Multiply-accumulates of real values per inference."""
        return self._per_inference(self.report.totals.macs)

    @property
    def energy(self) -> Energy:
        """Energy per inference of the work that has a price; `unpriced` names the other work.

        Raises:
            SnnprofError: none of the work has a price, or the number of samples is unknown.
        """
        energy = self.report.energy_pj
        if energy is None:
            raise _error(f"{self.report.hardware.id} has no price for any operation of this network")
        return Energy(self._per_inference(energy), self.report.lower_bound)

    @property
    def unpriced(self) -> dict[str, float]:
        """Work that the energy excludes, by name, and how often it is done per inference."""
        return {what: self._per_inference(count) for what, count in self.report.unpriced}

    def _per_inference(self, value: float) -> float:
        each = self.report.per_inference(value)
        if each is None:
            raise _error("a budget is per inference, but the number of samples of this run is unknown")
        return each


@pytest.fixture
def snn_budget() -> Callable[..., Budget]:
    """Returns the function `budget_of`, which counts and prices a model or a run.

    Call `snn_budget(model, batches, hardware=…, convention=…, **options of snnprof.profile)`, or `snn_budget(run)` with
    an `Activity` or the path of a run file.

    Returns:
        A function from a model or a run to its `Budget`.
    """
    return budget_of


def budget_of(
    model: Any, batches: Any = None, hardware: str = "cmos45-fp32", convention: str = "exact", **options: Any
) -> Budget:
    """Counts a model, or takes a run, and prices it.

    Args:
        model: an nn.Module; without `batches`, an `Activity` or the path of a run file.
        batches: what `snnprof.profile` takes: one tensor, or an iterable of x or (x, label).
        hardware: id or YAML file of a price list.
        convention: id of a convention, with options.
        options: further arguments of `snnprof.profile`.

    Returns:
        The counts and energies per inference.
    """
    import snnprof
    from snnprof.activity import Activity

    if batches is not None:
        activity = snnprof.profile(model, batches, **options)
    else:
        activity = model if isinstance(model, Activity) else Activity.load(model)
    return Budget(snnprof.price(activity, hardware=hardware, convention=convention))


def _picojoules(energy: Energy | str) -> float:
    if isinstance(energy, Energy):
        return energy.picojoules
    if not isinstance(energy, str):
        raise TypeError(f"compare an energy with a text such as '0.2 mJ', not with {energy!r}, which has no unit")
    from snnprof.hardware import picojoules

    return picojoules(energy)


def _error(text: str) -> Exception:
    from snnprof.errors import SnnprofError

    return SnnprofError(text)
