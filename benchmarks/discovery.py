"""Which systems there are: every `benchmarks/peers/<name>/peer.py` with a `PEER` or `PEERS`, and what each is measured with."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import KINDS
from benchmarks.peer import ModelKind, NotRunnableError, Peer
from sluice.stack.caches import cache_folder

_PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the comparison: a system with a model and a promise of delivery."""

    peer: Peer
    model: ModelKind
    delivery: str

    @property
    def name(self) -> str:
        """`worker:tree`, `worker:tree:exactly_once`."""
        parts = [self.peer.name, self.model or "bytes"]
        return ":".join(parts if self.delivery == "at_least_once" else [*parts, self.delivery])


def find_peers() -> tuple[list[Peer], dict[str, str]]:
    """All peers by name, and why those that could not be imported could not: folder -> reason."""
    found: list[Peer] = []
    broken: dict[str, str] = {}
    for path in sorted(_PEERS.glob("*/peer.py")):
        try:
            module = importlib.import_module(f"benchmarks.peers.{path.parent.name}.peer")
        except Exception:
            broken[path.parent.name] = traceback.format_exc(limit=-1).strip().splitlines()[-1]
            continue
        found += module.PEERS if hasattr(module, "PEERS") else [module.PEER]
    return sorted(found, key=lambda peer: peer.name), broken


def folder_of(peer: Peer) -> Path:
    """Where the peer is installed; shared by all runs of this user."""
    return cache_folder() / "benchmarks" / peer.name


def install(peer: Peer) -> Path:
    """Its folder, with all that it needs.

    Raises:
        NotRunnableError: It cannot be had here; the message says why.
    """
    folder = folder_of(peer)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        peer.install(folder)
    except NotRunnableError:
        raise
    except Exception as error:
        raise NotRunnableError(f"the installation failed: {type(error).__name__}: {error}") from error
    return folder


def entries(
    peers: Sequence[Peer], models: Sequence[str], only: Sequence[str], deliveries: Sequence[str]
) -> Iterator[Entry]:
    """Every system with every model and delivery that it has, by model first; `only` are names or parts of names.

    A text that is a peer's whole name means that peer alone: `worker` is not `worker-fast`. One without a model (a relay)
    is one of the model `bytes`.
    """
    names = {peer.name for peer in peers}
    for model in (kind for kind in ("", *KINDS) if (kind or "bytes") in models):
        for peer in (each for each in peers if model in each.models):
            for delivery in (each for each in peer.deliveries if each in deliveries):
                entry = Entry(peer, model, delivery)
                if not only or any(_is_meant(entry, text, names) for text in only):
                    yield entry


def _is_meant(entry: Entry, text: str, names: set[str]) -> bool:
    return entry.peer.name == text if text in names else text in entry.name
