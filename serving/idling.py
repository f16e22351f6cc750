"""Work that nobody waits for, on cores that nobody else wants: Linux's idle policy, for a whole process, on half of the cores.

A thread that has the policy stops at once when another one wakes up, and that one's work is as if the thread were not there.
Niceness is less: a nice thread keeps its core for its slice. But a core that has such work is not idle to Linux, and does not
fetch what waits for another core; so half of the cores are left without. A process without privileges cannot take the policy
back, so it is for one that can be replaced (`scorers.pmml.supervisor`). Decision 18 has what was measured.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable


def idle() -> bool:
    """Give all threads of this process the idle policy and half of its cores; threads that they start have both from the start.

    Returns:
        Whether they have the policy: not where the system has none, or does not allow it. They keep all cores where it does
        not allow to leave some.
    """
    if sys.platform != "linux":
        return False
    try:
        _change_all(
            lambda thread: os.sched_getscheduler(thread) == os.SCHED_IDLE,
            lambda thread: os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0)),
        )
    except OSError:
        return False
    cores = half(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        _change_all(
            lambda thread: os.sched_getaffinity(thread) == cores,
            lambda thread: os.sched_setaffinity(thread, cores),
        )
    return True


def half(cores: set[int]) -> set[int]:
    """The upper half of some cores, rounded up: of one, that one."""
    return set(sorted(cores)[len(cores) // 2 :])


def _change_all(is_changed: Callable[[int], bool], change: Callable[[int], None]) -> None:
    """Change every thread, until there is none that started meanwhile and is not changed. One that has ended is left alone."""
    missing = True
    while missing:
        missing = False
        for thread in [int(name) for name in os.listdir("/proc/self/task")]:
            with contextlib.suppress(ProcessLookupError):
                if not is_changed(thread):
                    missing = True
                    change(thread)
