"""Keeps one service running: start, ask until ready, wait for its end, pause, again.

The pause before a restart doubles from 0.5 s to 30 s and is forgotten after a minute of good running. A keeper is
impatient until `be_patient` is called, because until then someone waits for the first start and can mend what is wrong:
three deaths, a start that takes too long or a stranger in the service's place end its task with a `StackError`.
A patient keeper tries for ever.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psutil

from sluice.stack import logs
from sluice.stack.errors import NotReadyError, StackError
from sluice.stack.processes import ProcessIdentity, leashed
from sluice.stack.services import Service
from sluice.stack.state import ServiceState, ServiceStatus

T = TypeVar("T")

_PROBE_SECONDS = 0.1
_DEATHS_ENDURED_AT_FIRST = 3


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to pause before a restart, in seconds."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    forgotten_after_seconds: float = 60.0

    def pause_seconds(self, deaths_in_a_row: int) -> float:
        """The pause after so many deaths (1 or more) without a good run between them."""
        return float(min(self.longest_seconds, self.first_seconds * 2 ** min(deaths_in_a_row - 1, 16)))


class Keeper:
    """The task and the process of one service; lives on the event loop of the main thread.

    `ready` is set when the service was ready for the first time. `tell` is called with each change. Questions and
    preparations run in `threads`.
    """

    def __init__(
        self, service: Service, log: Path, tell: Callable[[ServiceStatus], None], threads: Executor, backoff: Backoff
    ) -> None:
        """Take the plan; nothing is started."""
        self.ready = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._service = service
        self._log = log
        self._tell_status = tell
        self._threads = threads
        self._backoff = backoff
        self._is_patient = False
        self._is_ending = False
        self._process: asyncio.subprocess.Process | None = None
        self._status = ServiceStatus(service.name, ServiceState.WAITING, service.address, str(log), since=time.time())

    def begin(self) -> None:
        """Start the task that keeps the service."""
        self.task = asyncio.create_task(self._keep(), name=self._service.name)

    def be_patient(self) -> None:
        """From now on the service is tried for ever."""
        self._is_patient = True

    async def end(self) -> None:
        """Stop the process (SIGTERM, SIGKILL when its time is over) and the task; never raises what the task did."""
        self._is_ending = True
        note = ""
        if self._process is not None and not await _end_politely(self._process, self._service.stop_grace_seconds):
            note = f"did not stop within {self._service.stop_grace_seconds:.0f} s and was killed"
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StackError, OSError):
                await self.task
        # A start may have been under way when the task was cancelled.
        await self._kill()
        self._tell(ServiceState.STOPPED, note=note)

    async def _keep(self) -> None:
        deaths = 0
        while True:
            started = time.monotonic()
            reason = await self._run_once()
            if self._is_ending:
                return
            if time.monotonic() - started > self._backoff.forgotten_after_seconds:
                deaths = 0
            deaths += 1
            if not self._is_patient and deaths >= _DEATHS_ENDURED_AT_FIRST:
                raise NotReadyError(self._with_log(f"{self._service.name} {reason}, {deaths} times in a row."))
            self._status = replace(self._status, restarts=self._status.restarts + 1)
            self._tell(ServiceState.RESTARTING, note=reason)
            await asyncio.sleep(self._backoff.pause_seconds(deaths))

    async def _run_once(self) -> str:
        """Run the process from its start to its end; returns why it ended."""
        try:
            process = await self._start()
            if not await self._becomes_ready(process):
                return f"ended with status {process.returncode} before it was ready"
            await process.wait()
        except StackError as error:
            await self._kill()
            if not self._is_patient:
                raise
            return str(error).splitlines()[0]
        return f"ended with status {process.returncode}"

    async def _start(self) -> asyncio.subprocess.Process:
        self._tell(ServiceState.STARTING, note=self._status.note)
        await self._in_thread(self._service.prepare)
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *leashed(self._service.command),
                env={**os.environ, **self._service.environment},
                cwd=self._service.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Keeps a terminal's Ctrl-C from all services at once: they are stopped in order.
                process_group=0,
            )
        self._tell(ServiceState.STARTING, note=self._status.note)
        return self._process

    async def _becomes_ready(self, process: asyncio.subprocess.Process) -> bool:
        deadline = time.monotonic() + self._service.start_timeout_seconds
        while not await self._in_thread(lambda: self._service.is_ready(process.pid)):
            if process.returncode is not None:
                return False
            if time.monotonic() > deadline:
                late = f"{self._service.name} was not ready after {self._service.start_timeout_seconds:.0f} s."
                raise NotReadyError(self._with_log(late))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _PROBE_SECONDS)
        await self._in_thread(self._service.when_ready)
        self._tell(ServiceState.READY, note=self._status.note)
        self.ready.set()
        return True

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _with_log(self, message: str) -> str:
        return f"{message} The end of {self._log}:\n{logs.last_lines(self._log)}"

    def _tell(self, state: ServiceState, note: str) -> None:
        identity = _identity_of(self._process)
        self._status = replace(self._status, state=state, since=time.time(), identity=identity, note=note)
        self._tell_status(self._status)


def _identity_of(process: asyncio.subprocess.Process | None) -> ProcessIdentity | None:
    if process is None or process.returncode is not None:
        return None
    try:
        return ProcessIdentity.of(process.pid)
    except psutil.NoSuchProcess:
        return None


async def _end_politely(process: asyncio.subprocess.Process, grace_seconds: float) -> bool:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace_seconds)
        except TimeoutError:
            return False
    return True
