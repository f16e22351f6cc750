"""Statistics in Redis: each worker writes its own, a reader merges those of all.

Theory of operation. A start of a worker owns its keys, and only ever writes whole values, never increments; so a write
whose answer was lost can be repeated, and a Redis that comes back after an outage is up to date after one write of all.
What a series did since the start is a value of its own, so that what a write costs follows from what changed, and not from
how many versions ever served. Under the prefix `<namespace>:stats:`

    workers                          sorted set of `worker NUL epoch`, scored by the time of its last write (ms)
    <worker NUL epoch>:totals        hash, kept for 30 days: what each series did since that start, by `model NUL version NUL
                                     data type`; and, in the field without a name, dead letters and what deciders did
    <worker NUL epoch>:10:<number>   one time slot of ten seconds, see `stats_windows`; kept for an hour
    <worker NUL epoch>:300:<number>  one time slot of five minutes; kept for 25 hours

Totals of earlier starts stay, so that a restart does not set the counts of a model back. Only commands of Redis 6.0 are
used. Both sides are synchronous; call them from a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from model_store.core.decider_counts import DeciderCounts, DeciderKey, merge_deciders
from model_store.core.errors import StatisticsUnavailableError
from model_store.core.stats import Series, Statistics
from model_store.core.stats_codec import StatisticsCodecError, decode_statistics, encode_statistics
from model_store.core.stats_windows import Slot, slots_of_window

TOTAL_KEPT_SECONDS: Final = 30 * 24 * 3_600
_KEYS_PER_READ: Final = 2_000


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """What one start of one worker observed.

    Attributes:
        worker: Worker id.
        epoch: Which start of it.
        written_ms: When it last wrote, milliseconds since 1970 UTC.
        series: Statistics by model, version and data type.
        dead_letters: Dead letters by stage (`decode`, `features`, `route`, `score`, `result`).
        deciders: What deciders did, by route and decider.
    """

    worker: str
    epoch: str
    written_ms: int
    series: Mapping[Series, Statistics]
    dead_letters: Mapping[str, int]
    deciders: Mapping[DeciderKey, DeciderCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Statistics and dead letters of a span of time, to be written.

    Attributes:
        series: Statistics by model, version and data type.
        dead_letters: Dead letters by stage.
        deciders: What deciders did, by route and decider.
    """

    series: Mapping[Series, Statistics]
    dead_letters: Mapping[str, int]
    deciders: Mapping[DeciderKey, DeciderCounts] = field(default_factory=dict)


