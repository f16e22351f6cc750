"""From what models said of a batch to its results, in the order of the records, whichever models they are of.

Results of one form (with a prediction, a label, so many scores) are encoded together, each with the provenance of its
model: to encode the results of each model by themselves costs what a batch costs whatever its size, once a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.core.grouping import Rows, of_rows
from serving.core.scored import Form, Scored
from serving.feed.batch import Records
from serving.feed.runs import Header
from serving.formats.base import Provenance, ResultFormat, ScoredColumns
from serving.formats.headers import ResultHeaders
from serving.work import Opened


@dataclass(frozen=True, slots=True)
class Part:
    """What one model said of some records, at least one.

    Attributes:
        rows: Positions of the records in the batch, ascending; `None` for all.
        provenance: Of the results.
        values: One a record.
    """

    rows: Rows
    provenance: Provenance
    values: Scored


@dataclass(frozen=True, slots=True)
class Encoded:
    """Results.

    Attributes:
        rows: Positions of their records in the batch, ascending; `None` for all, once each.
        values: One a result.
        headers: One list a result, or `None`.
    """

    rows: Rows
    values: Sequence[bytes]
    headers: Sequence[Sequence[Header]] | None


@dataclass(frozen=True, slots=True)
class ResultEncoder:
    """See the module.

    Attributes:
        results: Encodes the values.
        headers: Makes the headers, if there are any.
        keeps_headers: They need those of the records.
    """

    results: ResultFormat
    headers: ResultHeaders | None = None
    keeps_headers: bool = False

    def encoded(self, opened: Opened, parts: Sequence[Part]) -> Encoded | None:
        """All results of a batch; `None` if there is none.

        A record may be in several parts: of results of one record that of the earlier part comes first, unless their
        forms differ.
        """
        if not parts:
            return None
        together = [self._of_one_form(opened, group) for group in _by_form(parts)]
        if len(parts) == 1:
            return together[0]
        return _in_source_order(len(opened.batch), together)

    def _of_one_form(self, opened: Opened, parts: Sequence[Part]) -> Encoded:
        """The results of parts of one form, one part after the other."""
        rows = _side_by_side(len(opened.batch), [part.rows for part in parts])
        columns = _columns(opened, rows, Scored.joined([part.values for part in parts]))
        lengths = [len(part.values) for part in parts]
        if len(parts) == 1:
            values = self.results.encode(parts[0].provenance, columns)
        else:
            which = np.repeat(np.arange(len(parts)), lengths)
            values = self.results.encode_several([part.provenance for part in parts], which, columns)
        if self.headers is None:
            return Encoded(rows, values, None)
        headers: list[Sequence[Header]] = []
        for part in parts:
            of_records = _record_headers(opened.batch, part.rows) if self.keeps_headers else ()
            headers += self.headers(part.provenance, _columns(opened, part.rows, part.values), of_records)
        return Encoded(rows, values, headers)


def _by_form(parts: Iterable[Part]) -> Iterable[Sequence[Part]]:
    found: dict[Form, list[Part]] = {}
    for part in parts:
        found.setdefault(part.values.form, []).append(part)
    return found.values()


def _side_by_side(count: int, parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.arange(count) if rows is None else rows for rows in parts])


def _columns(opened: Opened, rows: Rows, values: Scored) -> ScoredColumns:
    partitions = opened.partitions
    return ScoredColumns(
        of_rows(opened.offsets, rows),
        of_rows(opened.timestamps_ms, rows),
        values.prediction,
        values.label,
        values.scores,
        None if partitions is None else of_rows(partitions, rows),
    )


def _record_headers(batch: Records, rows: Rows) -> Sequence[Sequence[Header]]:
    if batch.headers is None:
        return ()
    positions = range(len(batch)) if rows is None else rows.tolist()
    return [batch.headers[i] or () for i in positions]


def _in_source_order(count: int, parts: Sequence[Encoded]) -> Encoded:
    rows = _side_by_side(count, [part.rows for part in parts])
    assert rows is not None  # there are several parts in it
    order, is_all = _order(count, rows)
    values = ByteColumn.joined([ByteColumn.of(part.values) for part in parts]).take(order)
    headers = [each for part in parts for each in part.headers or ()]
    return Encoded(None if is_all else rows[order], values, [headers[i] for i in order.tolist()] if headers else None)


def _order(count: int, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], bool]:
    """Positions among `rows` by which these ascend, those of equal ones in their order; and if they are all of `count`, once.

    Linear where none are equal.
    """
    place = np.full(count, -1, np.intp)
    place[rows] = np.arange(len(rows))
    if len(rows) == count and int(place.min()) >= 0:
        return place, True
    order = place[place >= 0]
    return (order if len(order) == len(rows) else np.argsort(rows, kind="stable")), False
