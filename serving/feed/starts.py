"""Where to start reading a partition. One pure decision, made once for each assignment of a partition.

The client library is never asked to choose: its own rule (`auto.offset.reset`) is one for all topics of a consumer, and it
would also answer an error, or a log that shrank, with a jump to the beginning or the end. So `auto.offset.reset=error`,
and every partition is given an absolute offset that was looked up and checked.

A start that was chosen is committed before the first record is read, so that it is chosen once: without that, records
that arrive between the first start at the end and the first commit are skipped when the worker dies in between.
Every commit carries `origin=N`, the number of partitions the topic had when the group first read it. A partition that
was added later was empty then, so it is read from its beginning also where `LATEST` is set.

It also carries `turn=N`, by which claims of the partition are ordered (`model_store.core.lanes`). An owner takes a turn above
the one it finds and commits it before it claims: the group's coordinator lets only the present owner commit, so turns
grow in the order of ownership, and a claim that comes late is known by its turn.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_MARK = re.compile(r"origin=(\d{1,9})(?: turn=(\d{1,18}))?")


class StartAt(enum.StrEnum):
    """Where a group begins that never read the topic."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Reason(enum.StrEnum):
    """Why a partition starts where it does."""

    COMMITTED = "committed"
    FIRST_READ = "first_read"
    ADDED_LATER = "added_later"
    RECORDS_DELETED = "records_deleted"
    LOG_SHRANK = "log_shrank"


@dataclass(frozen=True, slots=True)
class Start:
    """The offset to read first, and why. Every reason but `COMMITTED` is a choice that is committed before use."""

    offset: int
    reason: Reason


def choose_start(
    start_at: StartAt, *, partition: int, committed: int | None, low: int, high: int, origin: int | None
) -> Start:
    """Choose the first offset to read.

    Args:
        start_at: What the settings say for a group that never read the topic.
        partition: Number of the partition.
        committed: What the group has, `None` if it certainly has nothing (an error is not nothing).
        low: First offset that the broker has.
        high: Offset after the last one that may be read.
        origin: Partitions that the topic had when the group first read it, `None` if the group never read any of it.
    """
    if committed is None:
        if origin is not None and partition >= origin:
            return Start(low, Reason.ADDED_LATER)
        return Start(low if start_at is StartAt.EARLIEST else high, Reason.FIRST_READ)
    if committed < low:
        return Start(low, Reason.RECORDS_DELETED)
    if committed > high:
        return Start(low if start_at is StartAt.EARLIEST else high, Reason.LOG_SHRANK)
    return Start(committed, Reason.COMMITTED)


def write_origin(origin: int, turn: int = 0) -> str:
    """The metadata string of a commit: the origin, and the turn of the owner that commits, if it took one."""
    return f"origin={origin} turn={turn}" if turn else f"origin={origin}"


def read_origin(metadata: str | None) -> int | None:
    """The origin in the metadata of a commit, `None` for a commit that somebody else made."""
    found = _MARK.fullmatch(metadata or "")
    return int(found[1]) if found else None


def read_turn(metadata: str | None) -> int:
    """The turn in the metadata of a commit; 0 where there is none."""
    found = _MARK.fullmatch(metadata or "")
    return int(found[2] or 0) if found else 0
