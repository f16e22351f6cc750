"""The supervisor over stand-in services: real processes that are quick to start, with real signals."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from patience import until

from sluice.stack.errors import ForeignError, NotReadyError
from sluice.stack.keeper import Backoff
from sluice.stack.processes import ProcessIdentity
from sluice.stack.services import Service
from sluice.stack.state import ServiceState, ServiceStatus
from sluice.stack.supervisor import Supervisor

# Becomes ready by making a file, writes a line when it is told to stop, and then stops.
OBEDIENT = """
import pathlib, signal, sys, time
name = sys.argv[1]
def stop(*_):
    with open("order", "a") as order: order.write(f"-{name}\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with open("order", "a") as order: order.write(f"+{name}\\n")
pathlib.Path(f"{name}.ready").touch()
while True: signal.pause()
"""

STUBBORN = OBEDIENT.replace("def stop(*_):", "def stop(*_):\n    return")

QUICK = Backoff(first_seconds=0.02, longest_seconds=0.05)


def stand_in(folder: Path, name: str, program: str = OBEDIENT, **changes: object) -> Service:
    marker = folder / f"{name}.ready"
    settings: dict[str, object] = {
        "name": name,
        "command": (sys.executable, "-S", "-c", program, name),
        "address": name,
        "folder": folder,
        "prepare": lambda: marker.unlink(missing_ok=True),
        "is_ready": lambda _pid: marker.exists(),
        "stop_grace_seconds": 20.0,
    }
    return Service(**(settings | changes))


class Watched:
    """A supervisor under way, with all statuses it told, to be waited for."""

    def __init__(self, folder: Path, *stages: list[Service]) -> None:
        self.told: list[ServiceStatus] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.supervisor = Supervisor(stages, folder, self._note, backoff=QUICK)

    def _note(self, status: ServiceStatus) -> None:
        self.told.append(status)
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def seen(self, name: str, state: ServiceState, restarts: int = 0) -> ServiceStatus:
        def found() -> ServiceStatus | None:
            fitting = (one for one in self.told if (one.name, one.state, one.restarts) == (name, state, restarts))
            return next(fitting, None)

        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: found() is not None), 60)
        status = found()
        assert status is not None
        return status


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))


def test_services_start_in_order_and_stop_in_reverse_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(tmp_path, [stand_in(tmp_path, "a")], [stand_in(tmp_path, "b")], [stand_in(tmp_path, "c")])
        running = asyncio.create_task(watched.supervisor.run())
        await watched.seen("c", ServiceState.READY)
        watched.supervisor.request_stop()
        await running

    run(scenario)

    assert (tmp_path / "order").read_text().split() == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_a_service_that_is_killed_is_started_again_and_its_neighbour_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(tmp_path, [stand_in(tmp_path, "a")], [stand_in(tmp_path, "b")])
        running = asyncio.create_task(watched.supervisor.run())
        first = await watched.seen("b", ServiceState.READY)
        neighbour = await watched.seen("a", ServiceState.READY)
        assert first.identity is not None
        assert neighbour.identity is not None

        os.kill(first.identity.pid, signal.SIGKILL)
        second = await watched.seen("b", ServiceState.READY, restarts=1)

        assert second.identity not in (None, first.identity)
        assert second.note == "ended with status -9"
        assert neighbour.identity.is_alive()
        watched.supervisor.request_stop()
        await running

    run(scenario)


def test_a_service_that_keeps_dying_at_the_start_ends_the_attempt_and_its_log_is_quoted(tmp_path: Path) -> None:
    dying = stand_in(tmp_path, "b", program="import sys; sys.exit('the disk is on fire')")

    async def scenario() -> None:
        watched = Watched(tmp_path, [stand_in(tmp_path, "a")], [dying], [stand_in(tmp_path, "c")])
        with pytest.raises(NotReadyError, match=r"b ended with status 1.*3 times(?s:.*)the disk is on fire"):
            await watched.supervisor.run()

    run(scenario)

    assert (tmp_path / "order").read_text().split() == ["+a", "-a"]


def test_a_service_that_never_gets_ready_is_named_when_its_time_is_over(tmp_path: Path) -> None:
    late = stand_in(tmp_path, "a", is_ready=lambda _pid: False, start_timeout_seconds=0.2)

    async def scenario() -> None:
        with pytest.raises(NotReadyError, match="a was not ready"):
            await Watched(tmp_path, [late]).supervisor.run()

    run(scenario)


def test_a_stranger_in_the_place_of_a_service_ends_the_start_at_once(tmp_path: Path) -> None:
    def stranger(_pid: int) -> bool:
        raise ForeignError("Port 1 belongs to another.")

    async def scenario() -> None:
        watched = Watched(tmp_path, [stand_in(tmp_path, "a", is_ready=stranger)])
        with pytest.raises(ForeignError, match="belongs to another"):
            await watched.supervisor.run()
        assert not any(one.restarts for one in watched.told)

    run(scenario)


def test_a_service_that_does_not_stop_is_killed_and_that_is_told(tmp_path: Path) -> None:
    stubborn = stand_in(tmp_path, "a", program=STUBBORN, stop_grace_seconds=0.2)

    async def scenario() -> None:
        watched = Watched(tmp_path, [stubborn])
        running = asyncio.create_task(watched.supervisor.run())
        status = await watched.seen("a", ServiceState.READY)
        watched.supervisor.request_stop()
        await running

        assert status.identity is not None
        assert not status.identity.is_alive()
        assert "was killed" in watched.told[-1].note

    run(scenario)


def test_a_stop_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    waiting = stand_in(tmp_path, "a", is_ready=lambda _pid: False)

    async def scenario() -> None:
        watched = Watched(tmp_path, [waiting], [stand_in(tmp_path, "b")])
        running = asyncio.create_task(watched.supervisor.run())
        await watched.seen("a", ServiceState.STARTING)
        watched.supervisor.request_stop()
        await running

        assert [one.identity for one in watched.told if one.identity and one.identity.is_alive()] == []
        assert watched.told[-1].state is ServiceState.STOPPED
        assert {one.name for one in watched.told} == {"a"}

    run(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_child_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    parent_program = (
        "import pathlib, sys, subprocess; from sluice.stack import processes; here = pathlib.Path(sys.argv[1]);"
        "child = processes.start(['sh', '-c', 'echo begun; exec sleep 600'], {}, here, here / 'log');"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent_program, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        until(lambda: (tmp_path / "log").read_text() == "begun\n", 60)
        assert child.is_alive()

        parent.kill()
        parent.wait()

        orphan = child.process()
        if orphan is not None:
            psutil.wait_procs([orphan], timeout=30)
        assert not child.is_alive()
