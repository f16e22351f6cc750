"""What a supervisor needs to know of a service, as values: the command line, when it is ready, how it is stopped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from sluice.stack.errors import ForeignError
from sluice.stack.ports import belongs_to, holder_of


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
    start_timeout_seconds: float = 60.0
    stop_grace_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class HttpReady:
    """Ready when `GET url` answers 200 and it is our own process that answers on `port`."""

    url: str
    port: int

    def __call__(self, pid: int) -> bool:
        """Ask once.

        Raises:
            ForeignError: Someone else answers on the port.
        """
        try:
            answer = httpx.get(self.url, timeout=2.0, trust_env=False)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        if not belongs_to(self.port, pid):
            raise ForeignError(f"Port {self.port} is not ours: {holder_of(self.port)} answers there.")
        return True
