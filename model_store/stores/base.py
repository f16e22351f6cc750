"""The interface of an artifact store: bytes under the SHA-256 of themselves."""

from __future__ import annotations

from typing import Protocol


class ArtifactStore(Protocol):
    """Content-addressed bytes. Thread-safe; all methods block.

    A digest is 32 bytes. What was put is immutable, so putting it again changes nothing, and two writers of one artifact
    do not disturb each other.
    """

    def put(self, payload: bytes) -> bytes:
        """Keep an artifact and return its digest. When this returns, a crash does not lose it.

        Raises:
            StoreFailedError: It could not be kept.
        """

    def fetch(self, digest: bytes) -> bytes:
        """The artifact, proven to have this digest.

        Raises:
            ArtifactNotFoundError: The store does not have it.
            DigestMismatchError: What the store has is damaged.
            FetchFailedError: It could not be read now.
            ValueError: `digest` is not 32 bytes.
        """

    def has(self, digest: bytes) -> bool:
        """Whether the store has it. Another process may delete it at any time."""

    def size_bytes(self, digest: bytes) -> int | None:
        """Size of the artifact, or `None` where the store does not have it."""

    def delete(self, digest: bytes) -> None:
        """Forget an artifact; one that is not there is no error.

        Raises:
            StoreFailedError: It could not be deleted.
        """


def checked_digest(digest: bytes) -> str:
    """The digest in hexadecimal, proven to be one: it becomes part of paths.

    Raises:
        ValueError: It is not 32 bytes.
    """
    if len(digest) != 32:
        raise ValueError(f"a SHA-256 has 32 bytes, not {len(digest)}")
    return digest.hex()
