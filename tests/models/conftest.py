"""What several tests of the models need."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from snnprof.activity import Activity


@pytest.fixture
def spikingjelly() -> ModuleType:
    """Its neurons; it needs Python 3.11."""
    module: ModuleType = pytest.importorskip("spikingjelly.activation_based.neuron")
    return module


@pytest.fixture
def lively() -> Callable[[nn.Module], nn.Module]:
    """Random batch norms, so that neurons of an untrained network fire; double precision, so that none flips."""

    def enliven(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.05, 0.3, generator=generator)
                module.bias.data.uniform_(0.0, 1.0, generator=generator)
        return model.double().eval()

    return enliven


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5)).double() * 2


@pytest.fixture
def profiled(images: torch.Tensor) -> Callable[[nn.Module], Activity]:
    """What a lively network did on the images, checked to be counted in full."""
    import snnprof

    def profile(model: nn.Module) -> Activity:
        activity = snnprof.profile(model.float(), images.float(), layout="batch", timesteps=3)
        assert activity.coverage == 1.0
        assert activity.uncounted == []
        assert activity.self_check is not None
        assert activity.self_check.equal == activity.self_check.rows == len(activity.ops)
        return activity

    return profile
