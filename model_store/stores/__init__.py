"""Where artifacts are kept, by digest: one file a kind of store, opened by URL from a closed table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from model_store.core.errors import StoreUrlError
from model_store.stores.base import ArtifactStore
from model_store.stores.filesystem import FilesystemStore
from model_store.stores.memory import MemoryStore

__all__ = ["ArtifactStore", "FilesystemStore", "MemoryStore", "open_store"]


def open_store(url: str) -> ArtifactStore:
    """The store that a URL names: `memory:` (this process only), or `file:///absolute/folder`.

    Raises:
        StoreUrlError: The URL names no kind of store that there is.
        StoreFailedError: The store cannot be opened.
    """
    parts = urlsplit(url)
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        known = ", ".join(f"{scheme}:" for scheme in _OPENERS)
        raise StoreUrlError(f"{url!r} is not the URL of an artifact store; the kinds of store are {known}")
    return opener(url, parts)


def _memory(url: str, parts: SplitResult) -> ArtifactStore:
    if url != "memory:":
        raise StoreUrlError(f"{url!r}: the memory store has no parts; write `memory:`")
    return MemoryStore()


def _filesystem(url: str, parts: SplitResult) -> ArtifactStore:
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute() or parts.query or parts.fragment:
        raise StoreUrlError(f"{url!r}: write `file:///absolute/folder`")
    return FilesystemStore(path)


_OPENERS: Final[Mapping[str, Callable[[str, SplitResult], ArtifactStore]]] = {
    "memory": _memory,
    "file": _filesystem,
}
