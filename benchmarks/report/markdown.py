"""What all tables of the page look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def name(system: tuple[str, str, str]) -> str:
    """As the tables call it."""
    peer, model, delivery = system
    does = " (relay)" if not model and not peer.endswith("relay") else ""
    return f"`{peer}`{does}" + (", exactly once" if delivery == "exactly_once" else "")
