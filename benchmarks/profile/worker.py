"""A worker with clocks: `python -m benchmarks.profile.worker`, with the environment of a peer. `SNAPSHOT` writes the times.

To the file `profile-<n>.json` in `STATE`: stages, and the CPU seconds of each thread by its name in the kernel.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import yaml

from benchmarks.peers.worker.start import settings
from benchmarks.profile.stages import watch
from serving.__main__ import main as serve

SNAPSHOT = signal.SIGRTMIN + 3
"""Others are taken: SIGUSR2 opens a debugger in what the worker is built on."""

_TICKS = os.sysconf("SC_CLK_TCK")


def threads() -> dict[str, float]:
    """CPU seconds by name; the first thread, which runs the event loop, is `loop`."""
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it ended
        fields = rest.split()
        name = "loop" if task.name == str(os.getpid()) else name
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
    return found


def main() -> None:
    stopwatch = watch()
    state, written = Path(os.environ["STATE"]), iter(range(1_000))

    def write(_signal: int, _frame: object) -> None:
        text = json.dumps(
            {
                "stages": stopwatch.seconds,
                "calls": stopwatch.calls,
                "threads": threads(),
                "loop": time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID),
                "process": time.process_time(),
            }
        )
        path = state / f"profile-{next(written)}.json"
        path.with_suffix(".part").write_text(text)
        path.with_suffix(".part").rename(path)

    signal.signal(SNAPSHOT, write)
    path = state / "worker.yaml"
    path.write_text(yaml.safe_dump(settings(os.environ)))
    sys.argv = ["serving", "--config", str(path)]
    serve()


if __name__ == "__main__":
    main()
