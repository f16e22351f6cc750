"""How long tests wait for what has to come, and how often they look.

A limit here only says when to give up on something that will never come. Machines that share their cores with others can
stand still for many seconds, so limits are several times what a slow machine takes when nobody disturbs it, and whoever
looks does so less and less often: what it waits for needs the same cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

_FACTOR = 4.0
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.4
_GROWTH = 1.25


def patient(seconds: float) -> float:
    """What to wait at most, in seconds, for something that takes `seconds` on a slow machine."""
    return _FACTOR * seconds


def tries(seconds: float) -> Iterator[None]:
    """Look again each time this yields, until `patient(seconds)` are over; it pauses in between."""
    deadline = time.monotonic() + patient(seconds)
    pause = _FIRST_PAUSE_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, _GROWTH * pause)


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The first true answer of `condition`; fails with `what` and the last answer if none comes."""
    found = None
    for _ in tries(seconds):
        if found := condition():
            return found
    raise AssertionError(f"after {patient(seconds):g} s still not: {what or condition} (last: {found!r})")
