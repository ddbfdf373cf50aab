"""Other tools that count, run on the same model and batches; each is imported only when it is asked for."""
