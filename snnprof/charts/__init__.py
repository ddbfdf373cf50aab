"""Computes the numbers that figures show, one module per figure. No colours, no torch, no matplotlib."""

KINDS = ("energy", "rates", "timesteps", "attention", "tradeoff", "sweep", "conventions")
ONE_LIST = ("tradeoff", "sweep")
"""Kinds that show one price list by default, since every point has another place on each list."""
