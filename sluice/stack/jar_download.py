"""Fetches one jar with jgo, from the local Maven repository or the network, and proves that it is the right one.

Apart from `jars`, because importing jgo takes longer than everything else a start with a full cache does.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jgo
import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver

from sluice.stack.errors import DownloadError
from sluice.stack.jars import ENDPOINT, KAFKA_VERSION, Jar

_ATTEMPTS = 3
_REQUEST_TIMEOUT_SECONDS = 30


def fetch_verified(jar: Jar, folder: Path, incoming: Path, progress: Callable[[int], None]) -> None:
    """Put `jar` into `folder` under its final name, by way of the empty folder `incoming` on the same disk.

    Raises:
        DownloadError: It could not be had, or is not the one that the lock file names.
    """
    settings = GlobalSettings.load()
    reasons = []
    for attempt in range(_ATTEMPTS):
        counted = _Counted(progress)
        workspace = incoming / f"{jar.file_name}-{attempt}"
        context = MavenContext(
            resolver=PythonResolver(progress_callback=counted.callback),
            repo_cache=workspace,
            # A jar of the local Maven repository spares a download, but a damaged one must not be taken twice.
            local_repos=[Path(settings.repo_cache)] if attempt == 0 else [],
            remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories},
            timeout=_REQUEST_TIMEOUT_SECONDS,
        )
        try:
            found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            digest = hashlib.sha256(found.read_bytes()).hexdigest()
        except (OSError, RuntimeError, requests.RequestException) as error:
            reasons.append(f"{type(error).__name__}: {error}")
            counted.take_back()
            continue
        if digest == jar.sha256:
            workspace.mkdir(parents=True, exist_ok=True)
            whole = workspace / "whole.jar"
            shutil.copyfile(found, whole)
            whole.replace(folder / jar.file_name)
            counted.complete(jar.size_bytes)
            return
        reasons.append(f"its SHA-256 is {digest}, expected {jar.sha256} ({found})")
        counted.take_back()
    raise DownloadError(
        f"{jar.group}:{jar.artifact}:{jar.version} could not be downloaded after {_ATTEMPTS} attempts.\n"
        f"Last reason: {reasons[-1]}\n"
        "The first start needs a connection to Maven Central (later ones need none). Behind a proxy set HTTPS_PROXY; "
        "for a mirror put its address under [repositories] in ~/.config/jgo.conf."
    )


class _Counted:
    """The bytes one attempt has reported, so that a failed attempt can be taken back and a copy completed."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._reported_bytes = 0

    @contextmanager
    def callback(self, _file_name: str, _total_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._report

    def _report(self, byte_count: int) -> None:
        self._reported_bytes += byte_count
        self._progress(byte_count)

    def take_back(self) -> None:
        self._report(-self._reported_bytes)

    def complete(self, total_bytes: int) -> None:
        self._report(total_bytes - self._reported_bytes)


def locked_text() -> str:
    """The text of a new lock file, with what jgo resolves now."""
    lines = [
        f"# The jars of Apache Kafka {KAFKA_VERSION}: coordinates, SHA-256, bytes.",
        "# Made by `python -m sluice.stack.jar_download`; not edited by hand.",
    ]
    for artifact in sorted(jgo.resolve(ENDPOINT), key=lambda found: (found.groupId, found.artifactId)):
        content = artifact.resolve().read_bytes()
        coordinates = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        lines.append(f"{coordinates} {hashlib.sha256(content).hexdigest()} {len(content)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("kafka.lock").write_text(locked_text())
