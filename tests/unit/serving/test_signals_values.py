import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.pairs import MOST_NANO, NO_PAIRS, PairCounts
from model_store.core.sketch import LABEL_CHARACTERS, NO_PREDICTIONS, number_buckets
from serving.core.columns import TextColumn
from serving.core.scored import Scored
from serving.core.signals import SAMPLE_ROWS, compare, observe_predictions


def numbers(*values: float) -> Scored:
    return Scored(np.array(values, np.float64), None, None)


def labels(codes: list[int], values: list[str]) -> Scored:
    return Scored(None, TextColumn(np.array(codes, np.int64), values), None)


def scores(*rows: list[float]) -> Scored:
    return Scored(None, None, np.array(rows, np.float64))


def test_labels_are_counted_by_name_and_missing_ones_apart() -> None:
    seen = observe_predictions(labels([0, 1, 0, -1], ["red", "white", "never given"]))

    assert (dict(seen.labels), seen.missing, dict(seen.numbers)) == ({"red": 2, "white": 1}, 1, {})


def test_numbers_are_counted_in_buckets_and_nan_apart() -> None:
    seen = observe_predictions(numbers(1.0, 1.001, -1.0, math.nan, 0.0, math.inf))

    assert seen.missing == 1
    assert seen.total == 6
    assert seen.numbers[int(number_buckets(np.array([1.0]))[0])] == 2
    assert seen.numbers[0] == 1


def test_of_several_scores_the_position_of_the_largest_is_counted() -> None:
    seen = observe_predictions(scores([0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.5, math.nan, 0.5]))

    assert (dict(seen.labels), seen.missing) == ({"1": 1, "0": 1}, 1)


def test_an_only_score_is_a_number() -> None:
    assert observe_predictions(scores([2.5], [3.5])) == observe_predictions(numbers(2.5, 3.5))


def test_a_label_is_looked_at_before_the_numbers_beside_it() -> None:
    column = TextColumn(np.array([0, 0]), ["red"])

    seen = observe_predictions(Scored(np.array([0.9, 0.8]), column, None))

    assert (dict(seen.labels), dict(seen.numbers)) == ({"red": 2}, {})


@pytest.mark.parametrize(
    "nothing", [numbers(), labels([], []), Scored(None, None, None), Scored(None, None, np.empty((3, 0)))]
)
def test_no_rows_and_no_values_are_nothing(nothing: Scored) -> None:
    assert observe_predictions(nothing) == NO_PREDICTIONS


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 2_000, 100_000])
def test_a_large_batch_is_sampled_and_stands_for_all_its_rows(rows: int) -> None:
    seen = observe_predictions(numbers(*np.arange(rows)))

    assert rows <= seen.total < rows + rows / 100 + 1
    assert min(rows, SAMPLE_ROWS // 2) <= round(seen.effective) <= SAMPLE_ROWS


def test_a_label_that_is_no_text_or_endless_is_still_counted() -> None:
    seen = observe_predictions(labels([0, 1], ["half \ud800 a pair", "x" * 10_000]))

    assert set(seen.labels) == {"half ? a pair", "x" * LABEL_CHARACTERS}


def test_labels_are_compared_by_name_whatever_their_codes() -> None:
    one = labels([0, 1, 0, -1, -1, 1, -1], ["red", "white"])
    two = labels([1, 0, 0, -1, 1, 2, 2], ["white", "red", "green"])

    assert compare(one, two) == PairCounts(7, 4, 0)


def test_numbers_that_differ_by_rounding_agree() -> None:
    one = numbers(1.0, 1e6, 0.0, 1e-12, 5.0)
    two = numbers(1.0 + 5e-7, 1e6 + 0.5, 5e-10, 0.0, 5.1)

    found = compare(one, two)

    assert (found.pairs, found.disagreements) == (5, 1)
    assert found.mean_difference == pytest.approx((5e-7 + 0.5 + 5e-10 + 0.1) / 5, rel=1e-6)


def test_nan_agrees_with_nan_alone_and_infinity_with_itself() -> None:
    one = numbers(math.nan, math.nan, math.inf, math.inf, -math.inf, 1.0)
    two = numbers(math.nan, 1.0, math.inf, -math.inf, -math.inf, math.inf)

    found = compare(one, two)

    assert (found.pairs, found.disagreements, found.difference_nano) == (6, 3, MOST_NANO)
    assert found.mean_difference is None


def test_scores_disagree_where_another_one_is_the_largest() -> None:
    found = compare(scores([0.6, 0.4], [0.6, 0.4]), scores([0.9, 0.1], [0.3, 0.7]))

    assert (found.pairs, found.disagreements) == (2, 1)
    assert found.mean_difference == pytest.approx(0.3)


def test_outputs_of_different_kinds_disagree_on_all_records() -> None:
    three = [labels([0, 0], ["1"]), numbers(1.0, 1.0), scores([0.0, 1.0], [0.0, 1.0])]

    for one in three:
        for two in three:
            assert compare(one, two).disagreements == (0 if one is two else 2)


def test_only_the_same_records_can_be_compared() -> None:
    with pytest.raises(ValueError, match="one has 2 rows, the other 1"):
        compare(numbers(1.0, 2.0), numbers(1.0))
    assert compare(numbers(), numbers()) == NO_PAIRS


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=30))
def test_comparing_numbers_is_what_comparing_each_pair_says(pairs: list[tuple[float, float]]) -> None:
    differ = sum(
        not (math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))) for a, b in pairs
    )
    one, two = numbers(*(a for a, _ in pairs)), numbers(*(b for _, b in pairs))

    assert compare(one, two).disagreements == differ
    assert compare(one, two) == compare(two, one)
    assert compare(one, one).disagreements == 0
