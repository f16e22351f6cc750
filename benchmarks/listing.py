"""`python -m benchmarks list`: the systems."""

from __future__ import annotations

from benchmarks.discovery import find_peers, folder_of


def main(_arguments: list[str]) -> None:
    """One line a system, and one for each folder that could not be read."""
    peers, broken = find_peers()
    for peer in peers:
        models = ",".join(kind or "bytes" for kind in peer.models)
        print(f"{peer.name:22} {models:26} {','.join(peer.deliveries):28} {peer.title}")
        print(f"{'':22} {folder_of(peer)}")
    for folder, reason in broken.items():
        print(f"{folder:22} cannot be used: {reason}")
