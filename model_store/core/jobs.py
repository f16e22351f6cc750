"""Jobs that score retained records again, as values, and their JSON.

    {"kind": "backtest", "id": "wine-12-against-live", "stream": "wine", "data_type": "wine",
     "ranges": [{"partition": 0, "from": 1000, "to": 5000}],
     "candidate": {"model": "wine", "version": 12, "control_offset": 88}, "baseline": "recorded",
     "segment_by": "alcohol", "tolerance": 0.0, "max_records": 100000, "records_per_second": 2000}

    {"kind": "correction", "id": "undo-wine-12", "stream": "wine", "data_type": "wine",
     "ranges": {"from_ms": 1763700000000, "to_ms": 1763703600000}, "since_ms": 1763704000000,
     "bad": {"model": "wine", "version": 12}, "good": {"model": "wine", "version": 11, "control_offset": 71},
     "records_per_second": 2000}

Reading is strict: unknown names, wrong types and values that make no sense are errors that name the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, TypeVar

from model_store.core.errors import ModelStoreError

DEFAULT_RECORDS_PER_SECOND: Final = 2_000
MAX_RANGES: Final = 10_000
_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_LARGEST = 2**63 - 1


class InvalidJobError(ModelStoreError):
    """A job contradicts itself. `str(error)` names the place and what was expected."""


@dataclass(frozen=True, slots=True)
class VersionName:
    """A version, by what results say of it.

    Attributes:
        model: Registered model name.
        version: Its number, at least 1.
    """

    model: str
    version: int

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


@dataclass(frozen=True, slots=True)
class VersionAt:
    """A version, and where it is announced.

    Attributes:
        model: Registered model name.
        version: Its number, at least 1.
        control_offset: Control-log offset of its record.
    """

    model: str
    version: int
    control_offset: int

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Records of one partition.

    Attributes:
        partition: Of the stream's data topic.
        first: Offset of the first record.
        end: Offset after the last one; more than `first`. It may lie beyond the end of the log.
    """

    partition: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Records of all partitions, by time: from the first record that is not older than `from_ms` up to, without it, the
    first one that is not older than `to_ms`. Both are milliseconds since 1970 UTC.
    """

    from_ms: int
    to_ms: int


Ranges = tuple[OffsetRange, ...] | TimeRange


@dataclass(frozen=True, slots=True)
class Backtest:
    """Score retained records with a candidate and compare.

    Attributes:
        id: Of the job.
        stream: Stream of the worker's settings.
        ranges: Which records.
        candidate: Scores them.
        baseline: What it is compared with: `recorded`, the live results, or another version that scores them too.
        data_type: Only records of this data type; `None`: all.
        segment_by: A field of the stream; the comparison is also made for each of its texts, or quartiles.
        tolerance: Numbers that differ by no more are the same to the disagreement rate; finite, at least 0.
        max_records: At most so many records, spread over the partitions; `None`: all.
        records_per_second: At most so fast.
    """

    id: str
    stream: str
    ranges: Ranges
    candidate: VersionAt
    baseline: VersionAt | Literal["recorded"] = "recorded"
    data_type: str | None = None
    segment_by: str | None = None
    tolerance: float = 0.0
    max_records: int | None = None
    records_per_second: int = DEFAULT_RECORDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Correction:
    """Score those records again whose live result was made by a bad version, and write results that supersede them.

    Attributes:
        id: Of the job. Each record gets at most one result of one id, however often the job runs.
        stream: Stream of the worker's settings.
        ranges: Which records.
        bad: Whose results no longer hold.
        good: Scores the records again.
        data_type: Only results of this data type; `None`: all.
        since_ms: When the job was asked for: its own results are looked for from a day before on. Milliseconds since
            1970 UTC; `None`: in the whole result topic.
        records_per_second: At most so fast.
    """

    id: str
    stream: str
    ranges: Ranges
    bad: VersionName
    good: VersionAt
    data_type: str | None = None
    since_ms: int | None = None
    records_per_second: int = DEFAULT_RECORDS_PER_SECOND


Job = Backtest | Correction


def job_from_json(text: str | bytes) -> Job:
    """Read a job.

    Raises:
        InvalidJobError: It is not JSON, or not a job; the message names the place.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJobError(f"the job is not JSON: {error}") from error
    fields = _Fields("job", document)
    kind = fields.take("kind", _text)
    match kind:
        case "backtest":
            job: Job = _backtest(fields)
        case "correction":
            job = _correction(fields)
        case _:
            raise InvalidJobError(f"job.kind: expected `backtest` or `correction`, found {kind!r}")
    fields.end()
    return job


def job_to_json(job: Job) -> str:
    """What `job_from_json` reads back as an equal job."""
    common: dict[str, object] = {"id": job.id, "stream": job.stream, "ranges": _written_ranges(job.ranges)}
    common |= {"data_type": job.data_type, "records_per_second": job.records_per_second}
    if isinstance(job, Backtest):
        baseline = job.baseline if job.baseline == "recorded" else _written_version(job.baseline)
        own: dict[str, object] = {
            "kind": "backtest",
            "candidate": _written_version(job.candidate),
            "baseline": baseline,
        }
        own |= {"segment_by": job.segment_by, "tolerance": job.tolerance, "max_records": job.max_records}
    else:
        bad = {"model": job.bad.model, "version": job.bad.version}
        own = {"kind": "correction", "bad": bad, "good": _written_version(job.good), "since_ms": job.since_ms}
    return json.dumps({name: value for name, value in (own | common).items() if value is not None})


