import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from model_store.core.errors import DigestMismatchError, StoreFailedError, StoreUrlError
from model_store.stores import FilesystemStore, open_store

PAYLOAD = b"model" * 50_000
DIGEST = hashlib.sha256(PAYLOAD).digest()


def test_a_damaged_file_is_never_handed_out_and_is_mended_by_a_put(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put(PAYLOAD)
    store.path_of(DIGEST).write_bytes(PAYLOAD[:-1] + b"x")

    with pytest.raises(DigestMismatchError, match=DIGEST.hex()):
        store.fetch(DIGEST)

    store.put(PAYLOAD)
    assert store.fetch(DIGEST) == PAYLOAD


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    FilesystemStore(tmp_path).put(PAYLOAD)

    assert FilesystemStore(tmp_path).fetch(DIGEST) == PAYLOAD


def put_often(folder: Path, failures: "multiprocessing.Queue[str]") -> None:
    store = FilesystemStore(folder)
    for _ in range(50):
        store.delete(DIGEST)
        store.put(PAYLOAD)
        if store.has(DIGEST):
            try:
                payload = store.fetch(DIGEST)
            except DigestMismatchError as error:
                failures.put(str(error))
            except Exception:  # Deleted by the other process between the two calls.
                continue
            else:
                if payload != PAYLOAD:
                    failures.put("other bytes")


def test_processes_that_put_and_delete_the_same_artifact_never_see_half_of_it(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.Queue()
    processes = [spawn.Process(target=put_often, args=(tmp_path, failures)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert failures.empty()
    assert not list((tmp_path / "incoming").iterdir())


def test_what_a_dead_writer_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    FilesystemStore(tmp_path)
    old, new = tmp_path / "incoming" / "old", tmp_path / "incoming" / "new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))

    FilesystemStore(tmp_path)

    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreFailedError, match="cannot be made"):
        FilesystemStore(tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://bucket", "the kinds of store are memory:, file:"),
        ("/plain/path", "is not the URL of an artifact store"),
        ("memory://x", "write `memory:`"),
        ("file://host/folder", "write `file:///absolute/folder`"),
        ("file:relative", "write `file:///absolute/folder`"),
        ("file:///a?b", "write `file:///absolute/folder`"),
    ],
)
def test_a_url_of_no_store_says_what_to_write(url: str, reason: str) -> None:
    with pytest.raises(StoreUrlError, match=reason):
        open_store(url)
