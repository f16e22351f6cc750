"""What a supervisor needs to know of a service, as values: the command line, when it is ready, how it is stopped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from sluice.stack.errors import ForeignError
from sluice.stack.ports import LOOPBACK, belongs_to, holder_of

_ANSWER_TIMEOUT_SECONDS = 5.0


def _nothing() -> None:
    """The preparation of a service that needs none."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process that is kept running.

    `is_ready` gets the pid and is asked again and again, in a thread; it raises `StackError` when it sees that waiting
    is no use. `prepare` runs before each start, `when_ready` after each time it became ready, both in a thread.
    """

    name: str
    command: tuple[str, ...]
    address: str
    folder: Path
    is_ready: Callable[[int], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = _nothing
    when_ready: Callable[[], None] = _nothing
    start_timeout_seconds: float = 180.0
    stop_grace_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class HttpReady:
    """Ready when `GET path` on loopback `port` answers 200 and it is our own process that answers."""

    port: int
    path: str = "/readyz"

    def __call__(self, pid: int) -> bool:
        """Ask once.

        Raises:
            ForeignError: Someone else answers on the port.
        """
        if _status_at(LOOPBACK, self.port, self.path) != HTTPStatus.OK:
            return False
        if not belongs_to(self.port, pid):
            raise ForeignError(f"Port {self.port} is not ours: {holder_of(self.port)} answers there.")
        return True


def _status_at(host: str, port: int, path: str) -> int | None:
    # Asked some hundred times in a start: the standard library's client costs a tenth of one that prepares for TLS.
    connection = HTTPConnection(host, port, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
