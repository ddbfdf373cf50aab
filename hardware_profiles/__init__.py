"""Hardware prices, one YAML file per profile; read through `importlib.resources`."""

if __name__ == "hardware_profiles":
    raise ImportError("import snnprof.hardware_profiles: this folder is installed as a part of snnprof")
