"""Records in groups for which a comparison is also made by itself: by a text field, or by the quartiles of a number."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.core.grouping import groups_of
from serving.formats.base import DecodedBatch, RecordFormat
from serving.replay.errors import JobRefusedError

MAX_SEGMENTS: Final = 20
OTHERS: Final = "(others)"
NOTHING: Final = "(missing)"


class Segments:
    """Names the segment of each record. Keeps what it learned from the first records, so: one object a job.

    Texts are segments in the order in which they come; what comes after the first `MAX_SEGMENTS` is together one. The
    quartiles of a number are those of the first batch that has four different values or more; the names say where they lie.
    """

    def __init__(self, records: RecordFormat, segment_by: str | None) -> None:
        """Raises `JobRefusedError` if the stream has no such field."""
        self._text = self._number = -1
        self._name = segment_by or ""
        self._known: set[str] = set()
        self._quartiles: NDArray[np.float64] | None = None
        if segment_by is None:
            return
        if segment_by in records.texts:
            self._text = records.texts.index(segment_by)
        elif segment_by in records.numbers:
            self._number = records.numbers.index(segment_by)
        else:
            fields = ", ".join((*records.texts, *records.numbers))
            raise JobRefusedError(f"the stream has no field {segment_by!r} to make segments by; it has: {fields}")

    def split(self, decoded: DecodedBatch, rows: NDArray[np.intp]) -> list[tuple[str, NDArray[np.intp]]]:
        """Each segment among some of the decoded rows, with positions in `rows`; one without a name if there are none."""
        if self._text >= 0:
            return self._by_text(decoded, rows)
        if self._number >= 0:
            return self._by_quartile(decoded.matrix[rows, self._number])
        return [("", np.arange(len(rows), dtype=np.intp))]

    def _by_text(self, decoded: DecodedBatch, rows: NDArray[np.intp]) -> list[tuple[str, NDArray[np.intp]]]:
        named: dict[str, list[NDArray[np.intp]]] = {}
        for text, positions in groups_of(decoded.texts[self._text].take(rows)):
            found = np.arange(len(rows), dtype=np.intp) if positions is None else positions
            named.setdefault(self._named(text), []).append(found)
        return [(name, np.sort(np.concatenate(parts))) for name, parts in named.items()]

    def _named(self, text: str) -> str:
        if not text:
            return NOTHING
        if text not in self._known:
            if len(self._known) >= MAX_SEGMENTS:
                return OTHERS
            self._known.add(text)
        return text

    def _by_quartile(self, values: NDArray[np.float64]) -> list[tuple[str, NDArray[np.intp]]]:
        known = values[np.isfinite(values)]
        if self._quartiles is None and len(np.unique(known)) >= 4:
            self._quartiles = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
        if self._quartiles is None:
            return [(OTHERS, np.arange(len(values), dtype=np.intp))]
        edges = [f"{edge:g}" for edge in self._quartiles.tolist()]
        names = [f"{self._name} <= {edges[0]}"]
        names += [f"{low} < {self._name} <= {high}" for low, high in pairwise(edges)]
        names += [f"{edges[-1]} < {self._name}", NOTHING]
        places = np.where(np.isnan(values), len(names) - 1, np.searchsorted(self._quartiles, values, side="left"))
        return [(names[place], np.flatnonzero(places == place)) for place in np.unique(places).tolist()]
