"""How a job is told to end. Safe to call from a signal handler, which a `threading.Event` is not."""

from __future__ import annotations

import time

from serving.replay.errors import JobStopped

_SLICE_SECONDS = 0.2


class Stopping:
    """Asked for once, looked at often."""

    def __init__(self) -> None:
        self.is_asked = False

    def ask(self, *_: object) -> None:
        """End the job soon; may be given to `signal.signal`."""
        self.is_asked = True

    def check(self) -> None:
        """Raises `JobStopped` if the job was asked to end."""
        if self.is_asked:
            raise JobStopped("the job was asked to end")

    def wait(self, seconds: float) -> None:
        """Sleep, or less if the job is asked to end."""
        until = time.monotonic() + seconds
        while not self.is_asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_SECONDS))
