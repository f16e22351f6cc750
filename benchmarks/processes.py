"""A system under test: its process tree, what CPU it used, what memory it holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil


class ProcessTree:
    """One program and all its children; stopped when the block ends."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    def cpu_seconds(self) -> float:
        """User and system time of the tree so far. Children that ended are counted by their parent."""
        total = 0.0
        for process in self._members():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def resident_megabytes(self) -> int:
        """Resident memory of the tree; shared pages are counted once a process."""
        return sum(process.memory_info().rss for process in self._members()) >> 20

    def check(self) -> None:
        """Raise if the program ended, with the last lines that it wrote."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"the system ended with status {self._process.returncode}:\n{tail}")

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
        members = self._members()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in members:
            if process.is_running() and process.pid != self._process.pid:
                process.kill()
