import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from model_store.cache import ArtifactCache
from model_store.core.descriptor import Descriptor
from model_store.core.errors import (
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    DigestMismatchError,
    LocationRefusedError,
)
from model_store.fetch import fetch_verified
from model_store.policy import FetchPolicy
from model_store.stores import MemoryStore

PAYLOAD = b"<PMML/>"
DIGEST = hashlib.sha256(PAYLOAD).digest()
INLINE = Descriptor("m", "wine", "PMML", size_bytes=len(PAYLOAD), sha256=DIGEST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A configured root with a model and a SavedModel folder, and a secret beside it."""
    root = tmp_path / "root"
    (root / "saved" / "variables").mkdir(parents=True)
    (root / "model.pmml").write_bytes(PAYLOAD)
    (root / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    (root / "saved" / "variables" / "data").write_bytes(b"12345")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


def at(location: str | Path, sha256: bytes | None = None) -> Descriptor:
    return Descriptor("m", "wine", "PMML", location=str(location), sha256=sha256)


def under(root: Path, artifact_bytes: int = 1_000) -> FetchPolicy:
    return FetchPolicy(file_roots=(root,), artifact_bytes=artifact_bytes)


def test_an_inline_artifact_comes_from_the_store_and_is_cached(tmp_path: Path) -> None:
    store, cache = MemoryStore(), ArtifactCache(tmp_path, 1_000)
    store.put(PAYLOAD)

    fetched = fetch_verified(INLINE, FetchPolicy(), cache, [MemoryStore(), store])

    assert (fetched.payload, fetched.sha256, fetched.size_bytes, fetched.directory) == (PAYLOAD, DIGEST, 7, None)
    assert fetch_verified(INLINE, FetchPolicy(), cache).payload == PAYLOAD


def test_an_inline_artifact_that_nobody_kept_is_read_from_the_log_again() -> None:
    assert fetch_verified(INLINE, FetchPolicy(), inline=lambda: PAYLOAD).payload == PAYLOAD
    with pytest.raises(ArtifactNotFoundError, match=DIGEST.hex()):
        fetch_verified(INLINE, FetchPolicy(), inline=lambda: None)
    with pytest.raises(ArtifactNotFoundError, match=DIGEST.hex()):
        fetch_verified(INLINE, FetchPolicy())


def test_other_bytes_than_announced_are_refused_with_both_digests() -> None:
    with pytest.raises(DigestMismatchError) as caught:
        fetch_verified(INLINE, FetchPolicy(), inline=lambda: b"other")

    assert DIGEST.hex() in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)


def test_a_damaged_cache_entry_is_fetched_anew(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 1_000)
    cache.put(PAYLOAD)
    (cache.folder / DIGEST.hex()[:2] / DIGEST.hex()).write_bytes(b"garbage")

    assert fetch_verified(INLINE, FetchPolicy(), cache, inline=lambda: PAYLOAD).payload == PAYLOAD
    assert cache.fetch(DIGEST) == PAYLOAD


def test_an_artifact_that_does_not_fit_the_cache_is_served_without_it(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 3)

    assert fetch_verified(INLINE, FetchPolicy(), cache, inline=lambda: PAYLOAD).payload == PAYLOAD


def test_an_inline_artifact_over_the_limit_is_refused_before_it_is_fetched() -> None:
    with pytest.raises(ArtifactTooLargeError, match="has 7 bytes, the limit is 6 bytes"):
        fetch_verified(INLINE, FetchPolicy(artifact_bytes=6), inline=lambda: pytest.fail("fetched"))


def test_a_file_under_a_root_is_read_however_its_location_is_written(root: Path) -> None:
    path = root / "model.pmml"
    for location in (
        path.as_uri(),
        f"file:{path}",
        f"file://localhost{path}",
        str(path),
        f"{root}/saved/../model.pmml",
    ):
        assert fetch_verified(at(location), under(root)).payload == PAYLOAD
        assert fetch_verified(at(location, DIGEST), under(root)).sha256 == DIGEST


def test_a_file_with_another_digest_than_announced_is_refused(root: Path) -> None:
    with pytest.raises(DigestMismatchError, match="00" * 32):
        fetch_verified(at(root / "model.pmml", b"\0" * 32), under(root))


def test_nothing_outside_the_roots_is_read(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "folder-link").symlink_to(root.parent)
    (root.parent / "root-of-another").mkdir()
    (root.parent / "root-of-another" / "model").write_bytes(b"x")
    outside: list[str | Path] = [
        root.parent / "secret",
        f"{root}/../secret",
        f"file://{root}/%2e%2e/secret",
        root / "link",
        root / "folder-link" / "secret",
        root.parent / "root-of-another" / "model",
        "/etc/passwd",
        "file:///etc/passwd",
    ]

    for location in outside:
        with pytest.raises(LocationRefusedError, match="not under a configured root"):
            fetch_verified(at(location), under(root))


def test_whether_a_file_outside_the_roots_exists_is_not_said(root: Path) -> None:
    messages = []
    for name in ("secret", "nothing", "secret/below"):
        with pytest.raises(LocationRefusedError) as caught:
            fetch_verified(at(root.parent / name), under(root))
        messages.append(str(caught.value).replace(name, "?"))

    assert len(set(messages)) == 1


def test_without_a_root_no_file_is_read_and_the_cache_does_not_change_that(root: Path, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", 1_000)
    cache.put(PAYLOAD)

    with pytest.raises(LocationRefusedError, match="no root"):
        fetch_verified(at(root / "model.pmml", DIGEST), FetchPolicy(), cache)


@pytest.mark.parametrize(
    "location",
    ["ftp://h/m", "model.pb", "./model.pb", "file:model.pb", "file://host/m", "file:///m?x", "file:///m#x",
     "http://[", "s3://b/k", "data:,x", "file:///a%00b"],
)  # fmt: skip
def test_a_location_that_is_none_is_refused(root: Path, location: str) -> None:
    with pytest.raises(LocationRefusedError):
        fetch_verified(at(location), under(root))


def test_a_file_that_is_not_there_is_not_found(root: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="nothing is there"):
        fetch_verified(at(root / "other.pmml"), under(root))


def test_a_file_over_the_limit_is_refused_with_both_sizes(root: Path) -> None:
    with pytest.raises(ArtifactTooLargeError, match="has 7 bytes, the limit is 6 bytes"):
        fetch_verified(at(root / "model.pmml"), under(root, 6))


def test_a_pipe_is_no_artifact_and_does_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "saved" / "pipe")

    for location in (root / "pipe", root / "saved"):
        with pytest.raises(LocationRefusedError, match="not a regular file"):
            fetch_verified(at(location), under(root))


def test_a_folder_is_given_as_a_path_with_the_digest_of_its_files(root: Path) -> None:
    by_hand = hashlib.sha256(
        b"saved_model.pb\0" + b"2\0" + hashlib.sha256(b"\x08\x01").digest()
        + b"variables/data\0" + b"5\0" + hashlib.sha256(b"12345").digest()
    ).digest()  # fmt: skip

    fetched = fetch_verified(at(root / "saved", by_hand), under(root))

    assert (fetched.directory, fetched.payload) == (root / "saved", b"")
    assert (fetched.sha256, fetched.size_bytes) == (by_hand, 7)


def test_a_changed_file_changes_the_digest_of_its_folder(root: Path) -> None:
    before = fetch_verified(at(root / "saved"), under(root)).sha256
    (root / "saved" / "variables" / "data").write_bytes(b"54321")

    with pytest.raises(DigestMismatchError):
        fetch_verified(at(root / "saved", before), under(root))


def test_a_folder_over_the_limit_is_refused(root: Path) -> None:
    with pytest.raises(ArtifactTooLargeError, match="the limit is 6 bytes"):
        fetch_verified(at(root / "saved"), under(root, 6))


def test_a_folder_does_not_lead_outside_through_its_links(root: Path) -> None:
    link = root / "saved" / "link"
    link.symlink_to(root.parent / "secret")
    with pytest.raises(LocationRefusedError, match="not under a configured root"):
        fetch_verified(at(root / "saved"), under(root))

    link.unlink()
    link.symlink_to(root.parent)
    with pytest.raises(LocationRefusedError, match="symbolic link to a folder"):
        fetch_verified(at(root / "saved"), under(root))


def test_a_link_to_a_file_under_a_root_is_followed(root: Path) -> None:
    (root / "saved" / "link").symlink_to(root / "model.pmml")
    (root / "latest.pmml").symlink_to("model.pmml")

    assert fetch_verified(at(root / "saved"), under(root)).size_bytes == 14
    assert fetch_verified(at(root / "latest.pmml"), under(root)).payload == PAYLOAD


def test_the_limit_also_holds_for_what_is_cached(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 1_000)
    cache.put(PAYLOAD)
    descriptor = replace(INLINE, size_bytes=None, location="http://h/m")
    policy = FetchPolicy(http_hosts=("h",), artifact_bytes=6)

    with pytest.raises(ArtifactTooLargeError):
        fetch_verified(descriptor, policy, cache)
