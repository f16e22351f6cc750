"""What is remembered about a local stack between commands: `state.json` in its data folder, and a lock.

The supervisor alone writes the file, whole and atomically, at every change; `status`, `down` and a second `up` read it.
The file says what was; the lock says what is: the supervisor holds it as long as it lives and the kernel drops it when
it dies, however it dies. So `read_situation` never takes a stale file for a running stack.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from sluice.stack.errors import ForeignError
from sluice.stack.processes import ProcessIdentity

STATE_FILE = "state.json"
LOCK_FILE = "lock"
FORMAT = "sluice-stack-1"


class Phase(StrEnum):
    """What the supervisor as a whole is doing."""

    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    DOWN = "down"
    FAILED = "failed"


class ServiceState(StrEnum):
    """What one service is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service, as last seen by the supervisor.

    `address` is for people and clients (`host:port` or URL), `since` is seconds since the epoch of the last change of
    `state`, `restarts` counts from the start of the supervisor, `note` says why the last process ended.
    """

    name: str
    state: ServiceState
    address: str
    log: str
    since: float
    identity: ProcessIdentity | None = None
    restarts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class StackState:
    """Everything remembered. Ports, cluster id and stack id outlive the processes."""

    stack_id: str
    cluster_id: str
    ports: Mapping[str, int] = field(default_factory=dict)
    phase: Phase = Phase.DOWN
    supervisor: ProcessIdentity | None = None
    services: tuple[ServiceStatus, ...] = ()
    bootstrap: str = ""
    redis_url: str = ""
    api_url: str = ""
    worker_settings: str = ""
    worker_settings_sha256: str = ""
    error: str = ""

    def with_service(self, status: ServiceStatus) -> "StackState":
        """The state with the service of that name replaced, or added at the end."""
        names = [service.name for service in self.services]
        if status.name not in names:
            return replace(self, services=(*self.services, status))
        index = names.index(status.name)
        return replace(self, services=(*self.services[:index], status, *self.services[index + 1 :]))

    def living(self) -> tuple[ServiceStatus, ...]:
        """The services whose remembered process still runs."""
        return tuple(service for service in self.services if service.identity and service.identity.is_alive())


class Situation(StrEnum):
    """What a command finds in a data folder."""

    NEW = "new"
    DOWN = "down"
    UP = "up"
    HALF_UP = "half up"


@dataclass(frozen=True, slots=True)
class Found:
    """A situation with the state that goes with it; `state` is None exactly if it is NEW."""

    situation: Situation
    state: StackState | None


def read_situation(folder: Path) -> Found:
    """What is in the data folder: nothing yet, a stack that is down, up, or half up (its supervisor was killed).

    Raises:
        ForeignError: The folder is not one of ours, or from another version; it is left alone.
    """
    state = read_state(folder)
    if state is None:
        return Found(Situation.NEW, None)
    return Found(judge(supervised=is_locked(folder), living=len(state.living())), state)


def judge(*, supervised: bool, living: int) -> Situation:
    """The situation of a folder with a state, from whether its lock is held and how many of its processes live."""
    if supervised:
        return Situation.UP
    return Situation.HALF_UP if living else Situation.DOWN


def read_state(folder: Path) -> StackState | None:
    """The remembered state; None if the folder is absent or empty.

    Raises:
        ForeignError: See `read_situation`.
    """
    path = folder / STATE_FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ForeignError(
                f"{folder} exists and is not the data folder of a Sluice stack (it has no {STATE_FILE}): "
                "name another one with --data, or remove it."
            )
        return None
    return decode(path.read_text(), str(path))


def decode(text: str, origin: str) -> StackState:
    """The state written in `text`.

    Raises:
        ForeignError: It is not a state of this format.
    """
    try:
        raw = json.loads(text)
        found = raw.pop("format")
        if found != FORMAT:
            raise ForeignError(
                f"{origin} is of format {found}, this version of Sluice writes {FORMAT}: use another --data."
            )
        services = tuple(
            ServiceStatus(**{**one, "state": ServiceState(one["state"]), "identity": _identity(one["identity"])})
            for one in raw.pop("services")
        )
        supervisor, phase = _identity(raw.pop("supervisor")), Phase(raw.pop("phase"))
        return StackState(**raw, phase=phase, supervisor=supervisor, services=services)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForeignError(
            f"{origin} was not written by Sluice, or is damaged ({error}): use another --data."
        ) from error


def encode(state: StackState) -> str:
    """The state as text for `decode`."""
    return json.dumps({"format": FORMAT, **asdict(state)}, indent=2) + "\n"


def write_state(folder: Path, state: StackState) -> None:
    """Replace the remembered state as a whole; a reader never sees half of it. Only the holder of the lock may."""
    incoming = folder / f"{STATE_FILE}.new"
    incoming.write_text(encode(state))
    incoming.replace(folder / STATE_FILE)


@contextmanager
def supervisor_lock(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, if nobody else does; yields whether we do. The folder must exist."""
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a supervisor lives that works on this folder."""
    if not (folder / LOCK_FILE).exists():
        return False
    with supervisor_lock(folder) as taken:
        return not taken


def _identity(raw: Mapping[str, Any] | None) -> ProcessIdentity | None:
    return ProcessIdentity(**raw) if raw else None
