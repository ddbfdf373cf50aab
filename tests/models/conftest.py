"""What several tests of the models need."""

from types import ModuleType

import pytest


@pytest.fixture
def spikingjelly() -> ModuleType:
    """Its neurons; it needs Python 3.11."""
    module: ModuleType = pytest.importorskip("spikingjelly.activation_based.neuron")
    return module
