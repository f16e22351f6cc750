"""Python's cycle collector, at rest while the control log is read for the first time.

The state of the log has no cycles and only grows, so each full collection walks all of it for nothing. Measured with
100,000 records: a third of the time went into it. What was read lives as long as the process, so afterwards it is set aside
for good (`gc.freeze`); reference counts still free what of it is replaced.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_resting = 0
_was_on = True


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """The collector does not run within, in any thread; several may ask for it at once. Where it was off, it stays off."""
    global _resting, _was_on
    with _lock:
        if _resting == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if _resting == 0 and _was_on:
                gc.freeze()
                gc.enable()
