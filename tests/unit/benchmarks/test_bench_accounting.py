"""What the suite says became of records, from results that are made up."""

import numpy as np
import pytest

from benchmarks.accounting import Account, Known, Ledger, Results, judge, recognised

TREE = Known(7, np.array([[1.0], [2.0]]), 1e-6)
LINEAR = Known(9, np.array([[10.0], [20.0]]), 1e-6)


def results(*rows: tuple[int, list[float], int], flawed: bool = False) -> Results:
    """Rows of (record number, answers, version)."""
    answers = np.full((len(rows), 3), np.nan)
    for at, row in enumerate(rows):
        answers[at, : len(row[1])] = row[1]
    count = len(rows)
    return Results(
        np.array([row[0] for row in rows], np.int64),
        np.zeros(count, np.int64),
        answers,
        np.array([row[2] for row in rows], np.uint64),
        np.full(count, flawed),
        np.full(count, 100),
    )


def account_of(sent: int, *numbers: int) -> Account:
    ledger = Ledger()
    for number in numbers:
        ledger.add(np.array([number]))
    return ledger.account(sent)


def test_a_record_without_a_result_is_lost():
    assert account_of(4, 0, 1, 3) == Account(4, lost=1, duplicated=0, foreign=0)


def test_every_result_beyond_the_first_counts_as_repeated():
    assert account_of(3, 0, 1, 1, 1, 2, 2) == Account(3, lost=0, duplicated=3, foreign=0)


def test_repetitions_do_not_hide_a_loss():
    assert account_of(3, 0, 0, 1) == Account(3, lost=1, duplicated=1, foreign=0)


def test_a_repetition_within_one_chunk_is_seen():
    ledger = Ledger()
    ledger.add(np.array([2, 2, 0, 1]))
    assert ledger.account(3) == Account(3, lost=0, duplicated=1, foreign=0)


def test_results_of_records_that_were_never_sent_are_foreign():
    assert account_of(2, 0, 1, 5, -1) == Account(2, lost=0, duplicated=0, foreign=2)


def test_nothing_read_is_everything_lost():
    assert account_of(5) == Account(5, lost=5, duplicated=0, foreign=0)


def test_the_ledger_knows_how_many_records_came_back():
    ledger = Ledger()
    for chunk in ([0, 1, 1], [5, 1], [1000]):
        ledger.add(np.array(chunk))
    assert ledger.distinct() == 4


def test_right_answers_are_right():
    verdict = judge(results((0, [1.0], 7), (3, [2.0], 7)), [TREE], bottles=2)
    assert verdict.is_right
    assert verdict.checked == 2


@pytest.mark.parametrize("answers", [[1.5], [2.0], [], [1.0, 0.5], [float("nan")]])
def test_another_answer_is_wrong(answers):
    assert judge(results((0, answers, 7)), [TREE], bottles=2).wrong == 1


def test_an_answer_is_held_against_the_model_that_the_result_names():
    mixed = results((0, [1.0], 7), (0, [10.0], 9), (1, [20.0], 7))
    assert judge(mixed, [TREE, LINEAR], bottles=2).wrong == 1


def test_a_result_that_names_no_model_may_be_of_any():
    assert judge(results((0, [10.0], 0)), [TREE, LINEAR], bottles=2).is_right


def test_a_model_that_nobody_gave_is_a_flaw():
    assert judge(results((0, [1.0], 8)), [TREE], bottles=2).flawed == 1


def test_bottles_without_a_known_answer_are_not_checked():
    verdict = judge(results((2, [99.0], 7), (0, [1.0], 7)), [TREE], bottles=3)
    assert (verdict.checked, verdict.wrong) == (1, 0)


def test_a_system_of_which_nothing_could_be_checked_is_not_right():
    assert not judge(results((2, [99.0], 7)), [TREE], bottles=3).is_right


def test_flaws_of_the_provenance_are_counted():
    verdict = judge(results((0, [1.0], 7), flawed=True), [TREE], bottles=2)
    assert verdict.flawed == 1
    assert not verdict.is_right


def test_the_model_of_a_result_that_names_none_is_known_by_its_answer():
    found = recognised(results((0, [10.0], 0), (1, [2.0], 0), (0, [5.0], 0), (0, [1.0], 9)), [TREE, LINEAR], bottles=2)

    assert found.tolist() == [9, 7, 0, 9]


def test_an_answer_that_two_models_share_says_nothing():
    same = Known(11, TREE.answers, 1e-6)

    assert recognised(results((0, [1.0], 0)), [TREE, same], bottles=2).tolist() == [0]
