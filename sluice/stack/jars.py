"""The jars of Apache Kafka: exactly those of `kafka.lock`, fetched once, verified, offline ever after.

Theory of operation: the lock file beside this module names each jar with its SHA-256 and size; it is made by
`python -m sluice.stack.jar_download`, which has jgo resolve the dependency graph. A start therefore resolves nothing. Each
missing jar is fetched by jgo (from the local Maven repository if it is there, else from Maven Central, else from the
repositories of jgo's own settings file), compared with its digest and only then moved into the cache under its final
name: a jar that is in the cache is a whole one, whatever was interrupted, and two processes may fetch at once.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sluice.stack.caches import cache_folder

KAFKA_VERSION = "4.3.1"

# `kafka-clients` is named because jgo resolves 3.9.1 otherwise, with which the broker dies of a NoSuchMethodError;
# `log4j-slf4j-impl` because without a logging back end the broker logs nothing.
ENDPOINT = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
    f"+org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
    "+org.apache.logging.log4j:log4j-slf4j-impl:2.25.1"
)

_PARALLEL_DOWNLOADS = 6


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
    # Imported where it is needed: jgo takes longer to import than a start with a full cache takes otherwise.
    from sluice.stack.jar_download import fetch_verified

    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="incoming-") as incoming,
        ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="jars") as pool,
    ):
        pending = [pool.submit(fetch_verified, jar, folder, Path(incoming), progress) for jar in missing]
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
