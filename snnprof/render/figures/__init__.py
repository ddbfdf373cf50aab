"""Draws figures for papers, one module per figure: from the data of `snnprof.charts`, by matplotlib without pyplot."""

from snnprof.render.figures.look import Look
from snnprof.render.figures.style import SUFFIXES, encoded

__all__ = ["SUFFIXES", "Look", "encoded"]
