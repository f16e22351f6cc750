"""A system under test: its process tree, what CPU it used, what memory it holds, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

_GRACE_SECONDS = 20


class EndedError(Exception):
    """The system ended by itself; the message has the last lines that it wrote."""


class ProcessTree:
    """One program and all its children; stopped when the block ends."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> None:
        self._log = log
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(command),
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    def cpu_seconds(self) -> float:
        """User and system time of the tree so far. Children that ended are counted by their parent."""
        total = 0.0
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def resident_megabytes(self) -> float:
        """Resident memory of the tree; shared pages are counted once a process."""
        return sum(self.resident_by_program().values())

    def resident_by_program(self) -> dict[str, float]:
        """The same in parts: program, see `program_of` -> megabytes of all its processes."""
        found: dict[str, float] = {}
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                program, bytes_held = program_of(process.cmdline()), process.memory_info().rss
                found[program] = found.get(program, 0.0) + bytes_held / (1 << 20)
        return found

    def is_running(self) -> bool:
        """Whether its first process is there."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise if the program ended, with the last lines that it wrote.

        Raises:
            EndedError: It did.
        """
        if self._process.poll() is not None:
            raise EndedError(f"the system ended with status {self._process.returncode}: {self.last_words()}")

    def last_words(self, characters: int = 1_500) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-characters:].strip()

    @property
    def pid(self) -> int:
        """Of the program itself."""
        return self._process.pid

    def kill(self) -> None:
        """`kill -9` of the process group, and of children that left it; returns when none of them runs."""
        members = self._members()
        self._kill_group()
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        psutil.wait_procs(members, timeout=_GRACE_SECONDS)

    def stop(self) -> None:
        """SIGTERM and patience, then `kill`."""
        members = self._members()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
        self._kill_group()
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _members(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def __enter__(self) -> ProcessTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def program_of(command: Sequence[str]) -> str:
    """What a command line runs, in a word: Python's module, else the name of the file."""
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1]
    return Path(command[0]).name if command else ""
