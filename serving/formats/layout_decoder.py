"""Decodes batches by the layouts it has learned, and by the exact parser what they do not cover.

Theory of operation. Records are grouped by length, and the records of one length are compared with the layouts known for
it (see `layouts`). What matches none is walked to learn a new layout, or left to the exact parser, which gives the same
answer at a higher price. Which of the two is only a question of cost, and no answer depends on it:

* A layout costs about `Tuning.layout_us` a batch however many records it decodes, the exact parser about `exact_us` a
  record. So a group of records takes part only if it is large enough to pay for a layout.
* A layout keeps a moving average of what it saves. One that stops paying is forgotten, and its length rests for some
  batches before another is learned. Data that changes its shape all the time thus costs little more than without
  layouts.
* Walking a record is dear (some 100 us, and more the longer it is). Each batch adds to an allowance for it, from which a
  walk takes what the record's length costs, so that a stream of hostile shapes cannot buy unbounded work. Nor memory: at
  most `layouts_per_length` * `lengths` layouts are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.core import items
from serving.core.byte_column import ByteColumn
from serving.formats.base import DecodedBatch, Rejected
from serving.formats.dictionaries import Coded, as_column, merge
from serving.formats.layouts import Layout, NoLayoutError

# So many bytes of a record cost as much as a walk in itself.
_BYTES_PER_WALK = 256


@dataclass(frozen=True, slots=True)
class Tuning:
    """When layouts are worth it. Changes what decoding costs, never what it gives.

    Attributes:
        fewest_records: Fewer records than this are left to the exact parser.
        layout_us: Cost of one layout on one batch, in microseconds (measured: 28 on a 2.x GHz server core).
        layouts_per_length: Most layouts kept for records of one length.
        lengths: Most record lengths with layouts.
        longest_record: Longer records are left to the exact parser; in bytes; below 65,535 batches of many
            lengths are sorted quicker.
        walks_saved: Most walks that may be saved up for one batch. A long record counts as several.
        walks_per_batch: What a batch adds to the allowance; large batches add one more for each 256 records.
        rest_batches: For how many batches a length rests after a layout that did not pay, or a record without one.
    """

    fewest_records: int = 6
    layout_us: float = 28.0
    layouts_per_length: int = 8
    lengths: int = 256
    longest_record: int = (1 << 16) - 2
    walks_saved: float = 24.0
    walks_per_batch: float = 2.0
    rest_batches: int = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded records of a batch.

    Attributes:
        rows: int64 (m,), positions in the batch, ascending; or `None` for all of it.
        matrix: float64 (m, columns).
        texts: One a text column.
    """

    rows: NDArray[np.int64] | None
    matrix: NDArray[np.float64]
    texts: tuple[Coded, ...]


ExactParser = Callable[[Sequence[bytes | None], Sequence[int]], tuple[Rows, list[Rejected]]]
"""Decodes the named rows of a batch one by one, which need not be present. Gives rows and rejections in their order."""


@dataclass(slots=True)
class _Known:
    layout: Layout
    uses: int = 0
    saved_us: float = 0.0

    def note(self, records: int, tuning: Tuning, exact_us: float) -> None:
        saving = records * exact_us - tuning.layout_us
        self.uses += 1
        self.saved_us += (saving - self.saved_us) * (0.5 if self.uses < 4 else 0.1)

    @property
    def pays(self) -> bool:
        return self.uses <= 3 or self.saved_us >= 0


@dataclass(slots=True)
class _Group:
    """Records of one length that are not decoded yet: uint8 (m, length), and their rows of the batch."""

    records: NDArray[np.uint8]
    rows: NDArray[np.int64] | None

    def all_rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.records)) if self.rows is None else self.rows

    def select(self, chosen: NDArray[np.bool_]) -> _Group:
        records = items.rows(self.records)[chosen].view(np.uint8).reshape(-1, self.records.shape[1])
        return _Group(records, np.flatnonzero(chosen) if self.rows is None else self.rows[chosen])


