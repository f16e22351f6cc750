"""Artifacts at `file:` locations: files and folders under the configured roots, and nothing else of this machine.

The location is resolved, symbolic links and `..` included, before it is compared with the roots; what is opened is the
resolved path, without following a last link, and only a regular file is read.

The digest of a folder is the SHA-256 over its files in the byte order of their paths, each as: path relative to the
folder with `/` between its parts, NUL, size in decimal digits, NUL, SHA-256 of the content (32 bytes). Empty folders do
not count. A folder is verified when it is fetched; nobody can promise that it is not changed afterwards.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from model_store.core.errors import (
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    FetchFailedError,
    LocationRefusedError,
)
from model_store.policy import FetchPolicy

_MOST_FILES: Final = 10_000
_CHUNK_BYTES: Final = 1 << 20


def resolved_path(location: str, policy: FetchPolicy) -> Path:
    """The file or folder that a location means, proven to lie under a root.

    Args:
        location: `file:///absolute/path`, `file:/absolute/path`, or a bare absolute path, as older publishers write it.
        policy: The roots.

    Raises:
        LocationRefusedError: It is malformed, or outside all roots.
        ArtifactNotFoundError: Nothing is there.
    """
    path = _absolute_path(location)
    if not policy.file_roots:
        raise LocationRefusedError(location, "no root for `file:` locations is configured")
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise LocationRefusedError(location, f"it cannot be resolved: {error}") from error
    _check_under_roots(location, resolved, policy)  # First: what lies outside must not even be seen to exist.
    if not resolved.exists():
        raise ArtifactNotFoundError(location, "nothing is there")
    return resolved


def read_file(location: str, path: Path, policy: FetchPolicy) -> bytes:
    """The bytes of a resolved file.

    Raises:
        ArtifactNotFoundError: It is gone.
        ArtifactTooLargeError: It is over the limit.
        LocationRefusedError: It is no regular file.
        FetchFailedError: It cannot be read now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactNotFoundError(location, "nothing is there") from None
    except OSError as error:
        raise FetchFailedError(location, f"cannot be opened: {error}") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LocationRefusedError(location, f"{path} is not a regular file")
        if status.st_size > policy.artifact_bytes:
            raise ArtifactTooLargeError(f"the artifact at {location}", status.st_size, policy.artifact_bytes)
        try:
            payload = file.read(policy.artifact_bytes + 1)
        except OSError as error:
            raise FetchFailedError(location, f"cannot be read: {error}") from error
    if len(payload) > policy.artifact_bytes:
        what = f"the artifact at {location}"
        raise ArtifactTooLargeError(what, len(payload), policy.artifact_bytes, is_lower_bound=True)
    return payload


def measure_folder(location: str, folder: Path, policy: FetchPolicy) -> tuple[bytes, int]:
    """Digest (see the module) and size in bytes of a resolved folder, all its files together.

    Raises:
        ArtifactTooLargeError: The files together are over the limit.
        LocationRefusedError: It holds too many files, or something that is neither a file nor a folder under a root.
        ArtifactNotFoundError: A file vanished meanwhile.
        FetchFailedError: A file cannot be read now.
    """
    total = hashlib.sha256()
    size_bytes = 0
    for relative, path in sorted(_files(location, folder, policy)):
        digest, length = _measure_file(location, path, policy.artifact_bytes - size_bytes)
        size_bytes += length
        if size_bytes > policy.artifact_bytes:
            what = f"the folder at {location}"
            raise ArtifactTooLargeError(what, size_bytes, policy.artifact_bytes, is_lower_bound=True)
        total.update(relative + b"\0" + str(length).encode() + b"\0" + digest)
    return total.digest(), size_bytes


def _absolute_path(location: str) -> Path:
    if location.startswith("/"):
        text = location
    else:
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost"):
            raise LocationRefusedError(location, f"a file of another host ({parts.netloc}) cannot be read")
        if parts.query or parts.fragment:
            raise LocationRefusedError(location, "a `file:` location has neither a query nor a fragment")
        text = unquote(parts.path)
    if not text.startswith("/") or "\0" in text:
        raise LocationRefusedError(location, "write an absolute path: `file:///folder/model.pb`")
    return Path(text)


def _check_under_roots(location: str, path: Path, policy: FetchPolicy) -> None:
    if not any(path.is_relative_to(root.resolve()) for root in policy.file_roots):
        roots = ", ".join(str(root) for root in policy.file_roots)
        raise LocationRefusedError(location, f"it is not under a configured root ({roots})")


def _files(location: str, folder: Path, policy: FetchPolicy) -> Iterator[tuple[bytes, Path]]:
    """Relative path and resolved path of each file. Links to files are followed, links to folders are not."""
    count = 0
    for where, folders, files in os.walk(folder):
        for name in folders:
            if (Path(where) / name).is_symlink():
                raise LocationRefusedError(location, f"it holds a symbolic link to a folder: {name}")
        for name in files:
            count += 1
            if count > _MOST_FILES:
                raise LocationRefusedError(location, f"the folder holds more than {_MOST_FILES} files")
            path = Path(where) / name
            resolved = path.resolve()
            _check_under_roots(location, resolved, policy)
            yield path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"), resolved


def _measure_file(location: str, path: Path, limit_bytes: int) -> tuple[bytes, int]:
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LocationRefusedError(location, f"it holds {path.name}, which is not a regular file")
            while size_bytes <= limit_bytes and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
                size_bytes += len(chunk)
    except FileNotFoundError:
        raise ArtifactNotFoundError(location, f"{path.name} vanished") from None
    except OSError as error:
        raise FetchFailedError(location, f"{path.name} cannot be read: {error}") from error
    return digest.digest(), size_bytes
