"""Limits of neuromorphic chips, one YAML file per chip; read through `importlib.resources`."""

if __name__ == "chips":
    raise ImportError("import snnprof.chips, not chips: this folder is installed as a part of snnprof")
