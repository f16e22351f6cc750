"""From a descriptor to its artifact: allowed, fetched, and proven to be what was announced.

A location is checked against the policy before anything else, so that what is refused is refused on every worker, no
matter what its cache holds. Then the cache is asked by digest, and only then the artifact is brought: inline bytes from
the stores given or from the log, others from their location. The SHA-256 is computed on every fetch, and must be the
announced one wherever one was announced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from model_store.cache import ArtifactCache
from model_store.core.descriptor import Descriptor
from model_store.core.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    DigestMismatchError,
    LocationRefusedError,
    StoreFailedError,
)
from model_store.file_location import measure_folder, read_file, resolved_path
from model_store.http_location import check_host, download
from model_store.policy import FetchPolicy
from model_store.stores.base import ArtifactStore


@dataclass(frozen=True, slots=True)
class Fetched:
    """An artifact, verified.

    Attributes:
        payload: Its bytes; empty where it is a folder.
        directory: A folder under a configured root (a SavedModel), else `None`.
        sha256: Digest, 32 bytes; that of a folder is described in `file_location`.
        size_bytes: Size; that of a folder is that of all its files.
    """

    payload: bytes
    directory: Path | None
    sha256: bytes
    size_bytes: int


def fetch_verified(
    descriptor: Descriptor,
    policy: FetchPolicy,
    cache: ArtifactCache | None = None,
    stores: Sequence[ArtifactStore] = (),
    inline: Callable[[], bytes | None] | None = None,
) -> Fetched:
    """Bring the artifact of a descriptor. Blocks; any thread.

    Args:
        descriptor: What was announced.
        policy: What may be fetched.
        cache: Asked first; what was fetched is kept in it, if it fits.
        stores: Asked by digest for inline artifacts, in order.
        inline: Brings the bytes of an inline artifact where neither the cache nor a store has them, for example by
            reading the record at its control offset again; `None` where it cannot.

    Raises:
        LocationRefusedError: The policy does not allow the location.
        ArtifactTooLargeError: It is over the policy's limit.
        ArtifactNotFoundError: Nothing is at the location, or nobody has the digest.
        DigestMismatchError: The bytes are not the announced ones.
        FetchFailedError: It could not be had now; another try may succeed.
    """
    path = _allowed(descriptor, policy)
    if path is not None and path.is_dir():
        return _folder(descriptor, path, policy)
    cached = _cached(descriptor, cache)
    if cached is not None:
        return _verified(descriptor, cached, policy)
    if descriptor.location is None:
        payload = _inline(descriptor, stores, inline)
    elif path is not None:
        payload = read_file(descriptor.location, path, policy)
    else:
        payload = download(descriptor.location, policy)
    fetched = _verified(descriptor, payload, policy)
    if cache is not None:
        with suppress(ArtifactTooLargeError, StoreFailedError):  # A full disk must not keep a model from serving.
            cache.put(payload)
    return fetched


def _allowed(descriptor: Descriptor, policy: FetchPolicy) -> Path | None:
    """Prove that the artifact may be fetched; the resolved path of a `file:` location."""
    location = descriptor.location
    if location is None:
        if descriptor.size_bytes is not None and descriptor.size_bytes > policy.artifact_bytes:
            what = f"the inline artifact of {descriptor.name}"
            raise ArtifactTooLargeError(what, descriptor.size_bytes, policy.artifact_bytes)
        return None
    match _scheme(location):
        case "file":
            return resolved_path(location, policy)
        case "http" | "https":
            check_host(location, policy)
            return None
        case _:
            raise LocationRefusedError(location, "a location is a `file:`, `http:` or `https:` URL")


def _scheme(location: str) -> str:
    try:
        return "file" if location.startswith("/") else urlsplit(location).scheme.lower()
    except ValueError as error:
        raise LocationRefusedError(location, f"not a URL: {error}") from error


def _folder(descriptor: Descriptor, path: Path, policy: FetchPolicy) -> Fetched:
    digest, size_bytes = measure_folder(str(descriptor.location), path, policy)
    if descriptor.sha256 is not None and descriptor.sha256 != digest:
        raise DigestMismatchError(str(descriptor.location), descriptor.sha256, digest)
    return Fetched(b"", path, digest, size_bytes)


def _cached(descriptor: Descriptor, cache: ArtifactCache | None) -> bytes | None:
    if descriptor.sha256 is None or cache is None:
        return None
    try:
        return cache.fetch(descriptor.sha256)
    except ArtifactError:  # Whatever is wrong with the copy, the original is better.
        return None


def _inline(
    descriptor: Descriptor, stores: Sequence[ArtifactStore], inline: Callable[[], bytes | None] | None
) -> bytes:
    digest = descriptor.sha256 or b""
    for store in stores:
        with suppress(ArtifactNotFoundError, DigestMismatchError):
            return store.fetch(digest)
    payload = None if inline is None else inline()
    if payload is None:
        raise ArtifactNotFoundError(f"sha256 {digest.hex()}", "the inline artifact is neither kept here nor on the log")
    return payload


def _verified(descriptor: Descriptor, payload: bytes, policy: FetchPolicy) -> Fetched:
    where = descriptor.location or f"the inline artifact of {descriptor.name}"
    if len(payload) > policy.artifact_bytes:
        raise ArtifactTooLargeError(where, len(payload), policy.artifact_bytes)
    digest = hashlib.sha256(payload).digest()
    if descriptor.sha256 is not None and digest != descriptor.sha256:
        raise DigestMismatchError(where, descriptor.sha256, digest)
    return Fetched(payload, None, digest, len(payload))
