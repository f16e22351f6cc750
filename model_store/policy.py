"""What a worker may fetch: a descriptor is input, and decides nothing of this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Bounds of what is fetched, from the settings.

    Attributes:
        file_roots: `file:` locations must lie under one of these, symbolic links resolved; none: no file at all.
        http_hosts: `http(s):` locations, and every redirect, must name one of these: `host` (any port) or `host:port`.
        artifact_bytes: Largest artifact.
        http_seconds: Longest download, from the first connection on.
        idle_seconds: Longest wait for a connection, and for the next bytes.
        redirects: Most redirects of one download.
    """

    file_roots: tuple[Path, ...] = ()
    http_hosts: tuple[str, ...] = ()
    artifact_bytes: int = 256 << 20
    http_seconds: float = 300.0
    idle_seconds: float = 15.0
    redirects: int = 5
