"""What a person sees while a stack starts or stops: a bar and lines on a terminal, plain lines elsewhere.

A stack is shown from its states alone, so that it looks the same whether this process runs it or another one does.
"""

import threading
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sluice.stack.state import ServiceState, ServiceStatus, StackState

_PLAIN_STEP = 0.1


class Announcer(Protocol):
    """Where the progress of a stack is told; from one thread, but for `Download.arrived`."""

    def say(self, line: str) -> None:
        """Tell one line."""

    def download(self, what: str, total_bytes: int) -> "Download":
        """Begin a download of `total_bytes`; use as a context."""

    def show(self, state: StackState) -> None:
        """Tell what changed since the state shown last."""


class Download(Protocol):
    """One download under way."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, however it went."""

    def arrived(self, byte_count: int) -> None:
        """So many bytes more are there; from any thread; negative if an attempt failed."""


class ConsoleAnnouncer:
    """Tells a Rich console, with a bar if it is a terminal and lines at each tenth if it is not."""

    def __init__(self, console: Console) -> None:
        """Nothing is printed yet."""
        self._console = console
        self._shown: dict[str, ServiceStatus] = {}
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        """See `Announcer.say`."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def download(self, what: str, total_bytes: int) -> Download:
        """See `Announcer.download`."""
        if self._console.is_terminal:
            return _BarDownload(self._console, what, total_bytes)
        return _PlainDownload(self, what, total_bytes)

    def show(self, state: StackState) -> None:
        """See `Announcer.show`."""
        for service in state.services:
            before = self._shown.get(service.name)
            if (line := describe_change(before, service)) is not None:
                self.say(f"{time.monotonic() - self._began:6.1f} s  {line}")
            self._shown[service.name] = service


class SilentAnnouncer:
    """Tells nobody."""

    def say(self, line: str) -> None:
        """See `Announcer.say`."""

    def download(self, what: str, total_bytes: int) -> Download:
        """See `Announcer.download`."""
        return _PlainDownload(self, what, total_bytes)

    def show(self, state: StackState) -> None:
        """See `Announcer.show`."""


def describe_change(before: ServiceStatus | None, now: ServiceStatus) -> str | None:
    """A line for what happened to a service; None if nothing worth a line did."""
    if before is not None and (before.state, before.restarts) == (now.state, now.restarts):
        return None
    match now.state:
        case ServiceState.STARTING:
            return f"{now.name}: starting" if before is None else f"{now.name}: starting again"
        case ServiceState.READY:
            return f"{now.name}: ready at {now.address}"
        case ServiceState.RESTARTING:
            return f"{now.name}: {now.note}; it will be restarted (log: {now.log})"
        case ServiceState.STOPPED:
            return f"{now.name}: stopped" + (f" ({now.note})" if now.note else "")
        case ServiceState.WAITING:
            return None


class _PlainDownload:
    def __init__(self, announcer: Announcer, what: str, total_bytes: int) -> None:
        self._announcer = announcer
        self._what = what
        self._total_bytes = total_bytes
        self._here_bytes = 0
        self._told = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._announcer.say(f"Downloading {self._what}: {_megabytes(self._total_bytes)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._announcer.say(f"Downloaded {self._what}.")

    def arrived(self, byte_count: int) -> None:
        with self._lock:
            self._here_bytes += byte_count
            part = self._here_bytes / self._total_bytes
            if part < self._told + _PLAIN_STEP or part >= 1.0:
                return
            self._told = part
            self._announcer.say(f"  {part:4.0%} of {_megabytes(self._total_bytes)}")


class _BarDownload:
    def __init__(self, console: Console, what: str, total_bytes: int) -> None:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._progress = Progress(TextColumn("Downloading {task.description}"), *columns, console=console)
        self._task: TaskID = self._progress.add_task(what, total=total_bytes)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def arrived(self, byte_count: int) -> None:
        self._progress.advance(self._task, byte_count)


def _megabytes(byte_count: int) -> str:
    return f"{byte_count / 1e6:.0f} MB"
