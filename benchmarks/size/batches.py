"""What a record costs in the worker's own process by the size of the batch, of the record, and of what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.size.models import frozen_graph
from benchmarks.size.records import Encoding, data_type, make_records, spread
from benchmarks.size.scoring import TOPIC, Log, cost, pipeline, routed, score, shared
from benchmarks.stand_in import Batch
from serving.scorers.base import Artifact, LoadLimits, Scorer
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.warm_up import warm_scorer

BATCH_RECORDS = (1, 10, 100, 1_000, 2_000, 10_000)
TYPES = (1, 10, 100, 1_000)
ENTITIES = (1, 10, 100, 1_000, 10_000)
MORE_BYTES = (0, 900, 99_900)
_TYPICAL = 2_000
_LONG = 200  # records of 100 kB, 20 MB together

Row = tuple[str, int, float, float]
"""What grows, how large it is, best and median CPU microseconds a record."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One batch through one pipeline."""

    log: Log
    values: list[bytes]
    keys: list[bytes | None]
    encoding: Encoding = "protobuf"


def rows() -> Iterator[Row]:
    """All measurements, one after the other, as they come."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    scorer = warm_scorer(read_frozen_graph(Artifact(frozen_graph(1))), LoadLimits())
    try:
        for count in BATCH_RECORDS:
            yield _row("records in a batch", count, _of_types(1, count), scorer)
        for how in ("evenly", "zipf"):
            for types in TYPES:
                yield _row(f"data types in a batch of 2,000, {how}", types, _of_types(types, _TYPICAL, how), scorer)
        for arms, plan in ((1, "one arm"), (3, "three arms")):
            for entities in ENTITIES:
                yield _row(f"entities in a batch of 10,000, {plan}", entities, _of_entities(arms, entities), scorer)
        for encoding in ("protobuf", "json"):
            for more in MORE_BYTES:
                case = _of_bytes(encoding, more)
                yield _row(f"bytes of a record, {encoding}", len(case.values[0]), case, scorer)
    finally:
        scorer.close()


def _row(what: str, size: int, case: _Case, scorer: Scorer) -> Row:
    through = pipeline(case.log, scorer, case.encoding)
    batch = Batch(case.values, case.keys, TOPIC)
    results = score(through, batch)
    if results != len(batch):
        raise RuntimeError(f"{what} {size}: {results} results for {len(batch)} records")
    best, median = cost(lambda: score(through, batch), len(batch))
    return what, size, best, median


def _of_types(types: int, count: int, how: Literal["evenly", "zipf"] | str = "evenly") -> _Case:
    values = make_records(spread(types, count, "zipf" if how == "zipf" else "evenly"))
    return _Case(routed(types), values, [None] * count)


def _of_entities(arms: int, entities: int) -> _Case:
    count = max(ENTITIES)
    keys: list[bytes | None] = [f"machine-{place % entities}".encode() for place in range(count)]
    return _Case(shared(arms), make_records([data_type(0)] * count), keys)


def _of_bytes(encoding: Encoding, more: int) -> _Case:
    count = _TYPICAL if more < 10_000 else _LONG
    values = make_records([data_type(0)] * count, encoding, more)
    return _Case(routed(1), values, [None] * count, encoding)
