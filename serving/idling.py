"""Work that nobody waits for, on cores that nobody else wants: Linux's idle policy, for a whole process.

A thread that has it stops at once when another one wakes up, and that one's work is as if the thread were not there. Niceness
is less: a nice thread keeps its core for its slice. A process without privileges cannot take the policy back, so it is for
one that can be replaced (`scorers.pmml.supervisor`). Decision 18 has what was measured.
"""

from __future__ import annotations

import contextlib
import os
import sys


def idle() -> bool:
    """Give all threads of this process the idle policy; threads that they start have it from the start.

    Returns:
        Whether they have it: not where the system has no such policy, or does not allow it.
    """
    if sys.platform != "linux":
        return False
    try:
        while others := [thread for thread in _threads() if _policy(thread) not in (os.SCHED_IDLE, None)]:
            for thread in others:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        return False
    return True


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]


def _policy(thread: int) -> int | None:
    """`None` for a thread that has ended."""
    with contextlib.suppress(ProcessLookupError):
        return os.sched_getscheduler(thread)
    return None
