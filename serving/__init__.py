"""The worker: joins data topics with the model-descriptor topic and swaps scorers while the stream runs."""
