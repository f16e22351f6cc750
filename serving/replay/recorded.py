"""What was said of records when they were live: the results and dead letters of a chunk of source offsets.

Theory of operation. Results of one source partition lie scattered over the result topic, in the order of their records but
for repeats. `Outcomes.cover` reads the topic for one chunk of at most `CHUNK` source offsets, and keeps, by offset, the
last live result that it finds. (Results of one key are in one partition of the result topic. Where a record without a key
has several, in different partitions, which of them is the last is not defined.)

* It begins where the first result of the chunk can be. For the first chunk of a partition that is a day before the
  chunk's records were written, by the clocks of Kafka's clients. For the next one it is known exactly: the place where,
  in the pass before, the first result of a later record was seen.
* It ends where the topic ended when the job began (`freeze`), or once a result of a record `REPEATS` offsets beyond the
  chunk was seen: a worker that starts again repeats less than that. So a result that was written again much later, by
  moving a group's offsets back, does not count.

Memory is bounded by the chunk: where its results take more than `CHUNK_BYTES`, the pass is made again for half of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import TopicPartition
from google.protobuf.message import DecodeError
from modelserving.v1 import records_pb2
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.core.comparison import Missing, Side
from serving.formats.results import REASONS
from serving.replay.errors import JobFailedError
from serving.replay.pace import Pace
from serving.replay.ranges import Topic, reached

CHUNK: Final = 50_000
CHUNK_BYTES: Final = 64 << 20
REPEATS: Final = 50_000
_SLACK_MS: Final = 24 * 3600 * 1000
_STILL_SECONDS: Final = 60.0
_TAKE: Final = 2_000
_TURN_SECONDS: Final = 0.05
"""The client waits so long for the last few records before it hands out what it has."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result or a dead letter, as far as it matters here.

    Attributes:
        topic: Source topic.
        partition: Source partition.
        offset: Source offset.
        data_type: Of the record.
        model: Who scored it; empty in a dead letter of a record that no model got.
        version: Its version.
        control_offset: As the result has it; 0 in a dead letter.
        reason: As `Reason` in serving.formats.base.
        correction: Id of the correction that wrote it, or empty.
        prediction: As the result has it, if it has one.
        label: As the result has it, if it has one.
        scores: As the result has them.
        failure: Why there is no result, in a dead letter.
    """

    topic: str
    partition: int
    offset: int
    data_type: str
    model: str
    version: int
    control_offset: int = 0
    reason: str = ""
    correction: str = ""
    prediction: float | None = None
    label: str | None = None
    scores: tuple[float, ...] = ()
    failure: Missing | None = None

    @property
    def is_live(self) -> bool:
        """It was made by what served, when the record came."""
        return not self.correction and self.reason not in ("dark", "corrected")

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return 400 + 32 * len(self.scores)


Decode = Callable[[bytes], Recorded | None]
"""`None`: the value is not what it should be."""

_REASON_NAMES: Final = {number: name for name, number in REASONS.items()}


def decode_protobuf_result(value: bytes) -> Recorded | None:
    """A `ScoreResult`."""
    try:
        result = records_pb2.ScoreResult.FromString(value)
    except DecodeError:
        return None
    return Recorded(
        result.topic,
        result.partition,
        result.offset,
        result.data_type,
        result.model,
        result.model_version,
        result.control_offset,
        _REASON_NAMES.get(result.reason, ""),
        result.supersedes.correction,
        result.prediction if result.HasField("prediction") else None,
        result.label if result.HasField("label") else None,
        tuple(result.scores),
    )


class _Supersedes(msgspec.Struct):
    correction: str = ""


class _JsonResult(msgspec.Struct):
    topic: str
    partition: int
    offset: int
    model: str
    model_version: int
    data_type: str = ""
    control_offset: int = 0
    reason: str = ""
    supersedes: _Supersedes | None = None
    prediction: float | msgspec.UnsetType | None = msgspec.UNSET
    label: str | None = None
    scores: list[float | None] = []


_read_json = msgspec.json.Decoder(_JsonResult).decode


def decode_json_result(value: bytes) -> Recorded | None:
    """A result in JSON. JSON has no NaN and no infinity: `null` is read as NaN."""
    try:
        result = _read_json(value)
    except msgspec.DecodeError:
        return None
    prediction = result.prediction
    if prediction is None:
        prediction = float("nan")
    return Recorded(
        result.topic,
        result.partition,
        result.offset,
        result.data_type,
        result.model,
        result.model_version,
        result.control_offset,
        result.reason,
        "" if result.supersedes is None else result.supersedes.correction,
        None if isinstance(prediction, msgspec.UnsetType) else prediction,
        result.label,
        tuple(float("nan") if score is None else score for score in result.scores),
    )


def decode_dead_letter(value: bytes) -> Recorded | None:
    """A `DeadLetter`; its record's value is dropped."""
    try:
        letter = records_pb2.DeadLetter.FromString(value)
    except DecodeError:
        return None
    stage = records_pb2.DeadLetter.Stage.Name(letter.stage) if letter.stage in _STAGES else "STAGE_UNSPECIFIED"
    why = Missing(stage.removeprefix("STAGE_").lower(), letter.reason)
    return Recorded(
        letter.topic,
        letter.partition,
        letter.offset,
        letter.data_type,
        letter.model,
        letter.model_version,
        failure=why,
    )


