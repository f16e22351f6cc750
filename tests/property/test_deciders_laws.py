"""Laws of deciders: who counts, what never changes with the order of the arms, and that nothing is made up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.core.columns import TextColumn
from serving.core.deciders import (
    DECIDERS,
    NOBODY,
    Answers,
    Candidate,
    Decided,
    Decider,
    best_confidence,
    first,
    mean,
    parts,
    vote,
)
from serving.core.scored import Scored

each_decider = pytest.mark.parametrize("decider", DECIDERS.values(), ids=DECIDERS)
reals = st.floats(allow_nan=False, allow_infinity=False)
few = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)


@st.composite
def candidate(draw: st.DrawFn, rows: int, *, with_prediction: bool, width: int | None, with_label: bool) -> Candidate:
    def column(values: st.SearchStrategy[float], length: int) -> list[float]:
        return draw(st.lists(values, min_size=length, max_size=length))

    names = draw(st.permutations(["a", "b", "c"]))
    codes = draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows))
    return Candidate(
        Scored(
            np.array(column(reals, rows), np.float64) if with_prediction else None,
            TextColumn(np.array(codes, np.int64), names) if with_label else None,
            None if width is None else np.array(column(few, rows * width), np.float64).reshape(rows, width),
        ),
        np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), np.bool_),
    )


@st.composite
def answers(draw: st.DrawFn, *, of_one_form: bool = False, most: int = 5) -> Answers:
    rows = draw(st.integers(0, 4))
    form = partial(
        st.fixed_dictionaries,
        {"with_prediction": st.booleans(), "width": st.none() | st.integers(1, 3), "with_label": st.booleans()},
    )
    same = draw(form())
    candidates = [
        draw(st.none() | candidate(rows, **(same if of_one_form else draw(form()))))
        for _ in range(draw(st.integers(1, most)))
    ]
    there = [index for index, found in enumerate(candidates) if found is not None]
    return Answers(rows, candidates, draw(st.permutations(there)))


def decide(decider: Decider, given_answers: Answers) -> Decided:
    decided = decider(given_answers)
    assert isinstance(decided, Decided)
    return decided


def label_at(scored: Scored, row: int) -> str | None:
    if scored.label is None or scored.label.codes[row] < 0:
        return None
    return scored.label.values[int(scored.label.codes[row])]


def row_of(scored: Scored, row: int) -> tuple[object, ...]:
    """A row's values, comparable; what is not there and what is filled up with NaN are the same."""
    prediction = (
        None if scored.prediction is None or np.isnan(scored.prediction[row]) else float(scored.prediction[row])
    )
    scores = () if scored.scores is None else tuple(scored.scores[row][~np.isnan(scored.scores[row])].tolist())
    return prediction, label_at(scored, row), scores


@each_decider
@settings(max_examples=40)
@given(answers(of_one_form=True))
def test_a_record_has_an_answer_exactly_if_some_candidate_has_a_value_for_it(
    decider: Decider, given_answers: Answers
) -> None:
    decided = decide(decider, given_answers)

    values = [c.has_value for c in given_answers.candidates if c is not None]
    counts = np.sum(values, axis=0, dtype=np.int64) if values else np.zeros(given_answers.rows, np.int64)
    assert decided.counts.tolist() == counts.tolist()
    assert ((decided.chosen == NOBODY) == (counts == 0)).all()


@each_decider
@settings(max_examples=40)
@given(answers(of_one_form=True))
def test_only_a_candidate_with_a_value_is_chosen(decider: Decider, given_answers: Answers) -> None:
    for row, index in enumerate(decide(decider, given_answers).chosen.tolist()):
        if index != NOBODY:
            found = given_answers.candidates[index]
            assert found is not None
            assert found.has_value[row]


@pytest.mark.parametrize("decider", [first, best_confidence, vote])
@given(answers())
def test_the_values_are_those_of_the_chosen_candidate(decider: Decider, given_answers: Answers) -> None:
    decided = decide(decider, given_answers)

    for row, index in enumerate(decided.chosen.tolist()):
        found = given_answers.candidates[index]
        expected = (None, None, ()) if index == NOBODY or found is None else row_of(found.scored, row)
        assert row_of(decided.scored, row) == expected


@each_decider
@settings(max_examples=40)
@given(answers(of_one_form=True))
def test_parts_are_all_answers_and_each_once(decider: Decider, given_answers: Answers) -> None:
    decided = decide(decider, given_answers)

    seen: dict[int, tuple[object, ...]] = {}
    for index, rows, own in parts(given_answers, decided):
        for place, row in enumerate(rows.tolist()):
            assert decided.chosen[row] == index
            assert row not in seen
            seen[row] = row_of(own, place)
    assert seen == {row: row_of(decided.scored, row) for row in np.flatnonzero(decided.chosen != NOBODY).tolist()}


