"""The committed figures: which file each part of the page is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figures import Book, Scaling, Throughput, from_json
from benchmarks.kill import Kill
from benchmarks.latency import Latency
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.swaps import Swaps

KINDS: tuple[type[Any], ...] = (Start, Throughput, Scaling, Latency, Swaps, Kill, Soak)


def read_books(folder: Path) -> dict[str, Book]:
    """Part -> the newest run that has figures of it. One part is never put together from two runs.

    Raises:
        ValueError: A file is of another format.
    """
    books = [from_json(path.read_text(), KINDS) for path in sorted(folder.glob("*.json"))]
    for book, path in zip(books, sorted(folder.glob("*.json")), strict=True):
        book.path = path
    books.sort(key=lambda book: str(book.environment["date"]))
    return {kind.part: book for kind in KINDS for book in books if book.of(kind)}
