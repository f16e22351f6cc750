"""What a batch leaves behind: results in the order of their records, and dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.core.grouping import Rows
from serving.core.outcomes import Unscored
from serving.feed.batch import Output, Records, segment_of
from serving.feed.runs import Header
from serving.formats.dead_letters import Failure, encode_dead_letters

RowsTooLarge = Callable[[Output], Sequence[int]]
"""Rows of an output that its topic would not take; costs nothing per record where all fit."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Results of one model.

    Attributes:
        rows: Positions of their records in the batch; `None` for all.
        values: One a result.
        headers: One list a result, or `None`.
    """

    rows: Rows
    values: Sequence[bytes]
    headers: Sequence[Sequence[Header]] | None


def result_output(
    topic: str, batch: Records, parts: Sequence[Encoded], too_large: RowsTooLarge
) -> tuple[Output | None, list[Unscored]]:
    """All results of a batch, in source order whichever models scored them, so that one key's results keep theirs.

    Returns:
        The output, `None` if there is no result; and the records whose result the topic would not take.
    """
    parts = [part for part in parts if len(part.values)]
    if not parts:
        return None, []
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    keys: Sequence[bytes | None] = batch.keys
    if whole.rows is not None and not np.array_equal(whole.rows, np.arange(len(batch))):
        keys = [keys[i] for i in whole.rows.tolist()]
    output = Output(topic, _column(keys), whole.values, whole.headers, whole.rows)
    refused = too_large(output)
    if not refused:
        return output, []
    positions = np.arange(len(batch)) if whole.rows is None else whole.rows
    return _without(output, refused), [_too_large(output, i, positions) for i in refused]


def dead_letter_output(
    topic: str, stream: str, worker: str, batch: Records, unscored: Sequence[Unscored], too_large: RowsTooLarge
) -> Output:
    """The dead letters of a batch, in source order, keyed by the coordinates of their records.

    A dead letter is larger than its record. One that its topic would not take is written without the record's value, and
    says so; the record itself is where its coordinates say.
    """
    unscored = sorted(unscored, key=lambda item: item.row)
    rows = np.array([item.row for item in unscored], np.intp)
    partitions = [batch.segments[segment_of(batch.segments, item.row)].partition for item in unscored]
    failures = [
        Failure(
            int(batch.offsets[item.row]),
            int(batch.timestamps[item.row]),
            batch.keys[item.row],
            batch.values[item.row],
            item.stage,
            item.reason,
            batch.headers_of(item.row),
            item.data_type,
            item.model,
            item.version,
        )
        for item in unscored
    ]
    keys = [
        f"{batch.topic}/{partition}/{failure.offset}".encode()
        for partition, failure in zip(partitions, failures, strict=True)
    ]
    now_ms = int(time.time() * 1e3)

    def output(letters: Sequence[Failure]) -> Output:
        values = encode_dead_letters(
            letters, partitions, stream=stream, topic=batch.topic, worker=worker, failed_at_ms=now_ms
        )
        return Output(topic, keys, values, rows=rows)

    whole = output(failures)
    gone = set(too_large(whole))
    if not gone:
        return whole
    return output([_without_value(failure) if i in gone else failure for i, failure in enumerate(failures)])


def _without_value(failure: Failure) -> Failure:
    size = len(failure.value or b"")
    reason = f"{failure.reason} (the record's value of {size:,} bytes and its headers are left out: too large for this topic)"
    return replace(failure, value=None, headers=(), reason=reason)


def _column(keys: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """Keys as a column, once for all who look at their bytes; as they are if a record has none."""
    try:
        return ByteColumn.of(cast(Sequence[bytes], keys))
    except TypeError:
        return keys


def _joined(parts: Sequence[Encoded]) -> Encoded:
    places = [np.arange(len(part.values)) if part.rows is None else part.rows for part in parts]
    everywhere: NDArray[np.intp] = np.concatenate(places)
    order = np.argsort(everywhere, kind="stable")
    values = ByteColumn.joined([ByteColumn.of(part.values) for part in parts]).take(order)
    headers = [header for part in parts for header in part.headers or ()]
    return Encoded(everywhere[order], values, [headers[i] for i in order.tolist()] if headers else None)


def _without(output: Output, rows: Sequence[int]) -> Output | None:
    gone = set(rows)
    kept = [i for i in range(len(output.values)) if i not in gone]
    if not kept:
        return None
    keys, headers = output.keys, output.headers
    return Output(
        output.topic,
        None if keys is None else [keys[i] for i in kept],
        [output.values[i] for i in kept],
        None if headers is None else [headers[i] for i in kept],
        np.array(kept, np.intp) if output.rows is None else output.rows[kept],
    )


def _too_large(output: Output, i: int, positions: NDArray[np.intp]) -> Unscored:
    size = len(output.values[i] or b"")
    reason = f"the result of {size:,} bytes, with its key and headers, is larger than topic {output.topic} takes"
    return Unscored(int(positions[i]), "result", reason)
