"""Messages encoded from columns are byte for byte what the protobuf runtime writes."""

from dataclasses import asdict
from typing import Any

import numpy as np
from formats_reference import MIXED, Inner, Mixed, doubles, floats, int32s, int64s, uint32s, uint64s, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelserving.v1 import records_pb2

from serving.core.columns import TextColumn
from serving.formats.base import Provenance, ScoredColumns, Supersedes
from serving.formats.message_encoder import MessageEncoder, Variants
from serving.formats.results import REASONS, ProtobufResults

COLUMNS: dict[str, tuple[st.SearchStrategy[Any], type]] = {
    "i32": (int32s, np.int32), "i64": (int64s, np.int64), "u32": (uint32s, np.uint32), "u64": (uint64s, np.uint64),
    "s32": (int32s, np.int64), "s64": (int64s, np.int64), "f32": (uint32s, np.uint32), "f64": (uint64s, np.uint64),
    "sf32": (int32s, np.int32), "sf64": (int64s, np.int64), "fl": (floats, np.float32), "db": (doubles, np.float64),
    "b": (st.booleans(), np.bool_), "color": (int32s, np.int32), "opt": (doubles, np.float64),
    "c_i": (int64s, np.int64),
}  # fmt: skip

encoder = MessageEncoder(MIXED, fewest_messages=0)


