"""The committed figures: which file each part of the page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Book, Scaling, SeveralTypes, Throughput, from_json
from benchmarks.kill import Kill
from benchmarks.latency import Latency
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.swaps import Swaps

KINDS: tuple[type[Any], ...] = (Start, Throughput, SeveralTypes, Scaling, Latency, Swaps, Kill, Soak)
_BY_MODEL = (Start, Throughput, SeveralTypes)


@dataclass(frozen=True, slots=True)
class Source:
    """One file, and what of it is shown.

    Attributes:
        book: The run.
        kind: Figures of this part only.
        models: Only of these; with them those without a model, which are beside every model.
    """

    book: Book
    kind: type[Any]
    models: tuple[str, ...]

    def figures(self) -> list[Any]:
        """What is shown of it."""
        return [figure for figure in self.book.of(self.kind) if figure.model in (*self.models, "")]


Sources = Mapping[str, Sequence[Source]]


def read_sources(folder: Path) -> Sources:
    """Part -> its sources. A part is of the newest run that has it; costs and starts are so for each model.

    So one table is never put together from two runs.

    Raises:
        ValueError: A file is of another format.
    """
    books = []
    for path in sorted(folder.glob("*.json")):
        book = from_json(path.read_text(), KINDS)
        book.path = path
        books.append(book)
    return choose(sorted(books, key=lambda book: str(book.environment["date"])))


def choose(books: Sequence[Book]) -> Sources:
    """Of books in the order of their dates."""
    chosen: dict[str, list[Source]] = {}
    for kind in KINDS:
        newest: dict[str, Book] = {}
        for book in books:
            models = {figure.model for figure in book.of(kind) if figure.model}
            if models and kind not in _BY_MODEL:
                newest = {}
            newest |= dict.fromkeys(sorted(models), book)
        for book in books:
            if shown := tuple(model for model, other in newest.items() if other is book):
                chosen.setdefault(kind.part, []).append(Source(book, kind, shown))
    return chosen