@each_decider
@settings(max_examples=40)
@given(answers(most=1))
def test_of_one_candidate_the_answer_is_its_answer(decider: Decider, given_answers: Answers) -> None:
    decided = decide(decider, given_answers)

    (only,) = given_answers.candidates
    for row, index in enumerate(decided.chosen.tolist()):
        assert only is None or index == (0 if only.has_value[row] else NOBODY)
        if only is not None and index == 0:
            assert row_of(decided.scored, row) == row_of(only.scored, row)


@settings(max_examples=100)
@given(answers(of_one_form=True))
def test_a_mean_is_never_outside_of_what_it_is_a_mean_of(given_answers: Answers) -> None:
    decided = decide(mean, given_answers)

    for kind in ("prediction", "scores"):
        found = getattr(decided.scored, kind)
        for row in np.flatnonzero(decided.chosen != NOBODY).tolist() if found is not None else ():
            voices = [
                getattr(c.scored, kind)[row] for c in given_answers.candidates if c is not None and c.has_value[row]
            ]
            assert (np.min(voices, axis=0) <= found[row]).all()
            assert (found[row] <= np.max(voices, axis=0)).all()


@settings(max_examples=100)
@given(answers() | answers(of_one_form=True))
def test_the_winner_of_a_vote_has_as_many_votes_as_anyone(given_answers: Answers) -> None:
    decided = decide(vote, given_answers)

    def ballot(found: Candidate, row: int) -> object:
        if found.scored.label is not None:
            return label_at(found.scored, row)
        if found.scored.prediction is not None:
            return "number", float(found.scored.prediction[row])
        return None if found.scored.scores is None else ("place", int(np.argmax(found.scored.scores[row])))

    for row, index in enumerate(decided.chosen.tolist()):
        ballots = {
            i: ballot(c, row) for i, c in enumerate(given_answers.candidates) if c is not None and c.has_value[row]
        }
        votes = Counter(value for value in ballots.values() if value is not None)
        if votes:
            best = max(votes.values())
            assert index == min(i for i, value in ballots.items() if votes.get(value) == best)


@settings(max_examples=100)
@given(answers())
def test_nobody_with_a_value_is_more_confident_than_the_chosen(given_answers: Answers) -> None:
    decided = decide(best_confidence, given_answers)

    def confidence(index: int, row: int) -> float:
        found = given_answers.candidates[index]
        assert found is not None
        return -1.0 if found.scored.scores is None else float(found.scored.scores[row].max())

    for row, index in enumerate(decided.chosen.tolist()):
        rivals = [i for i, c in enumerate(given_answers.candidates) if c is not None and c.has_value[row]]
        if rivals:
            assert index == max(rivals, key=lambda i: (confidence(i, row), -i))


@each_decider
@settings(max_examples=40)
@given(answers(of_one_form=True), st.randoms(use_true_random=False))
def test_the_order_of_the_arms_breaks_ties_and_does_nothing_else(
    decider: Decider, given_answers: Answers, random: Random
) -> None:
    order = list(range(len(given_answers.candidates)))
    random.shuffle(order)
    shuffled = replace(
        given_answers,
        candidates=[given_answers.candidates[index] for index in order],
        arrivals=[order.index(index) for index in given_answers.arrivals],
    )

    before, after = decide(decider, given_answers), decide(decider, shuffled)

    assert before.counts.tolist() == after.counts.tolist()
    if decider is first:
        assert before.chosen.tolist() == [order[i] if i != NOBODY else i for i in after.chosen.tolist()]
    if decider is best_confidence and before.scored.scores is not None:
        assert after.scored.scores is not None
        largest = [
            np.max(decided.scored.scores, axis=1) for decided in (before, after) if decided.scored.scores is not None
        ]
        np.testing.assert_array_equal(*largest)
    if decider is mean:
        for one, two in (
            (before.scored.prediction, after.scored.prediction),
            (before.scored.scores, after.scored.scores),
        ):
            if one is not None and two is not None:
                np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(one), initial=1))


@each_decider
@settings(max_examples=40)
@given(answers(of_one_form=True), st.data())
def test_a_record_is_decided_whatever_stands_beside_it(
    decider: Decider, given_answers: Answers, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, given_answers.rows - 1))) if given_answers.rows else [], np.intp)
    some = replace(
        given_answers,
        rows=len(rows),
        candidates=[
            None if c is None else Candidate(c.scored.take(rows), c.has_value[rows]) for c in given_answers.candidates
        ],
    )

    whole, part = decide(decider, given_answers), decide(decider, some)

    assert part.chosen.tolist() == whole.chosen[rows].tolist()
    assert [row_of(part.scored, i) for i in range(len(rows))] == [row_of(whole.scored, int(row)) for row in rows]
