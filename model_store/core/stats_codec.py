"""Statistics as bytes: MessagePack arrays, compact, and read by field position, so fields are only ever appended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from model_store.core.decider_counts import ArmCounts, DeciderCounts, DeciderKey
from model_store.core.histogram import Histogram
from model_store.core.pairs import PairCounts
from model_store.core.sketch import PredictionCounts
from model_store.core.stats import Series, Statistics


class StatisticsCodecError(ValueError):
    """The bytes are not statistics that this version can read."""


class _Row(msgspec.Struct, array_like=True, frozen=True):
    model: str
    version: int
    data_type: str
    count: int
    errors: int
    duration_ns: int
    min_ns: int | None
    max_ns: int | None
    score: dict[int, int]
    latency: dict[int, int]
    first_ms: int | None
    last_ms: int | None
    # What is below is missing in rows of earlier versions.
    batches: dict[int, int] = {}
    labels: dict[str, int] = {}
    other_labels: dict[int, int] = {}
    numbers: dict[int, int] = {}
    missing: int = 0
    pairs: int = 0
    disagreements: int = 0
    difference_nano: int = 0
    excess: int = 0


class _Arm(msgspec.Struct, array_like=True, frozen=True):
    chosen: int
    answered: int
    late: int
    failed: int


class _Decider(msgspec.Struct, array_like=True, frozen=True):
    route: str
    decider: str
    decided: int
    unanswered: int
    undecidable: int
    arms: dict[str, _Arm]
    waiting: dict[int, int]


class _Sheet(msgspec.Struct, array_like=True, frozen=True):
    rows: list[_Row]
    dead_letters: dict[str, int] = {}
    deciders: list[_Decider] = []


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Sheet)


def encode_statistics(
    series: Mapping[Series, Statistics],
    dead_letters: Mapping[str, int] | None = None,
    deciders: Mapping[DeciderKey, DeciderCounts] | None = None,
) -> bytes:
    """Statistics by series, dead letters by stage, and what deciders did by route and decider."""
    rows = [
        _Row(
            *key,
            part.count,
            part.errors,
            part.duration_ns,
            part.min_ns,
            part.max_ns,
            dict(part.score.counts),
            dict(part.latency.counts),
            part.first_ms,
            part.last_ms,
            dict(part.batches.counts),
            dict(part.predictions.labels),
            dict(part.predictions.other),
            dict(part.predictions.numbers),
            part.predictions.missing,
            part.pairs.pairs,
            part.pairs.disagreements,
            part.pairs.difference_nano,
            part.predictions.excess,
        )
        for key, part in series.items()
    ]
    return _ENCODER.encode(_Sheet(rows, dict(dead_letters or {}), _decider_rows(deciders or {})))


def decode_statistics(
    data: bytes,
) -> tuple[dict[Series, Statistics], dict[str, int], dict[DeciderKey, DeciderCounts]]:
    """What `encode_statistics` was given.

    Raises:
        StatisticsCodecError: `data` is something else.
    """
    try:
        sheet = _DECODER.decode(data)
    except msgspec.DecodeError as error:
        raise StatisticsCodecError(f"not statistics: {error}") from error
    series = {
        Series(row.model, row.version, row.data_type): Statistics(
            row.count,
            row.errors,
            row.duration_ns,
            row.min_ns,
            row.max_ns,
            Histogram(row.score),
            Histogram(row.latency),
            row.first_ms,
            row.last_ms,
            Histogram(row.batches),
            PredictionCounts(row.labels, row.other_labels, row.numbers, row.missing, row.excess),
            PairCounts(row.pairs, row.disagreements, row.difference_nano),
        )
        for row in sheet.rows
    }
    deciders = {
        DeciderKey(row.route, row.decider): DeciderCounts(
            row.decided,
            row.unanswered,
            row.undecidable,
            {name: ArmCounts(arm.chosen, arm.answered, arm.late, arm.failed) for name, arm in row.arms.items()},
            Histogram(row.waiting),
        )
        for row in sheet.deciders
    }
    return series, sheet.dead_letters, deciders


def _decider_rows(deciders: Mapping[DeciderKey, DeciderCounts]) -> list[_Decider]:
    return [
        _Decider(
            *key,
            part.decided,
            part.unanswered,
            part.undecidable,
            {name: _Arm(arm.chosen, arm.answered, arm.late, arm.failed) for name, arm in part.arms.items()},
            dict(part.waiting.counts),
        )
        for key, part in deciders.items()
    ]