Value = TypeVar("Value")
_Read = Callable[[str, Any], Value]
"""`read(place, value)`; raises `InvalidJobError`."""


class _Fields:
    """The members of a JSON object, each taken once."""

    def __init__(self, place: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise InvalidJobError(f"{place}: expected an object, found {_shown(value)}")
        self._place, self._left = place, dict(value)

    def take(self, name: str, read: _Read[Value]) -> Value:
        if self._left.get(name) is None:
            raise InvalidJobError(f"{self._place}.{name}: missing")
        return read(f"{self._place}.{name}", self._left.pop(name))

    def take_or(self, name: str, default: Value, read: _Read[Value]) -> Value:
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return default
        return self.take(name, read)

    def end(self) -> None:
        if self._left:
            raise InvalidJobError(f"{self._place}: unknown: {', '.join(sorted(self._left))}")


def _backtest(fields: _Fields) -> Backtest:
    return Backtest(
        id=fields.take("id", _job_id),
        stream=fields.take("stream", _text),
        ranges=fields.take("ranges", _ranges),
        candidate=fields.take("candidate", _version_at),
        baseline=fields.take_or("baseline", "recorded", _baseline),
        data_type=fields.take_or("data_type", None, _text),
        segment_by=fields.take_or("segment_by", None, _text),
        tolerance=fields.take_or("tolerance", 0.0, _tolerance),
        max_records=fields.take_or("max_records", None, _positive),
        records_per_second=fields.take_or("records_per_second", DEFAULT_RECORDS_PER_SECOND, _positive),
    )


def _correction(fields: _Fields) -> Correction:
    correction = Correction(
        id=fields.take("id", _job_id),
        stream=fields.take("stream", _text),
        ranges=fields.take("ranges", _ranges),
        bad=fields.take("bad", _version_name),
        good=fields.take("good", _version_at),
        data_type=fields.take_or("data_type", None, _text),
        since_ms=fields.take_or("since_ms", None, _count),
        records_per_second=fields.take_or("records_per_second", DEFAULT_RECORDS_PER_SECOND, _positive),
    )
    if (correction.good.model, correction.good.version) == (correction.bad.model, correction.bad.version):
        raise InvalidJobError(f"job.good: {correction.good} is the bad version itself")
    return correction


def _ranges(place: str, value: Any) -> Ranges:
    if isinstance(value, list):
        if not 1 <= len(value) <= MAX_RANGES:
            raise InvalidJobError(f"{place}: expected 1 to {MAX_RANGES} ranges, found {len(value)}")
        found = tuple(_offset_range(f"{place}[{i}]", item) for i, item in enumerate(value))
        ordered = sorted(found, key=lambda item: (item.partition, item.first))
        for before, after in pairwise(ordered):
            if before.partition == after.partition and after.first < before.end:
                raise InvalidJobError(f"{place}: two ranges of partition {after.partition} overlap at {after.first}")
        return found
    fields = _Fields(place, value)
    span = TimeRange(fields.take("from_ms", _count), fields.take("to_ms", _count))
    fields.end()
    if span.to_ms <= span.from_ms:
        raise InvalidJobError(f"{place}: `to_ms` must be more than `from_ms`")
    return span


def _offset_range(place: str, value: Any) -> OffsetRange:
    fields = _Fields(place, value)
    found = OffsetRange(fields.take("partition", _count), fields.take("from", _count), fields.take("to", _count))
    fields.end()
    if found.end <= found.first:
        raise InvalidJobError(f"{place}: `to` must be more than `from`")
    return found


def _version_at(place: str, value: Any) -> VersionAt:
    fields = _Fields(place, value)
    found = VersionAt(
        fields.take("model", _text), fields.take("version", _positive), fields.take("control_offset", _count)
    )
    fields.end()
    return found


def _version_name(place: str, value: Any) -> VersionName:
    fields = _Fields(place, value)
    found = VersionName(fields.take("model", _text), fields.take("version", _positive))
    fields.end()
    return found


def _baseline(place: str, value: Any) -> VersionAt | Literal["recorded"]:
    return "recorded" if value == "recorded" else _version_at(place, value)


def _job_id(place: str, value: Any) -> str:
    text = _text(place, value)
    if not _ID.fullmatch(text):
        raise InvalidJobError(
            f"{place}: expected 1 to 100 letters, digits, '.', '_' and '-', a letter or digit at both ends; found {text!r}"
        )
    return text


def _text(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidJobError(f"{place}: expected a text, found {_shown(value)}")
    return value


def _count(place: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise InvalidJobError(f"{place}: expected a whole number from 0 on, found {_shown(value)}")
    return value


def _positive(place: str, value: Any) -> int:
    if _count(place, value) == 0:
        raise InvalidJobError(f"{place}: expected a whole number from 1 on, found 0")
    return int(value)


def _tolerance(place: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InvalidJobError(f"{place}: expected a finite number from 0 on, found {_shown(value)}")
    return float(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _written_ranges(ranges: Ranges) -> Any:
    if isinstance(ranges, TimeRange):
        return {"from_ms": ranges.from_ms, "to_ms": ranges.to_ms}
    return [{"partition": item.partition, "from": item.first, "to": item.end} for item in ranges]


def _written_version(version: VersionAt) -> dict[str, object]:
    return {"model": version.model, "version": version.version, "control_offset": version.control_offset}
