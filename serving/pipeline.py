"""One stream's way from a batch of records to its outcomes: decode, route, score, encode. No I/O.

    open    bytes -> columns -> one `Work` for each data type of the batch, each with its model leased;
            what cannot be scored is on the side road already
    score   the work's features -> predictions, wherever the agent lets it run
    close   predictions -> results and dead letters; the leases are given back

Everything is per batch but the bad records. `open` and `close` run on the event loop's thread; `score` may run on any
one thread at a time for a model. A batch with one data type, the common case, is never split or joined.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Features, Predictions
from serving.core.grouping import Rows, groups_of, text_column
from serving.core.isolation import score_isolated
from serving.core.outcomes import Unscored
from serving.core.scored import scored
from serving.feed.batch import ColumnBatch, Header, Output
from serving.formats.base import DecodedBatch, Provenance, RecordFormat, ResultFormat, ScoredColumns
from serving.formats.headers import ResultHeaders
from serving.live import LiveModel, LiveModels
from serving.outputs import Encoded, RowsTooLarge, dead_letter_output, result_output

RouteKind = Literal["field", "record_key", "header", "constant"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one model did with one batch, for the statistics.

    Attributes:
        model: Who scored.
        records: Records given to it.
        errors: Those of them that it failed on.
        seconds: Time that it took.
        timestamps_ms: Record timestamps, -1 where there is none.
    """

    model: LiveModel
    records: int
    errors: int
    seconds: float
    timestamps_ms: NDArray[np.int64]


Observe = Callable[[Observation], None]
"""Called on the loop's thread, once for each model of a batch; must be quick."""


CountDeadLetters = Callable[[str, int], None]
"""Called on the loop's thread with a stage and how many records failed there."""


