"""The life of one stack in one process: take the lock, plan, run the supervisor, remember every change, let go.

This process owns the children. It is either `sluice up` itself (in the foreground) or `python -m sluice.stack` that it
left behind (`--detach`); both do exactly this.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sluice.stack import jars, java, plan, processes
from sluice.stack.caches import cache_folder
from sluice.stack.errors import StackError
from sluice.stack.plan import Plan, Wanted
from sluice.stack.processes import ProcessIdentity
from sluice.stack.state import (
    Phase,
    ServiceStatus,
    StackState,
    read_situation,
    read_state,
    supervisor_lock,
    write_state,
)
from sluice.stack.supervisor import Supervisor

LEFTOVER_GRACE_SECONDS = 20.0


class AlreadyUpError(StackError):
    """Another supervisor works on this data folder."""


def prepare_folder(folder: Path) -> None:
    """Make the data folder with a fresh state, or see that it is ours.

    Raises:
        ForeignError: It is not.
    """
    if read_state(folder) is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_state(folder, plan.new_state())


def run_stack(
    wanted: Wanted,
    on_state: Callable[[StackState], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; returns when all of it has stopped. In the main thread.

    Args:
        wanted: What to run.
        on_state: Called with each new state, after it was written down.
        on_note: Called with what a person should know.

    Raises:
        AlreadyUpError: It runs already.
        StackError: It could not be started; what was started is stopped, and the reason is written down too.
    """
    prepare_folder(wanted.folder)
    with supervisor_lock(wanted.folder) as taken:
        if not taken:
            raise AlreadyUpError(f"The stack in {wanted.folder} is up already.")
        keeper = _StateKeeper(wanted.folder, on_state)
        try:
            for name in end_leftovers(keeper.state):
                on_note(f"Ended {name}, which an earlier supervisor had left running.")
            keeper.change(phase=Phase.STARTING, supervisor=ProcessIdentity.of(os.getpid()), services=(), error="")
            jars.fetch(jars.jar_folder(), jars.locked_jars())
            made = plan.make_plan(wanted, keeper.state)
            for note in made.notes:
                on_note(note)
            keeper.take(made.state)
            asyncio.run(_supervise(made, wanted, keeper))
        except BaseException as error:
            keeper.change(phase=Phase.FAILED, supervisor=None, error=_reason(error))
            raise
        keeper.change(phase=Phase.DOWN, supervisor=None)


def end_leftovers(state: StackState) -> list[str]:
    """End the processes that a killed supervisor left, last started first; returns their names."""
    left = list(reversed(state.living()))
    for service in left:
        if service.identity:
            service.identity.end(LEFTOVER_GRACE_SECONDS)
    return [service.name for service in left]


class _StateKeeper:
    """The state of this run, in memory and on disk."""

    def __init__(self, folder: Path, on_state: Callable[[StackState], None]) -> None:
        found = read_situation(folder).state
        assert found is not None, "the folder was prepared"
        self.state = found
        self._folder = folder
        self._on_state = on_state

    def change(self, **changes: object) -> None:
        self.take(replace(self.state, **changes))  # type: ignore[arg-type]  # the fields of StackState

    def change_service(self, status: ServiceStatus) -> None:
        self.take(self.state.with_service(status))

    def take(self, state: StackState) -> None:
        self.state = state
        write_state(self._folder, state)
        self._on_state(state)


async def _supervise(made: Plan, wanted: Wanted, keeper: _StateKeeper) -> None:
    warming: list[asyncio.Task[None]] = []

    def when_up() -> None:
        keeper.change(phase=Phase.UP)
        if not wanted.kafka:
            warming.append(asyncio.create_task(_make_start_up_cache(wanted.folder / "logs" / "start-up-cache.log")))

    supervisor = Supervisor(made.stages, wanted.folder / "logs", keeper.change_service, when_up)

    def stop() -> None:
        keeper.change(phase=Phase.STOPPING)
        supervisor.request_stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await supervisor.run()
    finally:
        for task in warming:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _make_start_up_cache(log: Path) -> None:
    """Make Java's start-up cache if it is not there, in a process that yields to all others."""
    if java.start_up_cache(cache_folder(), jars.class_path(jars.jar_folder(), jars.locked_jars())).exists():
        return
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *processes.leashed([sys.executable, "-m", "sluice.stack.warm_java"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, StackError) else f"{type(error).__name__}: {error}"
