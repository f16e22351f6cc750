"""What a batch leaves behind: results and dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.core.outcomes import Unscored
from serving.encoding import Encoded
from serving.feed.batch import Output, Records, segment_of
from serving.feed.writer import FEWEST_IN_BULK
from serving.formats.dead_letters import Failure, encode_dead_letters

RowsTooLarge = Callable[[Output], Sequence[int]]
"""Rows of an output that its topic would not take; costs nothing per record where all fit."""


def result_output(
    topic: str, batch: Records, results: Encoded | None, too_large: RowsTooLarge
) -> tuple[Output | None, list[Unscored]]:
    """The results of a batch, each with the key of its record.

    Returns:
        The output, `None` if there is no result; and the records whose result the topic would not take.
    """
    if results is None:
        return None, []
    keys: Sequence[bytes | None] = batch.keys
    if results.rows is not None:
        keys = _rows_of(keys, results.rows)
    output = Output(topic, _column(keys), results.values, results.headers, results.rows)
    refused = too_large(output)
    if not refused:
        return output, []
    positions = np.arange(len(batch)) if results.rows is None else results.rows
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


def _rows_of(keys: Sequence[bytes | None], rows: NDArray[np.intp]) -> Sequence[bytes | None]:
    return keys.take(rows) if isinstance(keys, ByteColumn) else [keys[i] for i in rows.tolist()]


def _column(keys: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """Keys as a column, once for all who look at their bytes; as they are if a record has none, or for too few for bulk."""
    if len(keys) < FEWEST_IN_BULK:
        return keys
    try:
        return ByteColumn.of(cast(Sequence[bytes], keys))
    except TypeError:
        return keys


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
