"""The jars of Apache Kafka: exactly those of `kafka.lock`, fetched once, verified, offline ever after.

Theory of operation: the lock file beside this module names each jar with its SHA-256 and size; it is made by
`python -m sluice.stack.jars`, which has jgo resolve the dependency graph. A start therefore resolves nothing. Each
missing jar is fetched by jgo (from the local Maven repository if it is there, else from Maven Central, else from the
repositories of jgo's own settings file), compared with its digest and only then moved into the cache under its final
name: a jar that is in the cache is a whole one, whatever was interrupted, and two processes may fetch at once.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jgo
import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver

from sluice.stack.caches import cache_folder
from sluice.stack.errors import DownloadError

KAFKA_VERSION = "4.3.1"

# `kafka-clients` is named because jgo resolves 3.9.1 otherwise, with which the broker dies of a NoSuchMethodError;
# `log4j-slf4j-impl` because without a logging back end the broker logs nothing.
ENDPOINT = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
    f"+org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
    "+org.apache.logging.log4j:log4j-slf4j-impl:2.25.1"
)

_PARALLEL_DOWNLOADS = 6
_ATTEMPTS = 3
_REQUEST_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of the lock file: Maven coordinates, SHA-256 (hex) and size in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The file name in the cache, as Maven would call it."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """The jars of the committed lock file, in its order, which is that of the class path."""
    return parse_lock((files("sluice.stack") / "kafka.lock").read_text())


def parse_lock(text: str) -> tuple[Jar, ...]:
    """The jars in the text of a lock file: `group:artifact:version sha256 size` a line, `#` starts a comment."""
    jars = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, sha256, size = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, sha256, int(size)))
    return tuple(jars)


def jar_folder(cache: Path | None = None) -> Path:
    """The folder of the cache that holds this Kafka's jars; it need not exist."""
    return (cache or cache_folder()) / f"kafka-{KAFKA_VERSION}"


def missing_jars(folder: Path, jars: Sequence[Jar]) -> tuple[Jar, ...]:
    """Those of `jars` that are not in `folder` with the size they must have."""
    return tuple(jar for jar in jars if not _is_there(folder / jar.file_name, jar))


def class_path(folder: Path, jars: Sequence[Jar]) -> str:
    """The class path of `jars` in `folder`, in a fixed order: Java's start-up cache is only valid for that very text."""
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


def fetch(folder: Path, jars: Sequence[Jar], progress: Callable[[int], None] = lambda _: None) -> None:
    """Put each of `jars` that is missing into `folder`.

    Args:
        folder: Made if it does not exist.
        jars: What must be there afterwards.
        progress: Called from several threads with the number of bytes that arrived since the last call.

    Raises:
        DownloadError: A jar could not be had, or is not the one that the lock file names.
    """
    missing = missing_jars(folder, jars)
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="incoming-") as incoming,
        ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="jars") as pool,
    ):
        pending = [pool.submit(_fetch_verified, jar, folder, Path(incoming), progress) for jar in missing]
        try:
            for done in as_completed(pending):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_there(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size_bytes
    except OSError:
        return False


def _fetch_verified(jar: Jar, folder: Path, incoming: Path, progress: Callable[[int], None]) -> None:
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


def _write_lock() -> None:
    lines = [
        f"# The jars of Apache Kafka {KAFKA_VERSION}: coordinates, SHA-256, bytes.",
        "# Made by `python -m sluice.stack.jars`; not edited by hand.",
    ]
    for artifact in sorted(jgo.resolve(ENDPOINT), key=lambda found: (found.groupId, found.artifactId)):
        content = artifact.resolve().read_bytes()
        coordinates = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        lines.append(f"{coordinates} {hashlib.sha256(content).hexdigest()} {len(content)}")
    Path(__file__).with_name("kafka.lock").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    _write_lock()
