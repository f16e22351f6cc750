import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.cache import ArtifactCache
from model_store.core.errors import ArtifactTooLargeError, DigestMismatchError


def filled(folder: Path, limit_bytes: int, *letters: str) -> tuple[ArtifactCache, list[bytes]]:
    """A cache with artifacts of 100 bytes, each used a second after the one before."""
    cache = ArtifactCache(folder, limit_bytes)
    digests = []
    for at, letter in enumerate(letters):
        digests.append(cache.put(letter.encode() * 100))
        used_at(cache, digests[-1], at + 1)
    return cache, digests


def used_at(cache: ArtifactCache, digest: bytes, seconds: float) -> None:
    name = digest.hex()
    os.utime(cache.folder / name[:2] / name, (seconds, seconds))


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache, (a, b, c) = filled(tmp_path, 300, "a", "b", "c")
    cache.fetch(a)

    d = cache.put(b"d" * 150)

    assert [cache.has(digest) for digest in (a, b, c, d)] == [True, False, False, True]
    assert cache.stored_bytes() == 250


def test_the_folder_never_holds_more_than_its_bound(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 1_000)
    for number in range(60):
        cache.put(bytes([number]) * (number * 7 % 400 + 1))

        assert cache.stored_bytes() <= 1_000


def test_putting_again_makes_no_room(tmp_path: Path) -> None:
    cache, digests = filled(tmp_path, 300, "a", "b", "c")

    cache.put(b"a" * 100)

    assert all(map(cache.has, digests))


def test_a_pinned_artifact_stays_until_its_last_pin_is_taken_back(tmp_path: Path) -> None:
    cache, (a, b) = filled(tmp_path, 200, "a", "b")
    assert cache.pin(a)
    assert cache.pin(a)
    cache.unpin(a)

    cache.put(b"c" * 100)
    assert (cache.has(a), cache.has(b)) == (True, False)

    cache.unpin(a)
    used_at(cache, a, 1)
    cache.put(b"d" * 100)
    assert not cache.has(a)


def test_what_is_not_there_cannot_be_pinned(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 100)

    assert not cache.pin(b"\1" * 32)
    cache.unpin(b"\1" * 32)


PIN_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from model_store.cache import ArtifactCache
assert ArtifactCache(Path(sys.argv[1]), 200).pin(bytes.fromhex(sys.argv[2]))
print("pinned", flush=True)
sys.stdin.read()
"""


def test_the_pin_of_another_process_holds_until_it_dies(tmp_path: Path) -> None:
    cache, (a, b) = filled(tmp_path, 200, "a", "b")
    command = [sys.executable, "-c", PIN_IN_ANOTHER_PROCESS, str(tmp_path), a.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"pinned\n"

        cache.put(b"c" * 100)
        assert (cache.has(a), cache.has(b)) == (True, False)

        other.kill()
        other.wait(10)

    cache.put(b"d" * 100)
    assert not cache.has(a)


def test_what_is_cached_survives_a_restart(tmp_path: Path) -> None:
    _, (a, b) = filled(tmp_path, 200, "a", "b")

    again = ArtifactCache(tmp_path, 200)

    assert again.fetch(a) == b"a" * 100
    again.put(b"c" * 100)
    assert (again.has(a), again.has(b)) == (True, False)


def test_an_artifact_larger_than_the_cache_is_refused_with_both_sizes(tmp_path: Path) -> None:
    cache, (a,) = filled(tmp_path, 100, "a")

    with pytest.raises(ArtifactTooLargeError, match="has 101 bytes, the limit is 100 bytes"):
        cache.put(b"x" * 101)
    assert cache.has(a)


def test_a_damaged_file_is_dropped_so_that_the_next_fetch_is_a_miss(tmp_path: Path) -> None:
    cache, (a,) = filled(tmp_path, 100, "a")
    (cache.folder / a.hex()[:2] / a.hex()).write_bytes(b"damaged")

    with pytest.raises(DigestMismatchError):
        cache.fetch(a)
    assert not cache.has(a)
