"""What every artifact store does, and the cache, which is one."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.cache import ArtifactCache
from model_store.core.errors import ArtifactNotFoundError
from model_store.stores import ArtifactStore, FilesystemStore, MemoryStore, open_store

MAKERS: dict[str, Callable[[Path], ArtifactStore]] = {
    "memory": lambda folder: MemoryStore(),
    "filesystem": lambda folder: FilesystemStore(folder / "store"),
    "memory by URL": lambda folder: open_store("memory:"),
    "filesystem by URL": lambda folder: open_store((folder / "a store").as_uri()),
    "cache": lambda folder: ArtifactCache(folder / "cache", 1 << 20),
}


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return MAKERS[request.param](tmp_path)


@pytest.mark.parametrize("payload", [b"", b"model", b"\0" * 100_000])
def test_what_was_put_is_fetched_by_its_sha256(store: ArtifactStore, payload: bytes) -> None:
    digest = store.put(payload)

    assert digest == hashlib.sha256(payload).digest()
    assert store.fetch(digest) == payload
    assert store.has(digest)
    assert store.size_bytes(digest) == len(payload)


def test_putting_again_changes_nothing(store: ArtifactStore) -> None:
    assert store.put(b"model") == store.put(b"model")
    assert store.fetch(store.put(b"model")) == b"model"


def test_what_was_never_put_is_not_found(store: ArtifactStore) -> None:
    digest = hashlib.sha256(b"other").digest()

    assert not store.has(digest)
    assert store.size_bytes(digest) is None
    with pytest.raises(ArtifactNotFoundError, match=digest.hex()):
        store.fetch(digest)


def test_what_was_deleted_is_gone_and_deleting_it_again_is_no_error(store: ArtifactStore) -> None:
    digest, other = store.put(b"model"), store.put(b"other")

    store.delete(digest)
    store.delete(digest)

    assert not store.has(digest)
    assert store.fetch(other) == b"other"


@pytest.mark.parametrize("digest", [b"", b"short", b"x" * 33, b"../../../../etc/passwd"])
def test_what_is_no_digest_is_refused(store: ArtifactStore, digest: bytes) -> None:
    for call in (store.fetch, store.has, store.size_bytes, store.delete):
        with pytest.raises(ValueError, match="a SHA-256 has 32 bytes"):
            call(digest)


def test_many_threads_may_put_the_same_and_different_artifacts(store: ArtifactStore) -> None:
    payloads = [f"model {number % 5}".encode() * 1_000 for number in range(40)]

    with ThreadPoolExecutor(8) as threads:
        digests = list(threads.map(store.put, payloads))

    assert [store.fetch(digest) for digest in digests] == payloads
