"""Python's cycle collector, told to keep out of the hot path."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Stop the cycle collector from walking what will live for ever; called once, when the worker is built.

    Records come and go without cycles, but a full collection walks every object of TensorFlow, Faust and the models.
    Measured: record headers cost half with this (3.4 -> 1.5 us a record), everything else a few percent less.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