@st.composite
def columns(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Columns, and the same as the fields of each message."""
    count = draw(st.integers(0, 40))
    rnd = draw(st.randoms(use_true_random=False))
    given_columns: dict[str, Any] = {}
    rows: list[dict[str, Any]] = [{} for _ in range(count)]

    def put(name: str, column: Any, cells: list[Any]) -> None:
        given_columns[name] = column
        for row, cell in zip(rows, cells, strict=True):
            if cell is not None:
                row[name] = cell

    few = draw(st.booleans())
    for name in draw(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=4, unique=True)):
        strategy, dtype = COLUMNS[name]
        pool = draw(st.lists(strategy, min_size=1, max_size=2 if few else 40))
        column = np.array([rnd.choice(pool) for _ in range(count)], dtype)
        put(name, column, column.tolist())
    for name in draw(st.lists(st.sampled_from(["st", "ostr", "c_s"]), max_size=2, unique=True)):
        if name == "c_s" and "c_i" in given_columns:
            continue
        values = draw(st.lists(words, min_size=1, max_size=2 if few else 40, unique=True))
        codes = [rnd.randrange(-1, len(values)) for _ in range(count)]
        put(name, TextColumn(np.array(codes, np.int64), values), [values[c] if c >= 0 else None for c in codes])
    if draw(st.booleans()):
        width = draw(st.integers(0, 20))
        vectors = np.array(draw(st.lists(floats, min_size=1)) * (count * width), np.float64)[: count * width]
        put("embd", vectors.reshape(count, width), vectors.reshape(count, width).tolist())
    if draw(st.booleans()):
        value = draw(st.binary(max_size=200))
        put("by", value, [value] * count)
    return given_columns, rows


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns())
def test_every_batch_is_encoded_as_the_runtime_does(drawn: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    given_columns, rows = drawn

    encoded = encoder.encode(len(rows), given_columns)

    assert encoded == [Mixed(**row).SerializeToString(deterministic=True) for row in rows]


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "i32": int32s, "u64": uint64s, "db": doubles, "st": words, "ostr": words, "by": st.binary(max_size=300),
    "b": st.booleans(), "inner": st.builds(Inner, s=words, x=doubles),
}  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    drawn=columns(),
    repeats=st.integers(1, 25),
    singles=st.lists(st.dictionaries(st.sampled_from(sorted(SCALARS)), st.none(), max_size=4), min_size=1, max_size=8),
    data=st.data(),
    rnd=st.randoms(use_true_random=False),
)
def test_messages_of_several_variants_are_what_the_runtime_writes(
    drawn: tuple[dict[str, Any], list[dict[str, Any]]],
    repeats: int,
    singles: list[dict[str, None]],
    data: st.DataObject,
    rnd: Any,
) -> None:
    """Variants in turn, in long stretches, or anyhow; with scalars of their own, of any length, or none."""
    given_columns, rows = drawn
    count = len(rows)
    chosen = [name for name in SCALARS if name not in given_columns]
    scalars = [{name: data.draw(SCALARS[name]) for name in names if name in chosen} for names in singles]
    if rnd.random() < 0.5:
        of_row = [row // repeats % len(scalars) for row in range(count)]
    else:
        of_row = [rnd.randrange(len(scalars)) for _ in range(count)]

    encoded = encoder.encode(count, given_columns, Variants(scalars, np.array(of_row, np.int64)))

    expected = [
        Mixed(**row, **scalars[which]).SerializeToString(deterministic=True)
        for row, which in zip(rows, of_row, strict=True)
    ]
    assert encoded == expected
    singly = MessageEncoder(MIXED, fewest_messages=1000)
    assert singly.encode(count, given_columns, Variants(scalars, np.array(of_row, np.int64))) == expected


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns())
def test_small_batches_are_encoded_as_large_ones(drawn: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    given_columns, rows = drawn

    singly = MessageEncoder(MIXED, fewest_messages=1000).encode(len(rows), given_columns)

    assert singly == encoder.encode(len(rows), given_columns)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.sampled_from([0, 100, 127, 16_383, 2_097_100, 2**40]),
    timestamp=st.sampled_from([-1, 0, 1_763_700_000_000]),
    predictions=st.lists(doubles, min_size=1, max_size=200),
    labels=st.none() | st.lists(words, max_size=30, unique=True),
    width=st.none() | st.integers(0, 12),
    rnd=st.randoms(use_true_random=False),
)
def test_results_are_the_messages_that_the_runtime_writes(
    first: int, timestamp: int, predictions: list[float], labels: list[str] | None, width: int | None, rnd: Any
) -> None:
    count = len(predictions)
    provenance = Provenance(
        "wine-quality", 3, bytes(range(32)), "wine", "wine.records", rnd.choice([0, 7]), 12, "w1",
        arm=rnd.choice(["", "b"]), route=rnd.choice(["", "*"]), reason=rnd.choice(["", "dark", "corrected"]),
        supersedes=rnd.choice([None, Supersedes("c", "wine-quality", 2, 7)]), decider=rnd.choice(["", "vote"]),
    )  # fmt: skip
    label = None
    if labels is not None:
        label = TextColumn(np.array([rnd.randrange(-1, len(labels)) for _ in predictions], np.int64), labels)
    scored = ScoredColumns(
        offsets=np.arange(first, first + count),
        record_timestamps_ms=np.full(count, timestamp),
        prediction=np.array(predictions) if rnd.random() < 0.7 else None,
        label=label,
        scores=None if width is None else np.array([[rnd.random() for _ in range(width)] for _ in predictions]),
    )

    encoded = ProtobufResults().encode(provenance, scored)

    assert encoded == [_result(provenance, scored, row) for row in range(count)]


def _result(provenance: Provenance, scored: ScoredColumns, row: int) -> bytes:
    optional: dict[str, Any] = {}
    if scored.prediction is not None:
        optional["prediction"] = float(scored.prediction[row])
    if scored.label is not None and scored.label.codes[row] >= 0:
        optional["label"] = scored.label.values[scored.label.codes[row]]
    if scored.scores is not None:
        optional["scores"] = scored.scores[row].tolist()
    if provenance.supersedes is not None:
        optional["supersedes"] = asdict(provenance.supersedes)
    return records_pb2.ScoreResult(
        model=provenance.model,
        model_version=provenance.model_version,
        sha256=provenance.sha256,
        data_type=provenance.data_type,
        topic=provenance.topic,
        partition=provenance.partition,
        control_offset=provenance.control_offset,
        worker=provenance.worker,
        arm=provenance.arm,
        route=provenance.route,
        reason=REASONS[provenance.reason],
        decider=provenance.decider,
        offset=int(scored.offsets[row]),
        record_timestamp_ms=int(scored.record_timestamps_ms[row]),
        **optional,
    ).SerializeToString(deterministic=True)


def test_a_number_too_large_for_its_field_is_infinite_in_few_messages_as_in_many() -> None:
    column = np.array([1e300, -1e300, 1.5, 0.1])

    few = MessageEncoder(MIXED, fewest_messages=1000).encode(4, {"fl": column})

    assert few == encoder.encode(4, {"fl": column})
    assert few == [Mixed(fl=value).SerializeToString() for value in (np.inf, -np.inf, 1.5, 0.1)]
