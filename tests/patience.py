"""How long tests wait for what has to come, and how often they look.

A limit here only says when to give up on something that will never come. Machines that share their cores with others can
stand still for many seconds, so limits are several times what a slow machine takes when nobody disturbs it, and whoever
looks does so less and less often: what it waits for needs the same cores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

_FACTOR = 4.0
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.4
_GROWTH = 1.25


def patient(seconds: float) -> float:
    """What to wait at most, in seconds, for something that takes `seconds` on a slow machine."""
    return _FACTOR * seconds


def tries(seconds: float) -> Iterator[float]:
    """Look again each time this yields, until `patient(seconds)` are over; it pauses in between. Yields what is left."""
    deadline = time.monotonic() + patient(seconds)
    pause = _FIRST_PAUSE_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        yield left
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, _GROWTH * pause)
