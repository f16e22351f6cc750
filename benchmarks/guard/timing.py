"""CPU time as a multiple of that of a fixed piece of work, measured in turns: so the machine's speed is on both sides.

The yardstick does what the hot path does, in about the same proportions: numpy over matrices of a batch's size, bytes cut
out of a buffer and joined, small objects made and thrown away. Both are measured in turns, many times. A neighbour on the
machine can only make a measurement longer, so the shortest of each counts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np

_RECORDS, _BYTES = 2_000, 100
_ROUNDS, _MOST_SECONDS = 300, 6.0
_SOURCE = np.random.default_rng(1)
_MATRIX = _SOURCE.random((_RECORDS, 11))
_ORDER = _SOURCE.permutation(_RECORDS)
_BUFFER = _SOURCE.bytes(_RECORDS * _BYTES)


def yardstick() -> int:
    """The fixed piece of work. Never change it: every committed ratio is against it."""
    taken = _MATRIX[_ORDER]
    total = np.zeros(_RECORDS)
    for column in range(11):
        total += taken[:, column] * 0.5
        total[total > 3.0] -= 1.0
    packed = np.frombuffer(_BUFFER, np.uint8).reshape(_RECORDS, _BYTES).copy()
    packed[:, :8] = total.view(np.uint8).reshape(_RECORDS, 8)
    whole = packed.tobytes()
    parts = [whole[at : at + _BYTES] for at in range(0, len(whole), _BYTES)]
    known: dict[bytes, int] = {}
    for place, part in enumerate(parts[::4]):
        known[part] = place
    return len(b"".join(parts)) + len(known)


def ratio(work: Callable[[], object]) -> float:
    """CPU time of `work` on this thread in yardsticks."""
    for _ in range(10):
        work()
        yardstick()
    fixed = found = float("inf")
    end = time.monotonic() + _MOST_SECONDS
    gc.disable()
    try:
        for _ in range(_ROUNDS):
            fixed = min(fixed, _seconds(yardstick))
            found = min(found, _seconds(work))
            if time.monotonic() > end:
                break
    finally:
        gc.enable()
    return found / fixed


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start