class LayoutDecoder:
    """Decodes batches of one stream. Not for several threads: it learns.

    Attributes:
        numbers: Number of matrix columns.
        texts: Number of text columns.
    """

    def __init__(
        self,
        *,
        numbers: int,
        texts: int,
        walk: Callable[[bytes], Layout],
        exact: ExactParser,
        exact_us: float,
        tuning: Tuning,
    ) -> None:
        """`walk` gives the layout of a record or raises `NoLayoutError`; `exact_us` is the cost of `exact` a record."""
        self.numbers = numbers
        self.texts = texts
        self._walk = walk
        self._exact = exact
        self._exact_us = exact_us
        self._tuning = tuning
        self._known: dict[int, list[_Known]] = {}
        self._resting: dict[int, int] = {}
        self._walks = tuning.walks_saved

    def decode(self, values: Sequence[bytes | None]) -> DecodedBatch:
        """See RecordFormat.decode."""
        count = len(values)
        if count < self._tuning.fewest_records or not self._pays(count):
            decoded, bad = self._exact(values, range(count))
            return self._assemble(count, [decoded], bad)
        try:
            column = ByteColumn.of(values)  # type: ignore[arg-type]  # a None is what the handler is for
        except TypeError:
            return self._decode_around_tombstones(values)
        self._walks = min(self._tuning.walks_saved, self._walks + self._tuning.walks_per_batch + count / 256)
        parts: list[Rows] = []
        left: list[NDArray[np.int64]] = []
        # A float of any bits may be cast to double or compared; nothing here computes with it.
        with np.errstate(over="ignore", invalid="ignore"):
            groups, ungrouped = self._group_by_length(column)
            for group in groups:
                rest = self._decode_group(group, values, parts)
                if len(rest.records):
                    left.append(rest.all_rows())
        if len(ungrouped):
            left.append(ungrouped)
        bad = []
        if left:
            rows = np.sort(np.concatenate(left))
            decoded, bad = self._exact(values, rows.tolist())
            parts.append(decoded)
        return self._assemble(count, parts, bad)

    def _pays(self, records: int) -> bool:
        return records * self._exact_us > self._tuning.layout_us

    def _decode_around_tombstones(self, values: Sequence[bytes | None]) -> DecodedBatch:
        present = np.array([row for row, value in enumerate(values) if value is not None], np.int64)
        absent = [row for row, value in enumerate(values) if value is None]
        inner = self.decode([value for value in values if value is not None])
        _, tombstones = self._exact(values, absent)
        bad = [Rejected(int(present[one.row]), one.stage, one.reason) for one in inner.bad]
        bad = sorted(bad + tombstones, key=lambda one: one.row)
        return DecodedBatch(inner.matrix, inner.texts, present[inner.rows], bad)

    def _group_by_length(self, column: ByteColumn) -> tuple[list[_Group], NDArray[np.int64]]:
        """Groups of equal length that are worth a layout, and the rows of all others."""
        tuning, lengths = self._tuning, column.lengths
        count = len(lengths)
        if int(lengths[0]) <= tuning.longest_record and (matrix := column.matrix()) is not None:
            return [_Group(matrix, None)], np.empty(0, np.int64)
        # Sorting 16-bit integers is linear. Longer records are not worth a layout, so they may as well be one length.
        sortable = np.minimum(lengths, tuning.longest_record + 1)
        if tuning.longest_record < (1 << 16) - 1:
            sortable = sortable.astype(np.uint16)
        order = np.argsort(sortable, kind="stable")
        counts = np.bincount(sortable)
        present = np.flatnonzero(counts)
        stops = np.cumsum(counts[present]).tolist()
        worth: list[tuple[int, NDArray[np.int64]]] = []
        rest: list[NDArray[np.int64]] = []
        for length, start, stop in zip(present.tolist(), [0, *stops[:-1]], stops, strict=True):
            size = stop - start
            if size >= tuning.fewest_records and self._pays(size) and 0 < length <= tuning.longest_record:
                worth.append((length, order[start:stop]))
            else:
                rest.append(order[start:stop])
        # Both paths in one batch have a fixed cost of about two layouts more.
        if sum(len(rows) for _, rows in worth) * self._exact_us < tuning.layout_us * (len(worth) + 2):
            return [], np.arange(count)
        groups = []
        for _, rows in worth:
            records = column.take(rows).matrix()
            assert records is not None
            groups.append(_Group(records, rows))
        return groups, np.concatenate(rest) if rest else np.empty(0, np.int64)

    def _decode_group(self, group: _Group, values: Sequence[bytes | None], parts: list[Rows]) -> _Group:
        """Decode what known and newly learned layouts match into `parts`; give back the rest."""
        length = group.records.shape[1]
        known = self._known.setdefault(length, [])
        rest_batches = self._resting.get(length, 0)
        position = walks = 0
        while len(group.records) >= self._tuning.fewest_records and self._pays(len(group.records)):
            if position == len(known):
                if rest_batches > 0:
                    self._resting[length] = rest_batches - 1
                    break
                if self._walks < 1 or position >= self._tuning.layouts_per_length or walks > 2:
                    break
                walks += 1
                if not self._learn(known, values[0 if group.rows is None else int(group.rows[0])], length):
                    break
            entry = known[position]
            matched = entry.layout.matches(group.records)
            hits = len(group.records) if matched is None else int(np.count_nonzero(matched))
            entry.note(hits, self._tuning, self._exact_us)
            if hits:
                parts.append(self._read(entry.layout, group if matched is None else group.select(matched)))
                group = _Group(group.records[:0], None) if matched is None else group.select(~matched)
            if not entry.pays:
                known.pop(position)
                rest_batches = self._resting[length] = self._tuning.rest_batches
                continue
            if position and entry.saved_us > 2 * known[position - 1].saved_us:
                known[position - 1], known[position] = entry, known[position - 1]
            position += 1
        self._forget(length)
        return group

    def _learn(self, known: list[_Known], record: bytes | None, length: int) -> bool:
        self._walks -= 1 + len(record or b"") / _BYTES_PER_WALK
        if record is None:
            return False
        try:
            known.append(_Known(self._walk(record)))
        except NoLayoutError:
            self._resting[length] = 2 * self._tuning.rest_batches
            return False
        return True

    def _forget(self, length: int) -> None:
        if not self._known[length]:
            del self._known[length]
        if len(self._known) > self._tuning.lengths:
            least = min(self._known, key=lambda each: sum(entry.saved_us for entry in self._known[each]))
            del self._known[least]
        if len(self._resting) > 16 * self._tuning.lengths:
            self._resting.clear()

    def _read(self, layout: Layout, group: _Group) -> Rows:
        matrix = np.empty((len(group.records), self.numbers))
        layout.numbers_into(group.records, matrix)
        texts = tuple(layout.text(group.records, column) for column in range(self.texts))
        return Rows(group.rows, matrix, texts)

    def _assemble(self, count: int, parts: list[Rows], bad: list[Rejected]) -> DecodedBatch:
        parts = [part for part in parts if len(part.matrix)] or parts[:1]
        if len(parts) == 1:
            part = parts[0]
            decoded = len(part.matrix)
            rows = np.arange(count) if part.rows is None else part.rows
            return DecodedBatch(part.matrix, tuple(as_column(text, decoded) for text in part.texts), rows, bad)
        matrix = np.empty((count, self.numbers))
        placed = [(np.arange(count) if part.rows is None else part.rows, part) for part in parts]
        for part_rows, part in placed:
            if self.numbers:
                items.rows(matrix)[part_rows] = items.rows(part.matrix)
        columns = [
            merge([(part_rows, part.texts[column]) for part_rows, part in placed], count)
            for column in range(self.texts)
        ]
        if not bad:
            return DecodedBatch(matrix, tuple(columns), np.arange(count), bad)
        is_decoded = np.ones(count, bool)
        is_decoded[[one.row for one in bad]] = False
        rows = np.flatnonzero(is_decoded)
        return DecodedBatch(matrix[rows], tuple(column.take(rows) for column in columns), rows, bad)
