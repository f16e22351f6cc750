"""What reading the control log costs at start-up: decoding and folding all of it, or a snapshot of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.size.control_records import Logged, control_log
from model_store.collector import collector_at_rest
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold_all
from model_store.core.snapshots import decode_snapshot, encode_snapshot
from model_store.core.wire import decode_record


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU of one reading of a log, in microseconds a record.

    Attributes:
        records: On the log.
        bytes_a_record: Of their values.
        decode_us: From bytes to values.
        fold_us: From values to the state.
        versions: That the state has.
    """

    records: int
    bytes_a_record: float
    decode_us: float
    fold_us: float
    versions: int


@dataclass(frozen=True, slots=True)
class SnapshotCost:
    """Of one state.

    Attributes:
        versions: That it has.
        records: It stands for.
        megabytes: Of the record, compressed.
        write_seconds: CPU.
        read_seconds: CPU.
    """

    versions: int
    records: int
    megabytes: float
    write_seconds: float
    read_seconds: float


def reading(count: int, repetitions: int = 3) -> tuple[Reading, Catalogue]:
    """The best of some readings, as a worker reads it: the cycle collector rests."""
    log = control_log(count)
    best_decode = best_fold = float("inf")
    for _ in range(repetitions):
        with collector_at_rest():
            start = time.process_time()
            entries = [_read(record) for record in log]
            middle = time.process_time()
            catalogue = fold_all(EMPTY, entries)
            best_fold = min(best_fold, time.process_time() - middle)
            best_decode = min(best_decode, middle - start)
            del entries
    size = sum(len(record.record.value) for record in log) / count
    found = Reading(count, size, best_decode / count * 1e6, best_fold / count * 1e6, len(catalogue.versions))
    return found, catalogue


def snapshot(catalogue: Catalogue, records: int) -> SnapshotCost:
    """Writing it and reading it back, once."""
    with collector_at_rest():
        start = time.process_time()
        written = encode_snapshot(catalogue)
        middle = time.process_time()
        read = decode_snapshot(written, catalogue.offset + 1)
        end = time.process_time()
    if read != catalogue:
        raise RuntimeError("the state that was read back is not the one that was written")
    size = len(written.state) / 1e6
    return SnapshotCost(len(catalogue.versions), records, size, middle - start, end - middle)


def _read(logged: Logged) -> LogEntry:
    record = logged.record
    return LogEntry(logged.offset, logged.timestamp_ms, decode_record(record.headers, record.key, record.value))
