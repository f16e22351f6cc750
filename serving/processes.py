"""Several workers on one machine: one process a core, all in one consumer group.

The parent scores nothing. It starts the processes, passes signals on, and starts a process again that died, after a
pause that grows while it keeps dying.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LONG_ENOUGH_SECONDS = 60.0  # a process that lived so long had started well: the next pause is short again
_STOP_SECONDS = 30.0
PARENT = "SLUICE_WORKER_PARENT"
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(slots=True)
class _Slot:
    index: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _SHORTEST_PAUSE_SECONDS
    due: float = 0.0


def run_processes(count: int, arguments: Sequence[str], worker_id: str | None, metrics_port: int | None) -> int:
    """Run `count` workers until SIGTERM or SIGINT. Returns the exit status for the parent: 0 after a clean stop.

    Args:
        count: How many.
        arguments: Of `python -m serving`, without `--processes`.
        worker_id: Stable name, to which `-0`, `-1` ... is added; `None` lets each worker choose its own.
        metrics_port: Port of the first; the others follow. `None` or 0 leaves it to each worker.
    """
    slots = [_Slot(i, _environment(i, worker_id, metrics_port)) for i in range(count)]
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        for slot in slots:
            _tend(slot, arguments)
        stopping.wait(0.1)
    return _stop(slots)


def die_with_parent() -> None:
    """In a process that `run_processes` started: stop in order when the parent is gone, however it went. Linux only."""
    if os.environ.get(PARENT) is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[PARENT]):  # it went before the line above
        os.kill(os.getpid(), signal.SIGTERM)


def _environment(index: int, worker_id: str | None, metrics_port: int | None) -> dict[str, str]:
    own = {**os.environ, PARENT: str(os.getpid())}
    if worker_id:
        own["SERVING_WORKER_ID"] = f"{worker_id}-{index}"
    if metrics_port:
        own["SERVING_METRICS__PORT"] = str(metrics_port + index)
    return own


def _tend(slot: _Slot, arguments: Sequence[str]) -> None:
    now = time.monotonic()
    if slot.process is not None:
        status = slot.process.poll()
        if status is None:
            return
        if now - slot.started > _LONG_ENOUGH_SECONDS:
            slot.pause = _SHORTEST_PAUSE_SECONDS
        log.error("process.died", process=slot.index, status=status, restart_in_seconds=slot.pause)
        slot.process, slot.due = None, now + slot.pause
        slot.pause = min(slot.pause * 2, _LONGEST_PAUSE_SECONDS)
    if now >= slot.due:
        # A group of its own: a Ctrl-C at the terminal reaches the parent alone, which then stops the children in order.
        slot.process = subprocess.Popen(
            [sys.executable, "-m", "serving", *arguments], env=dict(slot.environment), start_new_session=True
        )
        slot.started = now
        log.info("process.started", process=slot.index, pid=slot.process.pid)


def _stop(slots: Sequence[_Slot]) -> int:
    running = [slot.process for slot in slots if slot.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("process.killed", pid=process.pid, after_seconds=_STOP_SECONDS)
            process.kill()
            process.wait()
    return max((abs(process.returncode) for process in running), default=0)
