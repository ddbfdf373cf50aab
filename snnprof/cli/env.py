"""`snnprof env`: prints the versions that a bug report needs."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from snnprof._version import __version__
from snnprof.cli import output

PACKAGES = (
    "torch", "fvcore", "typer", "rich", "numpy", "pandas", "matplotlib", "pyyaml", "pydantic", "jinja2",
    "safetensors", "h5py", "torchvision", "tonic", "spikingjelly", "snntorch", "norse", "sinabs", "nir",
)  # fmt: skip


def env() -> None:
    """Print the versions this installation runs with."""
    lines = {"snnprof": __version__, "python": platform.python_version(), "executable": sys.executable}
    lines |= {"platform": platform.platform(), **{name: _version(name) for name in PACKAGES}, **_accelerator()}
    width = max(map(len, lines))
    output.write("".join(f"{name:<{width}}  {text}\n" for name, text in lines.items()), None)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _accelerator() -> dict[str, str]:
    try:
        import torch
    except Exception as error:  # the command must also work on a broken installation
        return {"accelerator": f"unknown: torch does not load ({type(error).__name__}: {error})"}
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"accelerator": ", ".join(names) or "none", "threads": str(torch.get_num_threads())}
