"""`python -m benchmarks install [NAME...]`: what the systems need, each in a folder of its own."""

from __future__ import annotations

from benchmarks.discovery import find_peers, install
from benchmarks.peer import NotRunnableError


def main(arguments: list[str]) -> int:
    """Install the peers named, or all. Returns 1 if one of those named cannot be had."""
    peers, broken = find_peers()
    failed = False
    for peer in peers:
        if arguments and peer.name not in arguments:
            continue
        try:
            print(f"{peer.name}: {install(peer)}", flush=True)
        except NotRunnableError as error:
            failed = True
            print(f"{peer.name}: cannot be used here: {error}", flush=True)
    for folder, reason in broken.items():
        print(f"{folder}: cannot be used: {reason}")
    return 1 if arguments and failed else 0
