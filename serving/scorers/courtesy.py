"""Long work in Python, done so that the threads that score do not notice.

A thread that computes in Python keeps the interpreter's lock for 5 ms at a time, and a batch needs the lock several times:
screening a large document beside a running stream would add tens of milliseconds to its batches (measured: 60 ms at the
99th percentile for a document of 325 KB). So long loops here stop now and then, for as long as a waiting thread needs to wake up.
"""

from __future__ import annotations

from time import sleep
from typing import Final

STRIDE: Final = 128
"""Elements of a document between two pauses: about half a millisecond of work."""

# Releasing the lock is not enough: without a moment's sleep this thread has it again before another one is awake.
_PAUSE_SECONDS: Final = 50e-6


def pause() -> None:
    """Let another thread have the interpreter."""
    sleep(_PAUSE_SECONDS)
