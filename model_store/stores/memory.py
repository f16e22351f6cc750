"""Artifacts in the memory of one process: for tests, and for workers without a disk."""

from __future__ import annotations

import hashlib

from model_store.core.errors import ArtifactNotFoundError
from model_store.stores.base import checked_digest


class MemoryStore:
    """See `ArtifactStore`. It lasts as long as the object."""

    def __init__(self) -> None:
        self._payloads: dict[str, bytes] = {}

    def put(self, payload: bytes) -> bytes:
        """See `ArtifactStore.put`."""
        digest = hashlib.sha256(payload).digest()
        self._payloads[digest.hex()] = payload
        return digest

    def fetch(self, digest: bytes) -> bytes:
        """See `ArtifactStore.fetch`. Bytes objects do not change, so there is nothing to prove again."""
        name = checked_digest(digest)
        payload = self._payloads.get(name)
        if payload is None:
            raise ArtifactNotFoundError(f"sha256 {name}")
        return payload

    def has(self, digest: bytes) -> bool:
        """See `ArtifactStore.has`."""
        return checked_digest(digest) in self._payloads

    def size_bytes(self, digest: bytes) -> int | None:
        """See `ArtifactStore.size_bytes`."""
        payload = self._payloads.get(checked_digest(digest))
        return None if payload is None else len(payload)

    def delete(self, digest: bytes) -> None:
        """See `ArtifactStore.delete`."""
        self._payloads.pop(checked_digest(digest), None)
