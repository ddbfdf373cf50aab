"""`snnprof compare`."""


def compare() -> None:
    """To come."""
    raise NotImplementedError
