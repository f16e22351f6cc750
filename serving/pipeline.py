"""One stream's way from a batch of records to its outcomes: decode, route, score, encode. No I/O, no Kafka.

    open    bytes -> columns -> one `Work` for each data type of the batch, each with its model leased;
            what cannot be scored is a dead letter already
    score   the work's features -> predictions, wherever the agent lets it run
    close   predictions -> results in source order, and dead letters; the leases are given back

Everything is per batch but the bad records. `open` and `close` run on the event loop's thread; `score` may run on any
one thread at a time for a model. A batch with one data type, the common case, is never split or joined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Features, Predictions, TextColumn
from serving.core.isolation import score_isolated
from serving.core.outcomes import Unscored
from serving.core.scored import scored
from serving.feed.batch import ColumnBatch, Output
from serving.formats.base import DecodedBatch, Provenance, RecordFormat, ResultFormat, ScoredColumns
from serving.formats.headers import ResultHeaders
from serving.live import LiveModel, LiveModels

RouteKind = Literal["field", "record_key", "header", "constant"]

# A record batch's own overhead in Kafka (61 bytes), a record's (some 20), and headers of moderate length.
RESULT_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Observation:
    """What one model did with one batch, for the statistics.

    Attributes:
        model: Who scored.
        records: Scored, without the errors.
        errors: Records that the model failed on.
        seconds: Time that `score` took.
        timestamps_ms: Record timestamps of the scored ones, where they have one.
    """

    model: LiveModel
    records: int
    errors: int
    seconds: float
    timestamps_ms: NDArray[np.int64]


@dataclass(slots=True)
class Work:
    """The records of a batch that one model scores.

    Attributes:
        model: Leased until `Pipeline.close`.
        rows: intp (n,), positions in the batch, ascending; `None` for all of them.
        features: n rows.
        predictions: Set by `score`.
        seconds: Set by `score`.
    """

    model: LiveModel
    rows: NDArray[np.intp] | None
    features: Features
    predictions: Predictions = field(default_factory=lambda: Predictions({}))
    seconds: float = 0.0

    def score(self) -> None:
        """Ask the model. Never raises for what a record or a model does wrong."""
        start = time.perf_counter()
        self.predictions = score_isolated(self.model.scorer.score, self.features)
        self.seconds = time.perf_counter() - start


@dataclass(slots=True)
class Opened:
    """A batch on its way: what is to be scored, and what cannot be."""

    batch: ColumnBatch
    works: list[Work]
    unscored: list[Unscored]

    @property
    def waits(self) -> bool:
        """Some of its work must not run on the event loop's thread."""
        return any(work.model.scorer.runs_elsewhere for work in self.works)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a pipeline must know of its stream.

    Attributes:
        name: In the settings.
        route: Where the data type is found.
        route_name: The field's, header's or constant's; empty for `record_key`.
        route_text: Index of the route field among the decoded texts, if `route` is `field`.
        feature_texts: Indexes of the texts that models may use.
        result_topic: Where results go.
        dead_letter_topic: Where the rest goes.
        max_result_bytes: Largest key + value that the result topic takes.
    """

    name: str
    route: RouteKind
    route_name: str
    route_text: int
    feature_texts: tuple[int, ...]
    result_topic: str
    dead_letter_topic: str
    max_result_bytes: int


class Pipeline:
    """See the module."""

    def __init__(
        self,
        plan: StreamPlan,
        records: RecordFormat,
        results: ResultFormat,
        headers: ResultHeaders | None,
        live: LiveModels,
        worker: str,
        observe: Callable[[Observation], None],
    ) -> None:
        """`observe` is called on the loop's thread, once a `Work`, and must be quick."""
        self.plan = plan
        self._records = records
        self._results = results
        self._headers = headers
        self._live = live
        self._worker = worker
        self._observe = observe

    def open(self, batch: ColumnBatch) -> Opened:
        """Decode and route. The models that are live now score this batch, whatever is swapped in meanwhile."""
        decoded = self._records.decode(batch.values)
        unscored = [Unscored(bad.row, bad.stage, bad.reason) for bad in decoded.bad]
        works: list[Work] = []
        for data_type, rows in self._routed(batch, decoded, unscored):
            model = self._live.lease(data_type)
            if model is None:
                unscored += self._unrouted(decoded, rows, data_type, f"no model serves data type {data_type!r}")
                continue
            binding = model.bindings.get(self.plan.name)
            if binding is None:
                self._live.give_back(model)
                reason = f"{model.model} v{model.version} cannot take this stream's records: {model.unbound[self.plan.name]}"
                unscored += self._unrouted(decoded, rows, data_type, reason)
                continue
            works.append(self._work(model, decoded, rows))
        return Opened(batch, works, unscored)

    def close(self, opened: Opened) -> list[Output]:
        """Encode what was scored, give the models back, and say what became of every record of the batch."""
        batch, unscored = opened.batch, opened.unscored
        parts: list[tuple[NDArray[np.intp] | None, list[bytes]]] = []
        for work in opened.works:
            parts.append(self._encoded(batch, work, unscored))
            self._live.give_back(work.model)
        outputs = self._written(batch, parts, unscored)
        if unscored:
            outputs.append(self._dead_letters(batch, unscored))
        return outputs

    def abandon(self, opened: Opened) -> None:
        """Give the models back without results: the worker is going down."""
        for work in opened.works:
            self._live.give_back(work.model)

    def _routed(
        self, batch: ColumnBatch, decoded: DecodedBatch, unscored: list[Unscored]
    ) -> list[tuple[str, NDArray[np.intp] | None]]:
        """Data type -> positions among the decoded rows (`None`: all of them)."""
        if not len(decoded.rows):
            return []
        if self.plan.route == "constant":
            return [(self.plan.route_name, None)]
        keys = self._route_column(batch, decoded)
        codes = keys.codes
        first = int(codes[0])
        if first >= 0 and (codes == first).all():
            return [(keys.values[first], None)] if keys.values[first] else self._nameless(decoded, np.arange(len(codes)), unscored)
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-2))
        found: list[tuple[str, NDArray[np.intp] | None]] = []
        for rows in np.split(order, starts[1:]):
            code = int(codes[rows[0]])
            if code < 0 or not keys.values[code]:
                self._nameless(decoded, rows, unscored)
            else:
                found.append((keys.values[code], rows))
        return found

    def _route_column(self, batch: ColumnBatch, decoded: DecodedBatch) -> TextColumn:
        match self.plan.route:
            case "field":
                return decoded.texts[self.plan.route_text]
            case "record_key":
                raw = batch.keys if batch.keys is not None else [None] * len(batch)
                return _text_column([raw[i] for i in decoded.rows.tolist()])
            case _:
                headers = batch.headers or [None] * len(batch)
                name = self.plan.route_name
                return _text_column([_header(headers[i], name) for i in decoded.rows.tolist()])

    def _nameless(
        self, decoded: DecodedBatch, rows: NDArray[np.intp], unscored: list[Unscored]
    ) -> list[tuple[str, NDArray[np.intp] | None]]:
        where = {"field": f"field `{self.plan.route_name}`", "header": f"header `{self.plan.route_name}`"}.get(
            self.plan.route, "the record key"
        )
        reason = f"{where} should name the data type and is missing, empty or not UTF-8"
        unscored += [Unscored(int(decoded.rows[row]), "route", reason) for row in rows]
        return []

    def _unrouted(self, decoded: DecodedBatch, rows: NDArray[np.intp] | None, data_type: str, reason: str) -> list[Unscored]:
        positions = decoded.rows if rows is None else decoded.rows[rows]
        return [Unscored(int(row), "route", reason, data_type) for row in positions]

    def _work(self, model: LiveModel, decoded: DecodedBatch, rows: NDArray[np.intp] | None) -> Work:
        binding = model.bindings[self.plan.name]
        matrix = decoded.matrix if rows is None else decoded.matrix[rows]
        texts = [decoded.texts[i] if rows is None else decoded.texts[i].take(rows) for i in self.plan.feature_texts]
        positions = decoded.rows if rows is None else decoded.rows[rows]
        whole = rows is None and not decoded.bad
        return Work(model, None if whole else positions, binding.features(matrix, texts))

    def _encoded(
        self, batch: ColumnBatch, work: Work, unscored: list[Unscored]
    ) -> tuple[NDArray[np.intp] | None, list[bytes]]:
        model, rows, predictions = work.model, work.rows, work.predictions
        offsets, timestamps = _taken(batch.offsets, rows), _taken(batch.timestamps, rows)
        failures = predictions.failures
        if failures:
            good = np.array([i for i in range(len(work.features)) if i not in failures], np.intp)
            positions = np.arange(len(batch)) if rows is None else rows
            unscored += [
                Unscored(int(positions[i]), "score", reason, model.data_type, model.model, model.version)
                for i, reason in sorted(failures.items())
            ]
            rows, offsets, timestamps = positions[good], offsets[good], timestamps[good]
        self._observe(Observation(model, len(offsets), len(failures), work.seconds, timestamps))
        if not len(offsets):
            return rows, []
        values = scored(model.scorer.signature, predictions)
        if failures:
            values = values.take(good)
        provenance = Provenance(
            model.model, model.version, model.sha256, model.data_type, batch.topic, batch.partition, model.control_offset, self._worker
        )
        columns = ScoredColumns(offsets, timestamps, values.prediction, values.label, values.scores)
        return rows, self._results.encode(provenance, columns)

    def _written(
        self, batch: ColumnBatch, parts: Sequence[tuple[NDArray[np.intp] | None, list[bytes]]], unscored: list[Unscored]
    ) -> list[Output]:
        """Results in source order, so that records of one key keep theirs, whichever models scored them."""
        parts = [part for part in parts if part[1]]
        if not parts:
            return []
        positions, values = parts[0]
        if len(parts) > 1:
            everywhere = np.concatenate([rows for rows, _ in parts if rows is not None])
            joined = [value for _, some in parts for value in some]
            order = np.argsort(everywhere, kind="stable")
            positions, values = everywhere[order], [joined[i] for i in order.tolist()]
        keys = batch.keys
        if keys is not None and positions is not None:
            keys = [keys[i] for i in positions.tolist()]
        limit = self.plan.max_result_bytes - RESULT_OVERHEAD_BYTES
        if max(map(len, values)) > limit - (max(len(key or b"") for key in keys) if keys else 0):
            positions, keys, values = self._fitting(batch, positions, keys, values, unscored)
            if not values:
                return []
        headers = None if self._headers is None else self._headers.for_rows(batch, positions)
        return [Output(self.plan.result_topic, keys, values, headers)]

    def _fitting(
        self,
        batch: ColumnBatch,
        positions: NDArray[np.intp] | None,
        keys: Sequence[bytes | None] | None,
        values: list[bytes],
        unscored: list[Unscored],
    ) -> tuple[NDArray[np.intp], list[bytes | None] | None, list[bytes]]:
        limit = self.plan.max_result_bytes - RESULT_OVERHEAD_BYTES
        where = np.arange(len(batch)) if positions is None else positions
        sizes = [len(value) + (len(keys[i] or b"") if keys else 0) for i, value in enumerate(values)]
        for row, size in zip(where.tolist(), sizes, strict=True):
            if size > limit:
                reason = f"the result has {size:,} bytes with its key; {self.plan.result_topic} takes {limit:,}"
                unscored.append(Unscored(row, "result", reason))
        fits = [i for i, size in enumerate(sizes) if size <= limit]
        return where[fits], [keys[i] for i in fits] if keys else None, [values[i] for i in fits]

    def _dead_letters(self, batch: ColumnBatch, unscored: Sequence[Unscored]) -> Output:
        ordered = sorted(unscored, key=lambda item: item.row)
        keys, values = self._results.dead_letters(self.plan.name, self._worker, batch, ordered, int(time.time() * 1000))
        return Output(self.plan.dead_letter_topic, keys, values)


def _taken(values: Sequence[int], rows: NDArray[np.intp] | None) -> NDArray[np.int64]:
    column = np.arange(values.start, values.stop) if isinstance(values, range) else np.asarray(values, np.int64)
    return column if rows is None else column[rows]


def _text_column(raw: Sequence[bytes | None]) -> TextColumn:
    index = {key: i for i, key in enumerate(dict.fromkeys(raw))}
    return TextColumn(np.fromiter(map(index.__getitem__, raw), np.int64, len(raw)), [_text(key) for key in index])


def _text(key: bytes | None) -> str:
    """Empty for what is no name: `Pipeline` takes an empty name as missing."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""


def _header(headers: Sequence[tuple[str, bytes | None]] | None, name: str) -> bytes | None:
    return next((value for key, value in reversed(headers or ()) if key == name), None)