_STAGES: Final = frozenset(records_pb2.DeadLetter.Stage.values())


class Outcomes:
    """The live outcomes of records, from one topic. Owns its consumer."""

    def __init__(
        self,
        consumer: Any,
        topic: Topic,
        source_topic: str,
        decode: Decode,
        pace: Pace,
        check: Callable[[], None],
        *,
        chunk: int = CHUNK,
        chunk_bytes: int = CHUNK_BYTES,
        repeats: int = REPEATS,
    ) -> None:
        """Args:
        consumer: As `replay_consumer` makes it; closed by `close`.
        topic: Of the results, or of the dead letters.
        source_topic: Of the records.
        decode: Reads a value of the topic.
        pace: Of the reading.
        check: Called often, may raise.
        chunk: Most source offsets in a pass.
        chunk_bytes: What their results may take in memory, about.
        repeats: How far a worker may go back when it starts again, in source offsets.
        """
        self._consumer, self._topic, self._source_topic = consumer, topic, source_topic
        self._decode, self._pace, self._check = decode, pace, check
        self._ends: list[int] = []
        self._chunk, self._chunk_bytes, self._repeats = chunk, chunk_bytes, repeats
        self._covered = (-1, 0, 0)  # partition, first, end
        self._found: dict[int, Recorded] = {}
        self._next: list[int] = []

    def freeze(self) -> None:
        """From here on the topic ends where it ends now, for this object."""
        self._ends = self._topic.highs()

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def each_correction(self, correction: str, since_ms: int | None, take: Callable[[int, int], None]) -> None:
        """Call `take(partition, offset)` for each record that already has a result of a correction.

        Args:
            correction: Its id.
            since_ms: It wrote nothing earlier, by the clock of some machine; `None`: nothing is known.
            take: May be called more than once for a record.
        """
        starts = self._topic.lows() if since_ms is None else self._topic.at(max(0, since_ms - _SLACK_MS))

        def look(_place: int, _at: int, found: Recorded) -> bool:
            if found.correction == correction:
                take(found.partition, found.offset)
            return False

        self._scan(starts, look)

    def cover(self, partition: int, offsets: NDArray[np.int64], end: int, timestamps: NDArray[np.int64]) -> int:
        """Have the live outcomes of some records at hand; most calls read nothing.

        Args:
            partition: Of the records.
            offsets: int64 (n,), n > 0, rising; and higher than those of the last call if it was for this partition.
            end: No record at or beyond this offset will be asked for.
            timestamps: int64 (n,), of the records.

        Returns:
            Of how many of the records, at least the first; for the others it must be called again.
        """
        first = int(offsets[0])
        at, begin, until = self._covered
        if not (at == partition and begin <= first < until):
            starts = self._next if at == partition and first >= until else self._begin(timestamps)
            until = self._load(partition, first, end, starts)
        return int(np.searchsorted(offsets, until))

    def of(self, offset: int) -> Recorded | None:
        """The live outcome of a record that is covered."""
        return self._found.get(offset)

    def _begin(self, timestamps: NDArray[np.int64]) -> list[int]:
        earliest, latest = int(timestamps.min()), int(timestamps.max())
        lows = self._topic.lows()
        if earliest < _SLACK_MS or latest > time.time() * 1000:
            return lows  # no timestamps, or such that say nothing of when the record was written
        return [max(low, at) for low, at in zip(lows, self._topic.at(earliest - _SLACK_MS), strict=True)]

    def _load(self, partition: int, first: int, end: int, starts: Sequence[int]) -> int:
        """Read the outcomes of a chunk that begins at `first`; the offset where it ends."""
        while not self._pass(partition, first, until := max(first + 1, min(end, first + self._chunk)), starts):
            if until == first + 1:
                raise JobFailedError(f"the result of record {first} takes more than {self._chunk_bytes} bytes")
            self._chunk = (until - first) // 2
        return until

    def _pass(self, partition: int, first: int, until: int, starts: Sequence[int]) -> bool:
        """Read the outcomes of [first, until). False: they are too large together."""
        self._found.clear()
        self._covered = (-1, 0, 0)
        later: dict[int, int] = {}
        size = 0

        def take(place: int, at: int, found: Recorded) -> bool:
            nonlocal size
            if found.partition != partition:
                return False
            if found.offset >= until:
                later.setdefault(place, at)
                return found.is_live and found.offset >= until + self._repeats
            if found.offset >= first and found.is_live:
                if (before := self._found.get(found.offset)) is not None:
                    size -= before.bytes
                self._found[found.offset] = found
                size += found.bytes
                if size > self._chunk_bytes:
                    raise _TooLarge
            return False

        try:
            passed = self._scan(starts, take)
        except _TooLarge:
            return False
        # Where nothing later was seen, nothing later is before the end of the pass.
        self._next = [later.get(place, at) for place, at in passed.items()]
        self._covered = (partition, first, until)
        return True

    def _scan(self, starts: Sequence[int], take: Callable[[int, int, Recorded], bool]) -> dict[int, int]:
        """Give all that is of the source topic to `take(place, at, found)`, with its partition and offset, until it says
        that a partition is done, or up to the frozen ends.

        Returns:
            The offset up to which each partition was read.
        """
        name = self._topic.name
        at = {place: min(start, end) for place, (start, end) in enumerate(zip(starts, self._ends, strict=False))}
        todo = {place for place, start in at.items() if start < self._ends[place]}
        if todo:
            self._consumer.assign([TopicPartition(name, place, at[place]) for place in sorted(todo)])
        deadline = time.monotonic() + _STILL_SECONDS
        while todo:
            self._check()
            records = self._consumer.consume(_TAKE, _TURN_SECONDS)
            self._pace.take(len(records))
            for record in records:
                place, after = record.partition(), reached(record)
                if place not in todo:
                    continue
                if after > at[place]:
                    at[place], deadline = after, time.monotonic() + _STILL_SECONDS
                is_done = False
                if record.error() is None and record.offset() < self._ends[place]:
                    found = self._decode(record.value() or b"")
                    if found is not None and found.topic == self._source_topic:
                        is_done = take(place, record.offset(), found)
                if is_done or at[place] >= self._ends[place]:
                    todo.discard(place)
                    self._consumer.incremental_unassign([TopicPartition(name, place)])  # a pause would outlive it
            if time.monotonic() > deadline:
                raise JobFailedError(
                    f"topic {name!r} stands still at {sorted((place, at[place]) for place in todo)} for {_STILL_SECONDS:g} s; "
                    "is a transaction open there?"
                )
        self._consumer.unassign()
        return at


class _TooLarge(Exception):
    """The results of a chunk take too much memory."""


def side_of_recorded(found: list[Recorded | None]) -> Side:
    """The baseline of a back-test: n outcomes as columns."""
    count = len(found)
    width = max((len(item.scores) for item in found if item is not None), default=0)
    prediction, scores = np.full(count, np.nan), np.full((count, width), np.nan)
    has_prediction, widths = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    codes, index = np.full(count, -1, np.int64), dict[str, int]()
    missing: dict[int, Missing] = {}
    for row, item in enumerate(found):
        if item is None:
            missing[row] = Missing("", "there is neither a live result nor a dead letter of it")
            continue
        if item.failure is not None:
            missing[row] = item.failure
            continue
        if item.prediction is not None:
            prediction[row], has_prediction[row] = item.prediction, True
        if item.label is not None:
            codes[row] = index.setdefault(item.label, len(index))
        widths[row] = len(item.scores)
        scores[row, : len(item.scores)] = item.scores
    return Side(prediction, has_prediction, TextColumn(codes, list(index)), scores, widths, missing)
