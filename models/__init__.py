"""The bundled models: one `.py` (architecture) and one torch-free `.yaml` (facts and presets) per paper."""

if __name__ == "models":
    raise ImportError("import snnprof.models, not models: this folder is installed as a part of snnprof")
