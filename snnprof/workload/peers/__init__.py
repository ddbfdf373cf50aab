"""Runs other tools that count operations on the same model and batches; a tool is imported only when it is used."""
