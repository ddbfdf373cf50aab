"""`snnprof cite`."""


def cite() -> None:
    """To come."""
    raise NotImplementedError
