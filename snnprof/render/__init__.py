"""Renders documents as terminal text, CSV, JSON, Markdown, LaTeX, HTML and figures.

There is no arithmetic here beyond the choice of a unit.
"""
