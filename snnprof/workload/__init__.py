"""Runs models over data: loads a model and its weights, opens the data, and drives the recorder over the batches."""
