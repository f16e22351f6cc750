"""Sessions of heavy models, whose threads give way to the rest of the worker where there are fewer processors than work.

On Linux a thread begins with the niceness of the thread that starts it, and TensorFlow starts a session's threads when it
makes the session. So a session that is made in a thread of low priority computes at low priority for good, and what the
event loop has to do goes first: decoding, light models, sending. On an idle processor nothing is slower. Elsewhere than on
Linux niceness belongs to whole processes, and nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache

from serving.scorers.tensorflow.capi import Session
from serving.scorers.tensorflow.quickening import own_thread_config

NICENESS = 10
"""Against a thread of niceness 0 that is never idle it leaves about a tenth of a processor (Linux, `sched(7)`)."""


def open_to_give_way(make: Callable[[], Session]) -> Session:
    """The session that `make` makes, in a thread of its own that ends then; raises what `make` raises."""
    _start_common_threads()
    made: Future[Session] = Future()

    def run() -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    thread = threading.Thread(target=run, name="make a heavy session")
    thread.start()
    thread.join()
    return made.result()


@cache
def _start_common_threads() -> None:
    """Two threads serve all sessions, and the first session starts them; they must not give way for ever."""
    Session(b"", [], [], own_thread_config()).close()
