"""Figures for papers, one module per figure: numbers of `snnprof.charts` in, a matplotlib figure out. No pyplot."""

from snnprof.render.figures.look import Look
from snnprof.render.figures.style import SUFFIXES, encoded

__all__ = ["SUFFIXES", "Look", "encoded"]
