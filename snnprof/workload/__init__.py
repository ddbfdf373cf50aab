"""What to run: a model by name, module or file, its checkpoint, the data, and the loop over the data."""
