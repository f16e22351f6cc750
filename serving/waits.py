"""How long a thread has waited for a core: whether there are enough of them, seen by one who needs one.

Linux tells it of each thread for a microsecond of looking. Whoever does work that can wait may so leave the cores to others
exactly where they are scarce (`scorers.pmml.comparison`).
"""

from __future__ import annotations

import os
from typing import Final

_WAITS: Final = "/proc/thread-self/schedstat"
"""Linux: nanoseconds on a core, nanoseconds of waiting for one, slices (kernel documentation, `sched-stats`)."""


class Waits:
    """Of the thread that makes it; only that thread may use it. Where the system does not tell, nobody ever waited."""

    def __init__(self, file: str = _WAITS) -> None:
        """Open what tells."""
        try:
            self._file: int | None = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None
        self._waited = self._in_all()

    def seconds(self) -> float:
        """How long it waited since the last call."""
        before, self._waited = self._waited, self._in_all()
        return self._waited - before

    def close(self) -> None:
        """Nobody asks again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _in_all(self) -> float:
        if self._file is None:
            return 0.0
        return int(os.pread(self._file, 96, 0).split()[1]) * 1e-9
