"""The machine on which a model runs: device, number formats, and the facts about it for the run file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from snnprof._version import __version__
from snnprof.errors import SnnprofError
from snnprof.options import Amp
from snnprof.record.layers import modules_of

_DTYPES: dict[Amp, torch.dtype] = {
    "float16": torch.float16, "fp16": torch.float16, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
}  # fmt: skip


@contextmanager
def on_device(model: nn.Module, device: str | None) -> Iterator[None]:
    """Moves a model to a device, and back at the end; None leaves it on its device.

    Raises:
        SnnprofError: there is no such device, or the model cannot be moved to it.
    """
    if device is None:
        yield
        return
    home = device_of(model)
    try:
        wanted = torch.device(device)
        if wanted.type == "meta":
            raise RuntimeError("tensors on it have no values, so nothing can be counted")
        model.to(wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise SnnprofError(f"cannot use device {device!r}: {first}", hint="try --device cpu") from error
    try:
        yield
    finally:
        model.to(home)


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter or buffer; the CPU for a model without any."""
    tensor = next(iter(_held_by(model)), None)
    return tensor.device if tensor is not None else torch.device("cpu")


def _held_by(model: nn.Module) -> list[Tensor]:
    """All parameters, then all buffers; read from the modules' dicts, since classes may override `parameters()`."""
    modules = modules_of(model).values()
    held = [*(p for m in modules for p in m._parameters.values()), *(b for m in modules for b in m._buffers.values())]
    return [tensor for tensor in held if tensor is not None]


def default_device() -> str:
    """The device to run on if none is named: a CUDA GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(device: torch.device) -> str:
    """The name of a CUDA GPU; for other devices the type, such as `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def gpu_uuid(device: torch.device) -> str | None:
    """The UUID by which the driver identifies a GPU, independent of CUDA_VISIBLE_DEVICES; None for other devices."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None


def synchronise(device: torch.device) -> None:
    """Waits until a CUDA device has finished its work; other devices return at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cuda_devices(model: nn.Module) -> list[int]:
    """The numbers of the CUDA devices that hold parameters or buffers of the model."""
    return sorted({t.device.index or 0 for t in _held_by(model) if t.device.type == "cuda"})


def other_formats(model: nn.Module) -> list[str]:
    """The floating-point formats of a model's parameters besides float32."""
    return sorted(str(dtype).removeprefix("torch.") for dtype in _formats(model) - {torch.float32})


def _formats(model: nn.Module) -> set[torch.dtype]:
    parameters = (tensor for tensor in _held_by(model) if isinstance(tensor, nn.Parameter))
    return {parameter.dtype for parameter in parameters if parameter.is_floating_point()}


def only_format(model: nn.Module) -> torch.dtype | None:
    """The floating-point format of a model's parameters; None if they have several or none."""
    formats = _formats(model)
    return next(iter(formats)) if len(formats) == 1 else None


def autocast(dtype: Amp | None, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to the number format that `--amp` names; None does nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=_DTYPES[dtype])


def facts(model: nn.Module) -> dict[str, Any]:
    """The facts for the run file about versions, platform, device, number format and time."""
    device = device_of(model)
    parameter = next((tensor for tensor in _held_by(model) if isinstance(tensor, nn.Parameter)), None)
    return {
        "versions": {
            "snnprof": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fvcore": _version("fvcore"),
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "dtype": str(parameter.dtype).removeprefix("torch.") if parameter is not None else "",
        "created": now().isoformat(timespec="seconds"),
    }


def now() -> datetime:
    """The present time; if the environment variable SOURCE_DATE_EPOCH is set, the time that it states.

    Raises:
        SnnprofError: SOURCE_DATE_EPOCH holds no time.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise SnnprofError(
            f"SOURCE_DATE_EPOCH is {epoch!r}, not a number of seconds since 1970 of a year up to 9999",
            hint="set it to a whole number, or unset it to use the clock",
        ) from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
