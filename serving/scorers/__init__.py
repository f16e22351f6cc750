"""Engines that turn the bytes of a model into predictions: one file or folder each, behind the interface in `base`."""
