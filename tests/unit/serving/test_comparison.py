"""What two models differ in over the same records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from serving.core.columns import TextColumn
from serving.core.comparison import (
    MAX_CLASS_PAIRS,
    MAX_EXAMPLES,
    ClassChanges,
    Comparison,
    Missing,
    Side,
    compare,
    side_of,
)
from serving.core.scored import Scored

NAN = math.nan


def numbers(*values: float, missing: dict[int, Missing] | None = None) -> Side:
    return side_of(len(values), Scored(np.array(values, float), None, None), missing or {})


def labels(*values: str | None) -> Side:
    known = sorted({value for value in values if value is not None})
    codes = [known.index(value) if value is not None else -1 for value in values]
    return side_of(len(values), Scored(None, TextColumn(np.array(codes, np.int64), known), None), {})


def vectors(*rows: list[float]) -> Side:
    return side_of(len(rows), Scored(None, None, np.array(rows, float).reshape(len(rows), -1)), {})


def compared(baseline: Side, candidate: Side, **settings: Any) -> Comparison:
    return compare(3, np.arange(100, 100 + len(baseline)), baseline, candidate, **settings)


def test_a_model_is_identical_to_itself_also_where_it_says_nan() -> None:
    same = compared(numbers(1.5, NAN, -0.0, math.inf), numbers(1.5, NAN, -0.0, math.inf))

    assert (same.records, same.paired, same.identical, same.disagreements) == (4, 4, 4, 0)
    assert (same.deltas.count, same.deltas.lowest, same.deltas.highest) == (4, 0.0, 0.0)


def test_one_bit_is_a_difference() -> None:
    different = compared(numbers(1.0, 0.0), numbers(np.nextafter(1.0, 2), -0.0))

    assert different.identical == 0
    assert different.disagreements == 1  # -0.0 is the same number as 0.0


def test_deltas_are_candidate_minus_baseline() -> None:
    deltas = compared(numbers(1.0, 2.0, 3.0, 4.0), numbers(2.0, 2.0, 2.5, 8.0)).deltas

    assert (deltas.count, deltas.total, deltas.lowest, deltas.highest) == (4, 4.5, -0.5, 4.0)
    assert deltas.sizes.quantile_seconds(0.5) == pytest.approx(0.5, rel=0.02)
    assert deltas.sizes.quantile_seconds(0.99) == pytest.approx(4.0, rel=0.02)


def test_a_delta_that_is_not_finite_is_counted_and_is_a_disagreement() -> None:
    result = compared(numbers(1.0, NAN, 1e308, 1.0), numbers(NAN, 2.0, -1e308, 1.0), tolerance=1e9)

    assert (result.deltas.count, result.deltas.not_finite, result.disagreements) == (1, 3, 3)


def test_the_delta_of_vectors_is_that_of_the_element_that_differs_most() -> None:
    result = compared(vectors([1.0, 5.0, 0.0], [NAN, 1.0, 2.0]), vectors([1.5, 3.0, 0.0], [NAN, 1.0, 2.0]))

    assert (result.deltas.lowest, result.deltas.highest) == (-2.0, 0.0)
    assert result.identical == 1


def test_numbers_within_the_tolerance_agree() -> None:
    baseline, candidate = numbers(1.0, 1.0, 1.0), numbers(1.0, 1.25, 1.5)

    assert compared(baseline, candidate).disagreements == 2
    assert compared(baseline, candidate, tolerance=0.25).disagreements == 1


def test_labels_that_differ_are_class_changes() -> None:
    result = compared(labels("a", "a", "b", None), labels("a", "b", "a", "b"))

    assert result.classes == ClassChanges({("a", "a"): 1, ("a", "b"): 1, ("b", "a"): 1})
    assert (result.classes.records, result.classes.changed) == (3, 2)
    assert (result.identical, result.disagreements) == (1, 3)


def test_without_a_label_the_largest_of_several_scores_is_the_class() -> None:
    result = compared(
        vectors([0.1, 0.9], [0.6, 0.4], [NAN, NAN], [NAN, 1.0]), vectors([0.2, 0.8], [0.4, 0.6], [NAN, NAN], [0.5, 1.0])
    )

    assert result.classes.pairs == {("#1", "#1"): 2, ("#0", "#1"): 1}
    assert result.disagreements == 1


def test_results_of_different_kinds_disagree() -> None:
    result = compared(numbers(1.0), vectors([1.0, 2.0]))

    assert (result.paired, result.identical, result.disagreements, result.deltas.count) == (1, 0, 1, 0)


def test_vectors_of_different_width_disagree_though_they_begin_alike() -> None:
    result = compared(vectors([1.0, 0.0]), vectors([1.0, 0.0, 0.0]))

    assert (result.identical, result.deltas.count) == (0, 0)


def test_records_without_a_result_are_not_paired() -> None:
    gone = {1: Missing("score", "too hot"), 2: Missing("score", "too cold")}
    other = {0: Missing("", "?"), 2: gone[2]}
    result = compared(numbers(1.0, 0.0, 0.0, 4.0, missing=gone), numbers(0.0, 0.0, 0.0, 4.0, missing=other))

    assert (result.records, result.paired, result.identical) == (4, 1, 1)
    assert result.unpaired == {"candidate": 1, "baseline": 1, "both": 1}
    assert result.baseline_failures.counts == {"score": 2}
    assert result.candidate_failures.counts == {"": 1, "score": 1}
    [example, _] = result.baseline_failures.examples["score"]
    assert (example.partition, example.offset, example.reason) == (3, 101, "too hot")


def test_few_examples_are_kept() -> None:
    broken = numbers(*[0.0] * 50, missing={row: Missing("score", "x" * 1_000) for row in range(50)})

    failures = compared(broken, broken).candidate_failures

    assert failures.counts == {"score": 50}
    assert [example.offset for example in failures.examples["score"]] == list(range(100, 100 + MAX_EXAMPLES))
    assert len(failures.examples["score"][0].reason) == 200


def test_a_model_that_failed_on_everything_has_no_values() -> None:
    side = side_of(2, None, {0: Missing("score", "no"), 1: Missing("score", "no")})

    assert compared(numbers(1.0, 2.0), side).unpaired == {"candidate": 2}


def test_many_classes_are_bounded() -> None:
    names = [f"class {i}" for i in range(1_000)]
    changes = compared(labels(*names), labels(*names[1:], names[0])).classes

    assert len(changes.pairs) == MAX_CLASS_PAIRS
    assert (changes.records, changes.changed) == (1_000, 1_000)


def test_latency_is_that_of_a_batch_spread_over_its_records() -> None:
    latency = compared(numbers(1.0, 2.0), numbers(1.0, 2.0), seconds_per_record=2e-6).latency

    assert latency.total == 2
    assert latency.quantile_seconds(0.99) == pytest.approx(2e-6, rel=0.02)


@pytest.mark.parametrize(("disagreements", "paired"), [(0, 10), (5, 10), (10, 10), (30, 1000), (1, 1), (999, 1000)])
def test_at_the_ends_of_the_interval_the_rate_is_as_far_off_as_chance_allows(disagreements: int, paired: int) -> None:
    interval = Comparison(paired=paired, disagreements=disagreements).disagreement_interval()
    rate = disagreements / paired

    assert interval is not None
    assert interval[0] <= rate <= interval[1]
    for end in interval:
        allowed = 1.959964 * math.sqrt(end * (1 - end) / paired)
        assert abs(end - rate) == pytest.approx(allowed, abs=1e-6)


def test_nothing_has_no_interval() -> None:
    assert Comparison().disagreement_interval() is None
