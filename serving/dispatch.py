"""From decoded records to the work of models: by data type, by the plan of their offsets, by arm.

The common batch, of one data type under one plan with one arm, becomes one `Work` without anything being split. All of it
runs on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.core.active_plan import ActiveArm, ActivePlan, Share, shares
from serving.core.columns import TextColumn
from serving.core.grouping import Rows, groups_of, text_column, within
from serving.core.outcomes import Unscored
from serving.feed.batch import Records, Segment
from serving.feed.runs import Header
from serving.formats.base import DecodedBatch, Reason
from serving.live import LiveModel, LiveModels
from serving.routing import Routing, Stretch
from serving.work import Ballot, Opened, Purpose, Work

RouteKind = Literal["field", "record_key", "header", "constant"]
EntityKind = Literal["field", "record_key", "header"]


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
        dark_topic: Where the results of dark versions go.
        entity: Where a record's entity is found.
        entity_name: The field's or header's.
        entity_text: Index of the entity field among the decoded texts, if `entity` is `field`.
        numbers: Names of the matrix columns.
        texts: Names of the decoded texts.
    """

    name: str
    route: RouteKind
    route_name: str
    route_text: int
    feature_texts: tuple[int, ...]
    result_topic: str
    dead_letter_topic: str
    keeps_headers: bool = False
    dark_topic: str = ""
    entity: EntityKind = "record_key"
    entity_name: str = ""
    entity_text: int = -1
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """See the module.

    Attributes:
        plan: Of the stream.
        routing: Which plan scores which record.
        live: What is loaded.
    """

    plan: StreamPlan
    routing: Routing
    live: LiveModels

    def opened(self, batch: Records, decoded: DecodedBatch) -> Opened:
        """All records of a batch, each in a work, a ballot or among the unscored. The models are leased."""
        opened = Opened(batch, decoded, [], [], [Unscored(bad.row, bad.stage, bad.reason) for bad in decoded.bad])
        for data_type, taken in by_data_type(self.plan, batch.keys, batch.headers, decoded):
            if not data_type:
                opened.unscored += self._unscored(decoded, taken, "route", self._nameless())
                continue
            for plan, rows in self._by_offset(opened, taken, data_type):
                if plan is None:
                    reason = f"no model serves data type {data_type!r}"
                    opened.unscored += self._unscored(decoded, rows, "route", reason, data_type)
                else:
                    self._give(opened, plan, data_type, rows)
        return opened

    def try_fallback(self, opened: Opened, plan: ActivePlan, data_type: str, taken: Rows) -> Work | None:
        """The plan's fallback for some records."""
        if plan.fallback is None:
            return None
        model = self._lease(plan.fallback)
        if isinstance(model, str):
            return None
        return self._work(opened, "fallback", model, plan.fallback, plan, data_type, "fallback", taken)

    # ------------------------------------------------------------------ splitting

    def _by_offset(self, opened: Opened, taken: Rows, data_type: str) -> list[tuple[ActivePlan | None, Rows]]:
        """The plans of the records; almost always one for all of them."""
        batch, decoded = opened.batch, opened.decoded
        stretches = [self._stretches(batch, segment, data_type) for segment in batch.segments]
        only = stretches[0][0].plan
        if all(len(each) == 1 and each[0].plan is only for each in stretches):
            return [(only, taken)]
        positions = decoded.rows if taken is None else decoded.rows[taken]
        found: dict[int, tuple[ActivePlan | None, list[NDArray[np.intp]]]] = {}
        for (_, start, stop), of_segment in zip(batch.segments, stretches, strict=True):
            first, end = np.searchsorted(positions, (start, stop)).tolist()
            offsets = opened.offsets[positions[first:end]]
            which = np.searchsorted([stretch.start for stretch in of_segment], offsets, side="right") - 1
            for number, stretch in enumerate(of_segment):
                chosen = first + np.flatnonzero(which == number)
                if len(chosen):
                    found.setdefault(id(stretch.plan), (stretch.plan, []))[1].append(chosen)
        return [(plan, within(taken, np.concatenate(parts))) for plan, parts in found.values()]

    def _stretches(self, batch: Records, segment: Segment, data_type: str) -> Sequence[Stretch]:
        first, last = int(batch.offsets[segment.start]), int(batch.offsets[segment.stop - 1])
        return self.routing.stretches((batch.topic, segment.partition), data_type, first, last)

    def _give(self, opened: Opened, plan: ActivePlan, data_type: str, taken: Rows) -> None:
        count = len(opened.decoded.rows) if taken is None else len(taken)
        for dark in plan.dark:
            self._add(opened, "dark", dark, plan, data_type, "dark", taken)
        if plan.decider:
            self._vote(opened, plan, data_type, taken, count)
            return
        found, failures = self._shares(opened, plan, taken, count)
        for row, reason in failures.items():
            one = within(taken, np.array([row], np.intp))
            opened.unscored += self._unscored(opened.decoded, one, "route", reason, data_type)
        for share in found:
            self._serve(opened, plan, data_type, share, within(taken, share.rows))

    def _shares(self, opened: Opened, plan: ActivePlan, taken: Rows, count: int) -> tuple[list[Share], dict[int, str]]:
        if not plan.chooses:
            return shares(plan, (), {}, {}, count)
        numbers: dict[str, NDArray[np.float64]] = {}
        texts: dict[str, TextColumn] = {}
        if plan.rules:
            matrix = opened.decoded.matrix if taken is None else opened.decoded.matrix.take(taken, axis=0)
            columns = opened.decoded.texts
            numbers = {name: matrix[:, i] for i, name in enumerate(self.plan.numbers)}
            texts = {
                name: columns[i] if taken is None else columns[i].take(taken) for i, name in enumerate(self.plan.texts)
            }
        return shares(plan, self._entities(opened, taken), numbers, texts, count)

    def _entities(self, opened: Opened, taken: Rows) -> Sequence[bytes | None]:
        decoded, batch = opened.decoded, opened.batch
        positions = (decoded.rows if taken is None else decoded.rows[taken]).tolist()
        match self.plan.entity:
            case "record_key":
                return [batch.keys[i] for i in positions]
            case "header":
                return _headers(batch.headers, positions, self.plan.entity_name)
            case "field":
                column = decoded.texts[self.plan.entity_text]
                values = [*(value.encode() for value in column.values), None]  # the last is what code -1 finds
                codes = column.codes if taken is None else column.codes[taken]
                return [values[code] for code in codes.tolist()]

    # ------------------------------------------------------------------ works

    def _serve(self, opened: Opened, plan: ActivePlan, data_type: str, share: Share, taken: Rows) -> None:
        why = self._add(opened, "serve", plan.arms[share.arm], plan, data_type, share.reason, taken)
        if not why:
            return
        second = self.try_fallback(opened, plan, data_type, taken)
        if second is not None:
            opened.works.append(second)
        else:
            opened.unscored += self._unscored(opened.decoded, taken, "route", why, data_type)

    def _vote(self, opened: Opened, plan: ActivePlan, data_type: str, taken: Rows, count: int) -> None:
        works: list[Work | None] = []
        for arm in plan.arms:
            model = self._lease(arm)
            works.append(
                None
                if isinstance(model, str)
                else self._work(opened, "candidate", model, arm, plan, data_type, "decided", taken)
            )
        rows = self._positions(opened, taken)
        opened.ballots.append(Ballot(plan, data_type, taken, rows, count, works))

    def _add(
        self, opened: Opened, purpose: Purpose, arm: ActiveArm, plan: ActivePlan, data_type: str, reason: Reason,
        taken: Rows,
    ) -> str:  # fmt: skip
        """Add a work; returns why it cannot be."""
        model = self._lease(arm)
        if isinstance(model, str):
            return model
        opened.works.append(self._work(opened, purpose, model, arm, plan, data_type, reason, taken))
        return ""

    def _lease(self, arm: ActiveArm) -> LiveModel | str:
        """The model of an arm, leased, or why it cannot be had."""
        model = self.live.lease(arm.version)
        if model is None:
            return f"{arm.target} is not loaded on this worker"
        if self.plan.name in model.bindings:
            return model
        self.live.give_back(model)
        why = model.unbound.get(self.plan.name, "its inputs were not bound")
        return f"{model} cannot take this stream's records: {why}"

    def _work(
        self, opened: Opened, purpose: Purpose, model: LiveModel, arm: ActiveArm, plan: ActivePlan, data_type: str,
        reason: Reason, taken: Rows,
    ) -> Work:  # fmt: skip
        decoded = opened.decoded
        matrix, texts = decoded.matrix, [decoded.texts[i] for i in self.plan.feature_texts]
        if taken is not None:
            matrix, texts = matrix.take(taken, axis=0), [text.take(taken) for text in texts]
        features = model.bindings[self.plan.name].features(matrix, texts)
        return Work(purpose, model, arm, plan, data_type, reason, taken, self._positions(opened, taken), features)

    @staticmethod
    def _positions(opened: Opened, taken: Rows) -> Rows:
        """Positions in the batch of some of the decoded rows."""
        decoded = opened.decoded
        if taken is None:
            return decoded.rows if decoded.bad else None
        return decoded.rows[taken]

    def _nameless(self) -> str:
        name = self.plan.route_name
        where = {"field": f"field `{name}`", "header": f"header `{name}`"}.get(self.plan.route, "the record's key")
        return f"{where} should name the data type and is missing, empty or not UTF-8"

    @staticmethod
    def _unscored(
        decoded: DecodedBatch, taken: Rows, stage: Literal["route"], reason: str, data_type: str = ""
    ) -> list[Unscored]:
        positions = decoded.rows if taken is None else decoded.rows[taken]
        return [Unscored(row, stage, reason, data_type) for row in positions.tolist()]


def by_data_type(
    plan: StreamPlan,
    keys: Sequence[bytes | None],
    headers: Sequence[Sequence[Header] | None] | None,
    decoded: DecodedBatch,
) -> list[tuple[str, Rows]]:
    """The data types of a batch, each with positions among the decoded rows; "" is that of records that name none."""
    if not len(decoded.rows):
        return []
    match plan.route:
        case "constant":
            return [(plan.route_name, None)]
        case "field":
            return groups_of(decoded.texts[plan.route_text])
        case "record_key":
            return groups_of(text_column([keys[i] for i in decoded.rows.tolist()]))
        case "header":
            return groups_of(text_column(_headers(headers, decoded.rows.tolist(), plan.route_name)))


def _headers(
    headers: Sequence[Sequence[Header] | None] | None, positions: Sequence[int], name: str
) -> list[bytes | None]:
    return [_header(headers[i] if headers else None, name) for i in positions]


def _header(headers: Sequence[Header] | None, name: str) -> bytes | None:
    return next((value for key, value in reversed(headers or ()) if key == name), None)
