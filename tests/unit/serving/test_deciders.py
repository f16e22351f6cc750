"""What each decider makes of several models' answers, and where deciders come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.core.columns import TextColumn
from serving.core.deciders import (
    DECIDERS,
    NOBODY,
    Answers,
    Candidate,
    Decided,
    Decider,
    Undecidable,
    best_confidence,
    first,
    mean,
    parts,
    vote,
)
from serving.core.scored import Scored
from serving.decider_registry import UnknownDeciderError, decider_named, installed_deciders

NAN = float("nan")


def numbers(*values: float | None) -> Candidate:
    """A model that gives a number a record; `None` where it failed."""
    prediction = np.array([77.0 if value is None else value for value in values])
    return Candidate(Scored(prediction, None, None), np.array([value is not None for value in values]))


def classes(labels: Sequence[str | None], scores: Sequence[Sequence[float]] | None = None) -> Candidate:
    """A model that gives a class a record, `None` where it has none, and maybe scores."""
    values = sorted({label for label in labels if label is not None})
    codes = np.array([-1 if label is None else values.index(label) for label in labels], np.int64)
    found = None if scores is None else np.array(scores, np.float64)
    return Candidate(Scored(None, TextColumn(codes, values), found), np.ones(len(labels), np.bool_))


def answers(*candidates: Candidate | None, arrivals: Sequence[int] | None = None) -> Answers:
    there = [index for index, candidate in enumerate(candidates) if candidate is not None]
    rows = next((len(c.has_value) for c in candidates if c is not None), 2)
    return Answers(rows, candidates, there if arrivals is None else arrivals)


def labels(decided: Decided) -> list[str | None]:
    column = decided.scored.label
    assert column is not None
    return [column.values[code] if code >= 0 else None for code in column.codes.tolist()]


def predictions(decided: Decided) -> list[float]:
    assert decided.scored.prediction is not None
    return [float(value) for value in decided.scored.prediction]


def test_first_takes_the_answer_that_came_first_and_where_it_failed_the_next() -> None:
    decided = first(answers(numbers(1, 2, None), numbers(10, None, None), arrivals=[1, 0]))

    assert decided.chosen.tolist() == [1, 0, NOBODY]
    assert decided.counts.tolist() == [2, 1, 0]
    assert predictions(decided) == pytest.approx([10, 2, NAN], nan_ok=True)


def test_best_confidence_takes_the_largest_score_and_the_earlier_arm_if_two_are_equal() -> None:
    one = classes(["a", "a", "a"], [[0.6, 0.4], [0.5, 0.5], [NAN, NAN]])
    two = classes(["b", "b", "b"], [[0.1, 0.9], [0.5, 0.5], [0.1, NAN]])

    decided = best_confidence(answers(one, two, arrivals=[1, 0]))

    assert decided.chosen.tolist() == [1, 0, 1]
    assert labels(decided) == ["b", "a", "b"]


@pytest.mark.parametrize("score", [0.01, -np.inf])
def test_an_answer_without_scores_never_beats_one_with_scores(score: float) -> None:
    decided = best_confidence(answers(numbers(1), classes(["b"], [[score]]), numbers(2)))

    assert decided.chosen.tolist() == [1]


def test_a_vote_is_won_by_the_label_that_most_gave_with_the_first_arms_scores() -> None:
    decided = vote(answers(classes(["a"], [[0.9]]), classes(["b"], [[0.8]]), classes(["b"], [[0.7]])))

    assert decided.chosen.tolist() == [1]
    assert decided.scored.scores is not None
    assert decided.scored.scores.tolist() == [[0.8]]


def test_a_tied_vote_goes_to_the_earlier_arm() -> None:
    decided = vote(answers(classes(["b", "x"]), classes(["a", None]), arrivals=[1, 0]))

    assert decided.chosen.tolist() == [0, 0]


def test_missing_labels_and_nan_are_no_votes() -> None:
    assert vote(answers(classes([None]), classes([None]), classes(["a"]))).chosen.tolist() == [2]
    assert vote(answers(numbers(NAN), numbers(NAN), numbers(3.0))).chosen.tolist() == [2]
    assert vote(answers(numbers(None), numbers(NAN))).chosen.tolist() == [1]


def test_numbers_vote_by_exact_value() -> None:
    decided = vote(answers(numbers(1.0, 0.0), numbers(1.5, -0.0), numbers(1.5, 7.0)))

    assert decided.chosen.tolist() == [1, 0]


def test_models_with_nothing_but_scores_vote_for_the_place_of_the_largest() -> None:
    scores = [Candidate(Scored(None, None, np.array([row])), np.array([True])) for row in ([0, 1], [1, 0], [3, NAN])]

    assert vote(answers(*scores)).chosen.tolist() == [1]


def test_a_model_that_failed_has_no_vote() -> None:
    one, two, failed = classes(["a"]), classes(["b"]), classes(["b"])

    assert vote(answers(one, two, replace(failed, has_value=np.array([False])))).chosen.tolist() == [0]


def test_a_label_and_a_place_do_not_agree() -> None:
    place = Candidate(Scored(None, None, np.array([[1.0, 0.0]])), np.array([True]))

    second = Candidate(Scored(None, None, np.array([[0.0, 1.0]])), np.array([True]))
    assert vote(answers(classes(["a"]), classes(["b"]), second)).chosen.tolist() == [0]
    assert vote(answers(numbers(5.0), classes(["a"]), place)).chosen.tolist() == [0]


def test_a_label_and_a_number_do_not_agree() -> None:
    assert vote(answers(numbers(0.0), classes(["a"]), numbers(1.0), numbers(1.0))).chosen.tolist() == [2]


def test_the_mean_is_over_those_that_have_a_value() -> None:
    decided = mean(answers(numbers(1, None, None), numbers(2, 5, None), None))

    assert isinstance(decided, Decided)
    assert decided.is_combined
    assert predictions(decided) == pytest.approx([1.5, 5, NAN], nan_ok=True)
    assert decided.chosen.tolist() == [0, 1, NOBODY]


def test_the_mean_of_scores_comes_with_the_label_that_most_gave() -> None:
    decided = mean(
        answers(*(classes([label], [[score, 1 - score]]) for label, score in (("a", 0.9), ("b", 0.2), ("b", 0.4))))
    )

    assert isinstance(decided, Decided)
    assert decided.scored.scores is not None
    assert decided.scored.scores[0].tolist() == pytest.approx([0.5, 0.5])
    assert labels(decided) == ["b"]


def test_a_mean_of_different_forms_is_refused_and_told() -> None:
    decided = mean(answers(numbers(1), classes(["a"], [[0.5, 0.5]])))

    assert decided == Undecidable(
        "a mean needs candidates that give the same numbers, but candidate 0 gives a prediction and no scores; "
        "candidate 1 gives no prediction and 2 scores"
    )


@pytest.mark.parametrize("decider", DECIDERS.values(), ids=DECIDERS)
def test_if_nobody_answered_nothing_is_decided(decider: Decider) -> None:
    decided = decider(answers(None, None))

    assert isinstance(decided, Decided)
    assert decided.chosen.tolist() == [NOBODY, NOBODY]
    assert decided.counts.tolist() == [0, 0]


def test_parts_give_each_candidates_own_values_in_its_own_form() -> None:
    given = answers(classes(["a", "b", "a"], [[0.9], [0.1], [0.9]]), classes(["c"] * 3, [[0.2, 0.2, 0.2]] * 3))

    split = list(parts(given, best_confidence(given)))

    assert [(index, rows.tolist()) for index, rows, _ in split] == [(0, [0, 2]), (1, [1])]
    assert [own.scores.shape for _, _, own in split if own.scores is not None] == [(2, 1), (1, 3)]


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with entry points of our group, installed for the test."""
    package = tmp_path / "coin_toss.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: coin-toss\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[sluice.deciders]\ntoss = coin_toss:toss\nfirst = coin_toss:toss\nbroken = coin_toss:nothing\nodd = coin_toss:ODD\n"
    )
    (tmp_path / "coin_toss.py").write_text("def toss(answers):\n    return 'heads'\n\n\nODD = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("coin_toss", None)


@pytest.mark.usefixtures("third_party")
def test_an_entry_point_brings_a_decider_but_does_not_displace_a_built_in_one() -> None:
    assert decider_named("toss").__module__ == "coin_toss"
    assert decider_named("first") is first
    assert installed_deciders() == ("best_confidence", "broken", "first", "mean", "odd", "toss", "vote")


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("name", "why"),
    [("none", "installed are best_confidence,"), ("broken", "cannot be imported"), ("odd", "is not a function")],
)
def test_a_decider_that_cannot_be_had_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(UnknownDeciderError, match=why):
        decider_named(name)
