"""Runs and reports → the numbers that a figure shows, one module per figure. No colours, no torch, no matplotlib."""

KINDS = ("energy", "rates", "timesteps", "attention", "tradeoff", "sweep", "conventions")
ONE_LIST = ("tradeoff", "sweep")
"""Kinds that show one price list by default: each further one moves every point."""