@dataclass(slots=True)
class Work:
    """The records of a batch that one model scores.

    Attributes:
        model: Leased until `Pipeline.close`.
        rows: Positions in the batch.
        features: One row a record.
        predictions: Set by `score`.
        seconds: Set by `score`.
    """

    model: LiveModel
    rows: Rows
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
        keeps_headers: Results carry the headers of their records.
    """

    name: str
    route: RouteKind
    route_name: str
    route_text: int
    feature_texts: tuple[int, ...]
    result_topic: str
    dead_letter_topic: str
    keeps_headers: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """See the module.

    Attributes:
        plan: Of the stream.
        records: Decodes its records.
        results: Encodes its results.
        headers: Makes their headers, if they have any.
        live: What serves.
        worker: Worker id.
        observe: Takes the statistics.
        count_dead_letters: Takes a stage and a number of records that failed there.
        too_large: Finds results that their topic would not take.
    """

    plan: StreamPlan
    records: RecordFormat
    results: ResultFormat
    headers: ResultHeaders | None
    live: LiveModels
    worker: str
    observe: Observe
    count_dead_letters: CountDeadLetters
    too_large: RowsTooLarge

    def open(self, batch: ColumnBatch) -> Opened:
        """Decode and route. The models that are live now score this batch, whatever is swapped in meanwhile."""
        decoded = self.records.decode(batch.values)
        opened = Opened(batch, [], [Unscored(bad.row, bad.stage, bad.reason) for bad in decoded.bad])
        for data_type, rows in self._routed(batch, decoded):
            if not data_type:
                opened.unscored += _unrouted(decoded, rows, data_type, self._nameless())
                continue
            model = self.live.lease(data_type)
            if model is None:
                opened.unscored += _unrouted(decoded, rows, data_type, f"no model serves data type {data_type!r}")
            elif self.plan.name not in model.bindings:
                self.live.give_back(model)
                why = model.unbound.get(self.plan.name, "its inputs were not bound")
                reason = f"{model.model} v{model.version} cannot take this stream's records: {why}"
                opened.unscored += _unrouted(decoded, rows, data_type, reason)
            else:
                opened.works.append(self._work(model, decoded, rows))
        return opened

    def close(self, opened: Opened) -> list[Output]:
        """Encode what was scored, give the models back, and say what became of every record of the batch."""
        batch, unscored = opened.batch, opened.unscored
        parts = []
        for work in opened.works:
            parts.append(self._encoded(batch, work, unscored))
            self.live.give_back(work.model)
        output, refused = result_output(self.plan.result_topic, batch, parts, self.too_large)
        unscored += refused
        outputs = [] if output is None else [output]
        if unscored:
            for stage, count in Counter(item.stage for item in unscored).items():
                self.count_dead_letters(stage, count)
            topic = self.plan.dead_letter_topic
            outputs.append(dead_letter_output(topic, self.plan.name, self.worker, batch, unscored, self.too_large))
        return outputs

    def abandon(self, opened: Opened) -> None:
        """Give the models back without results: the worker is going down."""
        for work in opened.works:
            self.live.give_back(work.model)

    def _routed(self, batch: ColumnBatch, decoded: DecodedBatch) -> list[tuple[str, Rows]]:
        """Data types, with positions among the decoded rows."""
        if not len(decoded.rows):
            return []
        match self.plan.route:
            case "constant":
                return [(self.plan.route_name, None)]
            case "field":
                return groups_of(decoded.texts[self.plan.route_text])
            case "record_key":
                return groups_of(text_column([batch.keys[i] for i in decoded.rows.tolist()]))
            case "header":
                headers: Sequence[Sequence[Header] | None] = batch.headers or [None] * len(batch)
                return groups_of(
                    text_column([_header(headers[i], self.plan.route_name) for i in decoded.rows.tolist()])
                )

    def _nameless(self) -> str:
        name = self.plan.route_name
        where = {"field": f"field `{name}`", "header": f"header `{name}`"}.get(self.plan.route, "the record's key")
        return f"{where} should name the data type and is missing, empty or not UTF-8"

    def _work(self, model: LiveModel, decoded: DecodedBatch, rows: Rows) -> Work:
        matrix, texts = decoded.matrix, [decoded.texts[i] for i in self.plan.feature_texts]
        positions: Rows = decoded.rows if decoded.bad else None
        if rows is not None:
            matrix, texts, positions = matrix[rows], [text.take(rows) for text in texts], decoded.rows[rows]
        return Work(model, positions, model.bindings[self.plan.name].features(matrix, texts))

    def _encoded(self, batch: ColumnBatch, work: Work, unscored: list[Unscored]) -> Encoded:
        model, rows, failures = work.model, work.rows, work.predictions.failures
        timestamps = _column(batch.timestamps, rows)
        self.observe(Observation(model, len(work.features), len(failures), work.seconds, timestamps))
        offsets = _column(batch.offsets, rows)
        kept: Rows = None
        if failures:
            positions = np.arange(len(batch)) if rows is None else rows
            unscored += [
                Unscored(int(positions[i]), "score", reason, model.data_type, model.model, model.version)
                for i, reason in failures.items()
            ]
            kept = np.array([i for i in range(len(work.features)) if i not in failures], np.intp)
            rows, offsets, timestamps = positions[kept], offsets[kept], timestamps[kept]
            if not len(kept):
                return Encoded(rows, [], None)
        values = scored(model.scorer.signature, work.predictions)
        if kept is not None:
            values = values.take(kept)
        columns = ScoredColumns(offsets, timestamps, values.prediction, values.label, values.scores)
        provenance = Provenance(
            model.model,
            model.version,
            model.sha256,
            model.data_type,
            batch.topic,
            batch.partition,
            model.control_offset,
            self.worker,
        )
        headers = None
        if self.headers is not None:
            headers = self.headers(provenance, columns, self._record_headers(batch, rows))
        return Encoded(rows, self.results.encode(provenance, columns), headers)

    def _record_headers(self, batch: ColumnBatch, rows: Rows) -> Sequence[Sequence[Header]]:
        if not self.plan.keeps_headers or batch.headers is None:
            return ()
        positions = range(len(batch)) if rows is None else rows.tolist()
        return [batch.headers[i] or () for i in positions]


def _column(values: Sequence[int], rows: Rows) -> NDArray[np.int64]:
    column = np.arange(values.start, values.stop) if isinstance(values, range) else np.array(values, np.int64)
    return column if rows is None else column[rows]


def _unrouted(decoded: DecodedBatch, rows: Rows, data_type: str, reason: str) -> list[Unscored]:
    positions = decoded.rows if rows is None else decoded.rows[rows]
    return [Unscored(row, "route", reason, data_type) for row in positions.tolist()]


def _header(headers: Sequence[Header] | None, name: str) -> bytes | None:
    return next((value for key, value in reversed(headers or ()) if key == name), None)
