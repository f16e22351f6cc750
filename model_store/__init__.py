"""The shared kernel: what the worker and the control API must agree on, and nothing else."""
