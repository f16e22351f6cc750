"""Child processes: started on a leash, stopped politely and then not so politely, and told from strangers.

The leash: a child must not outlive the process that started it, even if that is killed. On Linux the kernel sees to
it (`PR_SET_PDEATHSIG`), set by a few lines of Python that then become the command by `exec`, because code between
fork and exec in a process with threads is not safe. The signal is sent when the *thread* that started the child ends,
so children are started by a thread that lives as long as they do. Elsewhere there is no such thing, and a later
`sluice up` or `down` stops what a killed supervisor left, by the pid and start time it remembered.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_LEASH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this one is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def leashed(command: Sequence[str]) -> list[str]:
    """`command`, made to get SIGTERM when this process dies; must be started by this process, not by a child of it."""
    return [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *command]


def start(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` on a leash, in `folder`, its output appended to `log`, in a process group of its own.

    A group of its own keeps a terminal's Ctrl-C from reaching all children at once: they are stopped in order.

    Raises:
        OSError: The log cannot be opened.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            leashed(command),
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def stop(process: subprocess.Popen[bytes], grace_seconds: float) -> bool:
    """End `process`: SIGTERM, then SIGKILL after `grace_seconds`; returns whether SIGTERM was enough."""
    if process.poll() is not None:
        return True
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same pid.

    `started` is the start time in seconds since the epoch, as the operating system reports it.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """The identity of the running process `pid`.

        Raises:
            psutil.NoSuchProcess: There is none.
        """
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it still runs; a zombie does not run."""
        try:
            found = psutil.Process(self.pid)
            # The clock the start time is computed from may be adjusted between two looks at it.
            same = abs(found.create_time() - self.started) < 2.0
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.process() is not None

    def end(self, grace_seconds: float) -> None:
        """End the process if it still runs, without being its parent: SIGTERM, then SIGKILL after `grace_seconds`."""
        process = self.process()
        if process is None:
            return
        try:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(grace_seconds)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(grace_seconds)
        except psutil.NoSuchProcess:
            return
