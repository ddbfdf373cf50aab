"""How to watch a running network: the only code that touches a model while it runs."""