class RedisStatistics:
    """The statistics store. Connects when it is first used, and again after each failure. Any thread may call it."""

    def __init__(self, url: str, *, namespace: str = "sluice", timeout_seconds: float = 1.0) -> None:
        """Args:
        url: `redis://`, `rediss://` or `unix://`.
        namespace: First part of all keys; lets several systems share a Redis.
        timeout_seconds: Longest wait for a connection and for an answer.

        Raises:
            StatisticsUnavailableError: The URL is not one of Redis.
        """
        self._prefix = f"{namespace}:stats:"
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise StatisticsUnavailableError(f"{url!r} is not the URL of a Redis: {error}") from error

    def write(self, worker: str, epoch: str, now_ms: int, total: Sheet, slots: Mapping[Slot, Sheet]) -> int:
        """Write what one start of a worker observed: all of it, or an error. Repeating a write does no harm.

        Returns how many series Redis now has in the totals of this start: where they are fewer than there are, it lost some.

        Args:
            worker: Worker id, without NUL.
            epoch: Which start of it, without NUL.
            now_ms: Milliseconds since 1970 UTC.
            total: What was observed since the start, of the series that changed since the last write that succeeded, or of
                all; dead letters and deciders always of all.
            slots: The time slots that changed since the last write that succeeded, each whole; expired ones are left out.

        Raises:
            StatisticsUnavailableError: Redis did not take it; the caller keeps what it has and tries again.
        """
        member = f"{worker}\0{epoch}"
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(f"{self._prefix}workers", {member: now_ms})
            pipe.zremrangebyscore(f"{self._prefix}workers", "-inf", now_ms - TOTAL_KEPT_SECONDS * 1000)
            pipe.hset(self._totals_key(member), mapping=_by_series(total))
            pipe.hlen(self._totals_key(member))
            pipe.expire(self._totals_key(member), TOTAL_KEPT_SECONDS)
            for slot, sheet in slots.items():
                left_ms = slot.expires_ms - now_ms
                if left_ms > 0:
                    pipe.set(self._slot_key(member, slot), _encoded(sheet), px=left_ms)
            fields = cast(int, pipe.execute()[3])
        return fields - 1

    def read_totals(self) -> list[WorkerStatistics]:
        """What each start of each worker observed in all, the most recently heard of first.

        Raises:
            StatisticsUnavailableError: Redis did not answer.
        """
        with _translated():
            members = self._members()
            with self._redis.pipeline(transaction=False) as pipe:
                for member, _ in members:
                    pipe.hvals(self._totals_key(member))
                totals = cast(list[list[bytes]], pipe.execute())
        return [
            _worker_statistics(member, written_ms, values)
            for (member, written_ms), values in zip(members, totals, strict=True)
        ]

    def read_window(self, window_seconds: int, now_ms: int) -> list[WorkerStatistics]:
        """What each start of each worker observed in the window that ends now; those that observed nothing are left out.

        Args:
            window_seconds: 1 to 86,400. Up to an hour it is exact to ten seconds, above to five minutes.
            now_ms: Milliseconds since 1970 UTC.

        Raises:
            StatisticsUnavailableError: Redis did not answer.
            ValueError: The window is empty or longer than what is kept.
        """
        slots = slots_of_window(window_seconds, now_ms)
        oldest_ms = slots[0].number * slots[0].seconds * 1000
        with _translated():
            members = [(member, written) for member, written in self._members() if written >= oldest_ms]
            values = self._read([self._slot_key(member, slot) for member, _ in members for slot in slots])
        parts = [
            _worker_statistics(member, written_ms, values[at * len(slots) : (at + 1) * len(slots)])
            for at, (member, written_ms) in enumerate(members)
        ]
        return [part for part in parts if part.series or part.dead_letters or part.deciders]

    def ping(self) -> None:
        """Prove that Redis answers.

        Raises:
            StatisticsUnavailableError: It does not.
        """
        with _translated():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _members(self) -> list[tuple[str, int]]:
        found = cast(list[tuple[bytes, float]], self._redis.zrevrange(f"{self._prefix}workers", 0, -1, withscores=True))
        return [(member.decode(), int(written)) for member, written in found]

    def _read(self, keys: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = []
        for start in range(0, len(keys), _KEYS_PER_READ):
            values += cast(list[bytes | None], self._redis.mget(keys[start : start + _KEYS_PER_READ]))
        return values

    def _totals_key(self, member: str) -> str:
        return f"{self._prefix}{member}:totals"

    def _slot_key(self, member: str, slot: Slot) -> str:
        return f"{self._prefix}{member}:{slot.seconds}:{slot.number}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StatisticsUnavailableError(f"Redis: {type(error).__name__}: {error}") from error


def _encoded(sheet: Sheet) -> bytes:
    return encode_statistics(sheet.series, sheet.dead_letters, sheet.deciders)


def _by_series(sheet: Sheet) -> dict[str, bytes]:
    fields = {"\0".join(map(str, key)): encode_statistics({key: part}) for key, part in sheet.series.items()}
    return fields | {"": encode_statistics({}, sheet.dead_letters, sheet.deciders)}


def _worker_statistics(member: str, written_ms: int, values: Sequence[bytes | None]) -> WorkerStatistics:
    worker, _, epoch = member.partition("\0")
    series: dict[Series, Statistics] = {}
    dead_letters: dict[str, int] = {}
    decided: list[dict[DeciderKey, DeciderCounts]] = []
    for value in values:
        if value is None:
            continue
        try:
            some, letters, deciders = decode_statistics(value)
        except StatisticsCodecError:  # Written by a later version: an answer without it is better than none.
            continue
        for key, part in some.items():
            series[key] = series[key].merged(part) if key in series else part
        for stage, count in letters.items():
            dead_letters[stage] = dead_letters.get(stage, 0) + count
        decided.append(deciders)
    return WorkerStatistics(worker, epoch, written_ms, series, dead_letters, merge_deciders(decided))
