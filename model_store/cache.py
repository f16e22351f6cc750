"""Artifacts that a node has fetched, kept for the next worker and the next start, within a size.

Theory of operation. The cache is a `FilesystemStore` in a folder that all workers of a node share, so each artifact is
fetched once a node. A use sets the file's modification time; when a new artifact would make the folder larger than its
bound, the files that were used longest ago are deleted. What serves is pinned: its process holds a shared lock
(`flock`) on the file, and nothing is deleted that cannot be locked exclusively. The kernel frees locks when a process
dies, so a pin never outlives its worker. Pinned files may keep the folder above its bound for a while.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path

from model_store.core.errors import ArtifactTooLargeError, DigestMismatchError, StoreFailedError
from model_store.stores.filesystem import FilesystemStore


class ArtifactCache:
    """See the module, and `ArtifactStore`, which it is one of. Thread-safe; several processes may share the folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Open the cache with what is in it.

        Args:
            folder: Made where it is missing.
            limit_bytes: Most bytes of artifacts in the folder, what is pinned aside.

        Raises:
            StoreFailedError: The folder cannot be made.
        """
        self._store = FilesystemStore(folder)
        self._limit_bytes = limit_bytes
        self._pins: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._store.folder

    def put(self, payload: bytes) -> bytes:
        """See `ArtifactStore.put`. Makes room first.

        Raises:
            ArtifactTooLargeError: The artifact alone is larger than the cache.
            StoreFailedError: It could not be written.
        """
        if len(payload) > self._limit_bytes:
            raise ArtifactTooLargeError("an artifact for the cache", len(payload), self._limit_bytes)
        digest = hashlib.sha256(payload).digest()
        with self._lock:
            if not self._store.has(digest):
                self._make_room(len(payload))
            self._store.put(payload)
            self._touch(digest)
        return digest

    def fetch(self, digest: bytes) -> bytes:
        """See `ArtifactStore.fetch`. A damaged file is deleted, so that the artifact is fetched anew."""
        try:
            payload = self._store.fetch(digest)
        except DigestMismatchError:
            self._store.delete(digest)
            raise
        self._touch(digest)
        return payload

    def has(self, digest: bytes) -> bool:
        """See `ArtifactStore.has`."""
        return self._store.has(digest)

    def size_bytes(self, digest: bytes) -> int | None:
        """See `ArtifactStore.size_bytes`."""
        return self._store.size_bytes(digest)

    def delete(self, digest: bytes) -> None:
        """See `ArtifactStore.delete`. Even what is pinned."""
        self._store.delete(digest)

    def pin(self, digest: bytes) -> bool:
        """Keep an artifact from being dropped by any process of this node until `unpin`. Pins are counted.

        Returns:
            Whether it is there to be kept.
        """
        with self._lock:
            if digest in self._pins:
                descriptor, count = self._pins[digest]
                self._pins[digest] = (descriptor, count + 1)
                return True
            try:
                descriptor = os.open(self._store.path_of(digest), os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink == 0:  # Dropped by another process between the two calls.
                os.close(descriptor)
                return False
            self._pins[digest] = (descriptor, 1)
            return True

    def unpin(self, digest: bytes) -> None:
        """Take one pin back; an artifact that has none is no error."""
        with self._lock:
            if digest not in self._pins:
                return
            descriptor, count = self._pins.pop(digest)
            if count > 1:
                self._pins[digest] = (descriptor, count - 1)
            else:
                os.close(descriptor)

    def stored_bytes(self) -> int:
        """Size of all artifacts in the folder."""
        return sum(size for _, size, _ in self._files())

    def _make_room(self, size_bytes: int) -> None:
        files = sorted(self._files())
        excess = sum(size for _, size, _ in files) + size_bytes - self._limit_bytes
        for _, size, path in files:
            if excess <= 0:
                return
            if _deleted_unless_pinned(path):
                excess -= size

    def _files(self) -> list[tuple[int, int, Path]]:
        """Last use, size and path of each artifact."""
        files = []
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(FileNotFoundError):  # Another process makes room as well.
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        return files

    def _touch(self, digest: bytes) -> None:
        with suppress(OSError):  # Deleted meanwhile, or a read-only folder: then the order of use is only a guess.
            os.utime(self._store.path_of(digest))


def _deleted_unless_pinned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreFailedError(str(path), f"cannot be deleted: {error}") from error
    finally:
        os.close(descriptor)
    return True
