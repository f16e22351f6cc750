"""Artifacts as files of a folder, shared by any number of processes of a machine.

An artifact is the file `<first two digits>/<digest in hexadecimal>`. It is written under `incoming/`, flushed to the
disk, and renamed; so a file under its digest is whole, whoever crashes, and writers need no lock. A digest is 32 bytes
turned to hexadecimal, so no input reaches outside the folder.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from pathlib import Path
from typing import Final

from model_store.core.errors import (
    ArtifactNotFoundError,
    DigestMismatchError,
    FetchFailedError,
    StoreFailedError,
)
from model_store.stores.base import checked_digest

_ABANDONED_SECONDS: Final = 3_600
"""No write takes this long: an incoming file that was not touched for longer belongs to a process that died."""


class FilesystemStore:
    """See `ArtifactStore`."""

    def __init__(self, folder: Path) -> None:
        """Open the store, making the folder where it is missing.

        Raises:
            StoreFailedError: The folder cannot be made.
        """
        self.folder = folder
        self._incoming = folder / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFailedError(str(folder), f"the folder cannot be made: {error}") from error
        self._sweep()

    def put(self, payload: bytes) -> bytes:
        """See `ArtifactStore.put`. A damaged file under the digest is replaced."""
        digest = hashlib.sha256(payload).digest()
        target = self.path_of(digest)
        try:
            if not _holds(target, payload):
                target.parent.mkdir(exist_ok=True)
                self._write(target, payload)
        except OSError as error:
            raise StoreFailedError(f"sha256 {digest.hex()}", f"cannot be written: {error}") from error
        return digest

    def fetch(self, digest: bytes) -> bytes:
        """See `ArtifactStore.fetch`."""
        target = self.path_of(digest)
        try:
            payload = target.read_bytes()
        except FileNotFoundError:
            raise ArtifactNotFoundError(f"sha256 {digest.hex()}") from None
        except OSError as error:
            raise FetchFailedError(f"sha256 {digest.hex()}", f"cannot be read: {error}") from error
        found = hashlib.sha256(payload).digest()
        if found != digest:
            raise DigestMismatchError(str(target), digest, found)
        return payload

    def has(self, digest: bytes) -> bool:
        """See `ArtifactStore.has`."""
        return self.path_of(digest).is_file()

    def size_bytes(self, digest: bytes) -> int | None:
        """See `ArtifactStore.size_bytes`."""
        try:
            return self.path_of(digest).stat().st_size
        except OSError:
            return None

    def delete(self, digest: bytes) -> None:
        """See `ArtifactStore.delete`."""
        try:
            self.path_of(digest).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailedError(f"sha256 {digest.hex()}", f"cannot be deleted: {error}") from error

    def path_of(self, digest: bytes) -> Path:
        """Where the artifact is, or would be.

        Raises:
            ValueError: `digest` is not 32 bytes.
        """
        name = checked_digest(digest)
        return self.folder / name[:2] / name

    def _write(self, target: Path, payload: bytes) -> None:
        incoming = self._incoming / uuid.uuid4().hex
        try:
            with incoming.open("xb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)
        _sync_folder(target.parent)
        _sync_folder(self.folder)  # The two-digit folder may be new itself.

    def _sweep(self) -> None:
        """Delete what writers left that died."""
        before = time.time() - _ABANDONED_SECONDS
        for path in self._incoming.iterdir():
            try:
                if path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)
            except OSError:  # Another process sweeps as well.
                continue


def _holds(path: Path, payload: bytes) -> bool:
    try:
        return path.stat().st_size == len(payload) and path.read_bytes() == payload
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
