"""Bring a stack up, see what it is, take it down: what the commands and the demo call.

`ensure_up` leaves a supervisor behind (`python -m sluice.stack`) and follows its states until everything is ready;
`run_in_foreground` is the supervisor itself; `take_down` ends whichever there is, and what a killed one left.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sluice.stack import jars, logs
from sluice.stack.errors import NotReadyError, StackError
from sluice.stack.plan import Wanted
from sluice.stack.progress import Announcer, SilentAnnouncer
from sluice.stack.run import end_leftovers, prepare_folder, run_stack
from sluice.stack.state import (
    Phase,
    ServiceState,
    Situation,
    StackState,
    read_situation,
    read_state,
    supervisor_lock,
    write_state,
)

DEFAULT_FOLDER = Path(".sluice")

_POLL_SECONDS = 0.1
_START_TIMEOUT_SECONDS = 600.0
_STOP_TIMEOUT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A stack that is up.

    `bootstrap` is `host:port` of Kafka, `redis_url` and `api_url` are URLs, `worker_urls` those of the workers' own HTTP
    ports (`/metrics`, `/readyz`). `started_here` says whether the call that returned this started the stack.
    """

    data_dir: Path
    bootstrap: str
    redis_url: str
    api_url: str
    worker_urls: tuple[str, ...]
    worker_settings: Path
    started_here: bool

    @classmethod
    def of(cls, data_dir: Path, state: StackState, *, started_here: bool) -> "StackInfo":
        """What the remembered state of a stack that is up says."""
        return cls(
            data_dir=data_dir,
            bootstrap=state.bootstrap,
            redis_url=state.redis_url,
            api_url=state.api_url,
            worker_urls=tuple(one.address for one in state.services if one.name.startswith("worker-")),
            worker_settings=Path(state.worker_settings),
            started_here=started_here,
        )


def ensure_up(
    data_dir: Path = DEFAULT_FOLDER,
    *,
    workers: int = 1,
    kafka: str | None = None,
    redis: str | None = None,
    config: Path | None = None,
    api_port: int | None = None,
    announcer: Announcer | None = None,
) -> StackInfo:
    """Return when the stack in `data_dir` is up, having started it in the background if it was not.

    A stack that is up already is taken as it is, whatever the other arguments say. `take_down` ends it.

    Args:
        data_dir: The data folder, made if absent.
        workers: How many worker processes, 1 or more.
        kafka: `host:port` of a Kafka to use instead of an own one.
        redis: URL of a Redis to use instead of an own one.
        config: The workers' settings file instead of the one in the data folder.
        api_port: Port of the control API instead of a free one.
        announcer: Who is told of the progress.

    Raises:
        StackError: It could not be brought up; says why and what to do. Nothing of it is left running then.
    """
    announcer = announcer or SilentAnnouncer()
    wanted = Wanted(
        folder=data_dir.absolute(),
        workers=workers,
        kafka=kafka,
        redis=redis,
        config=config.absolute() if config else None,
        api_port=api_port,
    )
    found = read_situation(wanted.folder)
    if found.situation is Situation.UP:
        state = _follow_until_up(wanted.folder, None, announcer)
        return StackInfo.of(wanted.folder, state, started_here=False)
    fetch_jars(announcer)
    state = _follow_until_up(wanted.folder, _leave_behind(wanted), announcer)
    return StackInfo.of(wanted.folder, state, started_here=True)


def run_in_foreground(wanted: Wanted, announcer: Announcer, when_up: Callable[[StackInfo], None]) -> None:
    """Be the supervisor of the stack until Ctrl-C or `take_down`; in the main thread.

    Raises:
        StackError: See `run.run_stack`.
    """
    fetch_jars(announcer)
    told = False

    def show(state: StackState) -> None:
        nonlocal told
        announcer.show(state)
        if state.phase is Phase.UP and not told:
            told = True
            when_up(StackInfo.of(wanted.folder, state, started_here=True))

    run_stack(wanted, show, announcer.say)


def take_down(data_dir: Path, announcer: Announcer | None = None) -> Situation:
    """Stop the stack in `data_dir` and return what it was before: UP, HALF_UP, DOWN or NEW.

    Raises:
        ForeignError: The folder is not one of ours.
        StackError: Its supervisor did not stop in time.
    """
    announcer = announcer or SilentAnnouncer()
    folder = data_dir.absolute()
    found = read_situation(folder)
    if found.state is None:
        return found.situation
    if found.situation is Situation.UP:
        _stop_supervisor(folder, found.state, announcer)
    elif found.situation is Situation.HALF_UP:
        with supervisor_lock(folder) as taken:
            if taken:
                for name in end_leftovers(found.state):
                    announcer.say(f"{name}: stopped (its supervisor was gone)")
                write_state(folder, _all_stopped(found.state))
    return found.situation


def fetch_jars(announcer: Announcer) -> None:
    """Have Kafka's jars in the cache; tells of the download if there is one.

    Raises:
        DownloadError: They cannot be had.
    """
    folder = jars.jar_folder()
    missing = jars.missing_jars(folder, jars.locked_jars())
    if not missing:
        return
    what = f"Apache Kafka {jars.KAFKA_VERSION} ({len(missing)} jars, once)"
    with announcer.download(what, sum(jar.size_bytes for jar in missing)) as download:
        jars.fetch(folder, missing, download.arrived)


def _leave_behind(wanted: Wanted) -> subprocess.Popen[bytes]:
    prepare_folder(wanted.folder)
    (wanted.folder / "logs").mkdir(exist_ok=True)
    with (wanted.folder / "logs" / "supervisor.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sluice.stack", *wanted.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It may outlive us or not: if it ends first, somebody must take note, or it stays as a zombie.
    threading.Thread(target=process.wait, daemon=True, name="reaper").start()
    return process


def _follow_until_up(folder: Path, supervisor: subprocess.Popen[bytes] | None, announcer: Announcer) -> StackState:
    """Show the states until the stack is up. `supervisor` is the process that was started, None if it was there."""
    mine = supervisor.pid if supervisor else None
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        # The end of the process is looked at first: what it wrote before its end is then sure to be read.
        ended = supervisor is not None and supervisor.poll() is not None
        state = read_state(folder)
        if state is not None and (mine is None or ended or (state.supervisor and state.supervisor.pid == mine)):
            announcer.show(state)
            if state.phase is Phase.UP and not ended:
                return state
            if ended or (mine is None and state.phase is not Phase.STARTING):
                raise NotReadyError(
                    state.error
                    or f"The stack did not come up. The end of its log:\n{logs.last_lines(folder / 'logs/supervisor.log')}"
                )
        time.sleep(_POLL_SECONDS)
    raise NotReadyError(
        f"The stack in {folder} was not up after {_START_TIMEOUT_SECONDS:.0f} s; `sluice status --data {folder}` says how "
        f"far it came, `sluice down --data {folder}` ends it."
    )


def _stop_supervisor(folder: Path, state: StackState, announcer: Announcer) -> None:
    if state.supervisor and (process := state.supervisor.process()):
        process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        found = read_situation(folder)
        if found.state is not None:
            announcer.show(found.state)
        if found.situation is not Situation.UP:
            return
        time.sleep(_POLL_SECONDS)
    raise StackError(f"The stack in {folder} did not stop within {_STOP_TIMEOUT_SECONDS:.0f} s: see {folder / 'logs'}.")


def _all_stopped(state: StackState) -> StackState:
    services = tuple(replace(one, state=ServiceState.STOPPED, identity=None) for one in state.services)
    return replace(state, phase=Phase.DOWN, supervisor=None, services=services)
