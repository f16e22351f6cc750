"""Runs all services of a stack: started in order, kept running, stopped in reverse order.

Theory of operation: services are given in stages. A stage is started when every service of the one before is ready;
each service has a `Keeper`, whose failure before everything was ready once fails the whole. A stop ends the stages from
the last to the first, the services of one stage together. Everything runs on one event loop in the main thread, which
is the thread that starts the processes (see `processes` for why that matters); what may block runs in threads.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sluice.stack import logs
from sluice.stack.keeper import Backoff, Keeper
from sluice.stack.services import Service
from sluice.stack.state import ServiceStatus

_LOG_CHECK_SECONDS = 5.0
_USUAL_BACKOFF = Backoff()


class Supervisor:
    """Runs `stages` of services until `request_stop`; one use only, in the main thread.

    `on_change` is called on the loop's thread with each new status, `when_up` once when everything is ready. Logs are
    `<name>.log` in `logs_folder`, which must exist.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Service]],
        logs_folder: Path,
        on_change: Callable[[ServiceStatus], None],
        when_up: Callable[[], None] = lambda: None,
        backoff: Backoff = _USUAL_BACKOFF,
    ) -> None:
        """Take the plan; nothing is started."""
        self._logs_folder = logs_folder
        self._when_up = when_up
        self._stop = asyncio.Event()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="supervisor")
        self._stages = [
            [Keeper(one, logs_folder / f"{one.name}.log", on_change, self._threads, backoff) for one in stage]
            for stage in stages
        ]

    def request_stop(self) -> None:
        """Make `run` end in order; may be called again, and from a signal handler of the loop."""
        self._stop.set()

    async def run(self) -> None:
        """Start everything, keep it running, and return after a requested stop, when nothing runs any more.

        Raises:
            StackError: Something could not be started; everything that was is stopped again.
        """
        bounding = asyncio.create_task(self._bound_logs())
        try:
            if await self._all_started():
                for keeper in self._begun():
                    keeper.be_patient()
                self._when_up()
                await self._stop_or_failure_or(asyncio.get_running_loop().create_future())
        finally:
            bounding.cancel()
            await self._stop_all()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _all_started(self) -> bool:
        for stage in self._stages:
            for keeper in stage:
                keeper.begin()
            ready = asyncio.gather(*(keeper.ready.wait() for keeper in stage))
            if not await self._stop_or_failure_or(ready):
                return False
        return True

    async def _stop_or_failure_or(self, condition: "asyncio.Future[Any]") -> bool:
        """Wait until `condition` holds; False if a stop is requested first. Raises the failure of a keeper."""
        stop = asyncio.create_task(self._stop.wait())
        keeping = [keeper.task for keeper in self._begun() if keeper.task]
        try:
            await asyncio.wait([condition, stop, *keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in keeping:
                if task.done():
                    task.result()
            return not stop.done()
        finally:
            stop.cancel()
            condition.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await condition

    async def _stop_all(self) -> None:
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.end() for keeper in stage if keeper.task))

    def _begun(self) -> list[Keeper]:
        return [keeper for stage in self._stages for keeper in stage if keeper.task]

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            for log in self._logs_folder.glob("*.log"):
                await asyncio.get_running_loop().run_in_executor(self._threads, logs.bound, log)
