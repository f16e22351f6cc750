"""Results of several models encoded together are those of each model by itself, in the order of the records."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from formats_reference import doubles, words
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.core.columns import TextColumn
from serving.core.scored import Scored
from serving.encoding import Part, ResultEncoder
from serving.feed.batch import Segment
from serving.formats import open_result_format
from serving.formats.base import DecodedBatch, Provenance, ScoredColumns
from serving.formats.headers import result_headers
from serving.work import Opened

PROVENANCE = Provenance(
    "wine", 3, bytes(range(32)), "wine", "wine.records", 0, 17, "w1", route="wine", reason="primary"
)


@dataclass
class Batch:
    """What encoding needs of a batch."""

    segments: list[Segment]
    offsets: Any
    timestamps: Any
    headers: list[Any] | None
    topic: str = "wine.records"
    values: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)


def opened(count: int, partitions: int, first: int, with_headers: bool) -> Opened:
    cuts = [count * number // partitions for number in range(partitions + 1)]
    segments = [Segment(number, cuts[number], cuts[number + 1]) for number in range(partitions)]
    segments = [segment for segment in segments if segment.start < segment.stop]
    headers = [[("row", b"%d" % row)] if row % 3 else None for row in range(count)] if with_headers else None
    batch = Batch(segments, np.arange(first, first + count), np.arange(count) + 1_763_700_000_000, headers)
    decoded = DecodedBatch(np.empty((count, 0)), (), np.arange(count), [])
    return Opened(batch, decoded, [], [], [])  # type: ignore[arg-type]  # it has what encoding needs


@st.composite
def values(draw: st.DrawFn, count: int) -> Scored:
    """What a model says of so many records, in one of a few forms."""
    rnd = draw(st.randoms(use_true_random=False))
    has_prediction, has_label, width = draw(
        st.sampled_from(
            [(True, False, None), (True, True, None), (False, True, None), (False, False, 2), (True, True, 3)]
        )
    )
    pool = draw(st.lists(doubles, min_size=1, max_size=3))
    labels = draw(
        st.sampled_from([["red", "white"], ["white"], ["rosé", "red", ""]]) | st.lists(words, min_size=1, max_size=4)
    )
    return Scored(
        np.array([rnd.choice(pool) for _ in range(count)]) if has_prediction else None,
        TextColumn(np.array([rnd.randrange(-1, len(labels)) for _ in range(count)]), labels) if has_label else None,
        None if width is None else np.array([rnd.choice(pool) for _ in range(count * width)]).reshape(count, width),
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[Opened, list[Part]]:
    """A batch and its parts: one for all, each record in one, or in several and in none."""
    count = draw(st.sampled_from([1, 5, 40, 300]))
    batch = opened(
        count, draw(st.integers(1, 3)), draw(st.sampled_from([0, 100, 16_000])), with_headers=draw(st.booleans())
    )
    models = draw(st.integers(1, 5))
    rnd = draw(st.randoms(use_true_random=False))
    if draw(st.booleans()):
        model_of = [rnd.randrange(models) for _ in range(count)]
        rows = [[row for row in range(count) if model_of[row] == model] for model in range(models)]
    else:
        rows = [sorted(rnd.sample(range(count), rnd.randint(1, count))) for _ in range(models)]
    parts = []
    for model, of_model in enumerate(rows):
        name = "m" * draw(st.integers(1, 3))
        provenance = replace(
            PROVENANCE,
            partition=batch.batch.segments[0].partition,
            model=name,
            model_version=draw(st.integers(1, 300)),
            data_type=f"{name}-{model}",
            control_offset=model,
            arm=draw(st.sampled_from(["", "b"])),
            decider=draw(st.sampled_from(["", "vote"])),
        )
        if of_model:
            all_rows = len(of_model) == count and draw(st.booleans())
            chosen = None if all_rows else np.array(of_model, np.intp)
            parts.append(Part(chosen, provenance, draw(values(len(of_model)))))
    return batch, parts


@settings(deadline=None, max_examples=150)
@given(batches(), st.sampled_from(["protobuf", "json"]), st.sampled_from(["none", "cloudevents", "passthrough"]))
def test_each_result_is_what_its_model_alone_would_have_given(
    drawn: tuple[Opened, list[Part]], kind: str, policy: Any
) -> None:
    batch, parts = drawn
    results = open_result_format(kind)
    make_headers = result_headers(policy, stream="wine", content_type=results.content_type)
    keeps = policy == "passthrough"

    encoded = ResultEncoder(results, make_headers, keeps).encoded(batch, parts)

    assert (encoded is None) == (not parts)
    if encoded is None:
        return
    rows = range(len(batch.batch)) if encoded.rows is None else encoded.rows.tolist()
    assert list(rows) == sorted(rows)
    expected = []
    for number, part in enumerate(parts):
        of_part = list(range(len(batch.batch))) if part.rows is None else part.rows.tolist()
        for i, row in enumerate(of_part):
            columns = _one(batch, row, part.values.take(np.array([i])))
            [value] = results.encode(part.provenance, columns)
            own: Any = None
            if make_headers is not None:
                records = [(batch.batch.headers[row] or ())] if keeps and batch.batch.headers is not None else []
                own = [list(each) for each in make_headers(part.provenance, columns, records)] or None
            expected.append((row, number, value, own))
    found = [(row, bytes(value)) for row, value in zip(rows, encoded.values, strict=True)]
    assert sorted(found) == sorted((row, value) for row, _, value, _ in expected)
    if len({part.values.form for part in parts}) == 1:
        assert found == [(row, value) for row, _, value, _ in sorted(expected, key=lambda each: each[:2])]
    if make_headers is not None and encoded.headers:
        told = [
            (row, bytes(value), list(own))
            for row, value, own in zip(rows, encoded.values, encoded.headers, strict=True)
        ]
        assert sorted(told, key=repr) == sorted(((row, value, own[0]) for row, _, value, own in expected), key=repr)


def _one(batch: Opened, row: int, value: Scored) -> ScoredColumns:
    """A record alone, with the partition of its segment."""
    partition = next(each.partition for each in batch.batch.segments if each.start <= row < each.stop)
    return ScoredColumns(
        batch.offsets[[row]], batch.timestamps_ms[[row]], value.prediction, value.label, value.scores,
        np.array([partition], np.int32),
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.lists(words, min_size=1, max_size=4, unique=True), st.lists(st.integers(-1, 0))), min_size=1)
)
def test_joined_texts_are_the_texts_one_after_the_other(parts: list[tuple[list[str], list[int]]]) -> None:
    columns = [TextColumn(np.array(codes, np.int64), values) for values, codes in parts]

    joined = TextColumn.joined(columns)

    def texts(column: TextColumn) -> list[str | None]:
        return [column.values[code] if code >= 0 else None for code in column.codes.tolist()]

    assert texts(joined) == [text for column in columns for text in texts(column)]
    assert len(set(joined.values)) == len(joined.values) or len(columns) == 1


@pytest.mark.parametrize("form", [(True, False, None), (False, True, None), (False, False, 2)])
def test_as_many_values_as_there_are_records(form: tuple[bool, bool, int | None]) -> None:
    prediction, label, width = form
    value = Scored(
        np.zeros(3) if prediction else None,
        TextColumn(np.zeros(3, np.int64), ["a"]) if label else None,
        None if width is None else np.zeros((3, width)),
    )

    assert (len(value), value.form) == (3, form)
    assert len(Scored.joined([value, value])) == 6
