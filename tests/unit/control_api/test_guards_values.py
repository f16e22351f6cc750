import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_api.core.guard_signals import wilson_bounds
from control_api.core.guards import Evaluation, Fail, Pass, Streaks, Wait, evaluate
from model_store.core.guards import DEFAULT_GUARDS, Guard
from model_store.core.histogram import Histogram, bucket_of
from model_store.core.pairs import PairCounts
from model_store.core.sketch import counts_of_labels, counts_of_numbers
from model_store.core.stats import NOTHING, Statistics

ERRORS = Guard("error_rate", 0.02, breaches=1)
SLOW = Guard("p99_ms", 10.0, minimum_records=1, breaches=1)
DIFFERS = Guard("disagreement", 0.1, breaches=1)
DRIFTS = Guard("psi", 0.25, breaches=1)


def observed(
    count: int, errors: int = 0, milliseconds: float = 1.0, batches: int = 100, last_ms: int = 1_000
) -> Statistics:
    return Statistics(
        count,
        errors,
        score=Histogram({bucket_of(milliseconds * 1e6): count}),
        batches=Histogram({bucket_of(milliseconds * 1e6): batches}),
        first_ms=0,
        last_ms=last_ms,
    )


def look(
    guard: Guard, candidate: Statistics, baseline: Statistics = NOTHING, streaks: Streaks | None = None
) -> Evaluation:
    return evaluate([guard], candidate, baseline, streaks or Streaks(), at_ms=5_000, window_seconds=60)


def status(evaluation: Evaluation) -> str:
    return evaluation.findings[0].status


def test_a_share_of_errors_that_is_surely_above_the_limit_fails() -> None:
    found = look(ERRORS, observed(1_000, 100))

    assert isinstance(found.verdict, Fail)
    assert "failed on 100 of 1000 records" in found.verdict.why[0]


def test_a_share_of_errors_that_may_be_chance_does_not_fail() -> None:
    found = look(ERRORS, observed(1_000, 25))

    assert found.findings[0].value == 0.025
    assert status(found) == "ok"


def test_too_few_records_are_waited_for() -> None:
    found = look(ERRORS, observed(499, 499))

    assert status(found) == "waiting"
    assert found.verdict == Wait(("error_rate: candidate has 499 of the 500 records that it takes to tell",))


def test_a_relative_guard_waits_for_the_baseline_too() -> None:
    guard = Guard("error_rate", 0.5, relative=True)

    assert status(look(guard, observed(1_000), observed(10))) == "waiting"
    assert status(look(guard, observed(1_000), observed(1_000))) == "ok"


def test_a_relative_limit_is_that_of_the_baseline_and_the_tolerance() -> None:
    guard = Guard("p99_ms", 0.5, relative=True, minimum_records=1, tolerance=2.0)

    found = look(guard, observed(2_000, milliseconds=20.0), observed(2_000, milliseconds=10.0)).findings[0]

    assert found.limit == pytest.approx(10 * 1.5 + 2, rel=0.03)
    assert found.status == "breached"


def test_errors_are_no_worse_than_those_of_a_baseline_that_has_as_many() -> None:
    guard = Guard("error_rate", 0.0, relative=True)

    assert status(look(guard, observed(1_000, 100), observed(100_000, 10_000))) == "ok"
    assert status(look(guard, observed(1_000, 200), observed(100_000, 10_000))) == "breached"


def test_a_percentile_needs_a_thousand_records_whatever_the_guard_says() -> None:
    assert status(look(SLOW, observed(999, milliseconds=50))) == "waiting"
    assert status(look(SLOW, observed(1_000, milliseconds=50))) == "breached"


def test_one_slow_batch_is_an_accident_however_many_records_it_has() -> None:
    quick = observed(10_000, milliseconds=1, batches=99)
    slow = observed(500, milliseconds=50, batches=1)

    found = look(SLOW, quick.merged(slow))

    assert found.findings[0].value == pytest.approx(50, rel=0.02)
    assert status(found) == "ok"
    assert status(look(SLOW, observed(10_000, milliseconds=50, batches=3))) == "waiting"


def test_disagreement_is_of_the_records_that_both_scored() -> None:
    def compared(disagreements: int) -> Statistics:
        return replace(observed(1_000), pairs=PairCounts(1_000, disagreements, 0))

    assert status(look(DIFFERS, compared(110))) == "ok"
    assert status(look(DIFFERS, compared(200))) == "breached"


def test_where_both_scored_nothing_there_is_no_signal_and_it_is_said() -> None:
    found = look(DIFFERS, observed(1_000))

    assert status(found) == "no_signal"
    assert found.verdict == Pass(("disagreement: no record was scored by both candidate and baseline",))
    assert status(look(DIFFERS, observed(10))) == "waiting"


def test_predictions_that_moved_breach_the_guard_on_drift() -> None:
    rng = np.random.default_rng(3)
    before = replace(observed(5_000), predictions=counts_of_numbers(rng.normal(0, 1, 5_000)))
    same = replace(observed(1_000), predictions=counts_of_numbers(rng.normal(0, 1, 1_000)))
    moved = replace(observed(1_000), predictions=counts_of_numbers(rng.normal(1, 1, 1_000)))

    assert status(look(DRIFTS, same, before)) == "ok"
    assert status(look(DRIFTS, moved, before)) == "breached"
    assert (
        status(look(DRIFTS, replace(moved, predictions=counts_of_numbers(rng.normal(1, 1, 100))), before)) == "waiting"
    )


def test_drift_between_labels_and_numbers_is_no_signal() -> None:
    numbers = replace(observed(1_000), predictions=counts_of_numbers(np.ones(1_000)))
    labels = replace(observed(1_000), predictions=counts_of_labels([("1", 1_000)]))

    assert look(DRIFTS, numbers, labels).verdict == Pass(("psi: candidate gives numbers, baseline gives labels",))


def test_predictions_of_another_time_are_no_signal() -> None:
    before = replace(observed(1_000, last_ms=1_000), predictions=counts_of_labels([("1", 1_000)]))
    later = replace(observed(1_000, last_ms=3_000), predictions=counts_of_labels([("2", 1_000)]), first_ms=2_000)

    assert status(look(DRIFTS, later, before)) == "no_signal"
    assert status(look(DRIFTS, replace(later, first_ms=0, last_ms=2_000), before)) == "breached"


def test_predictions_that_nobody_looked_at_are_no_signal() -> None:
    assert status(look(DRIFTS, observed(1_000), observed(1_000))) == "no_signal"


def test_a_guard_fails_only_after_breaches_in_a_row() -> None:
    guard = replace(ERRORS, breaches=3)
    streaks, verdicts = Streaks(), []
    for at, errors in enumerate([200, 200, 0, 200, 200, 200]):
        found = look(guard, observed(1_000, errors, last_ms=at), streaks=streaks)
        streaks = found.streaks
        verdicts.append(type(found.verdict))

    assert verdicts == [Wait, Wait, Pass, Wait, Wait, Fail]


def test_the_same_records_seen_twice_are_one_breach() -> None:
    guard = replace(ERRORS, breaches=2)
    bad = observed(1_000, 200)

    first = look(guard, bad)
    second = look(guard, bad, streaks=first.streaks)
    third = look(guard, replace(bad, last_ms=2_000), streaks=second.streaks)

    assert [found.findings[0].streak for found in (first, second, third)] == [1, 1, 2]
    assert isinstance(second.verdict, Wait)
    assert isinstance(third.verdict, Fail)


def test_waiting_for_records_neither_ends_nor_lengthens_a_row() -> None:
    guard = replace(ERRORS, breaches=2)
    first = look(guard, observed(1_000, 200, last_ms=1))

    second = look(guard, observed(10, last_ms=2), streaks=first.streaks)
    third = look(guard, observed(1_000, 200, last_ms=3), streaks=second.streaks)

    assert isinstance(second.verdict, Wait)
    assert isinstance(third.verdict, Fail)


def test_the_same_guard_with_another_limit_has_a_row_of_its_own() -> None:
    strict, lax = Guard("error_rate", 0.01, breaches=2), Guard("error_rate", 0.9, breaches=2)
    found = evaluate([strict, lax], observed(1_000, 200), NOTHING, Streaks(), at_ms=0, window_seconds=60)

    assert dict(found.streaks.breaches) == {strict: 1}


def test_no_guards_always_pass() -> None:
    found = evaluate([], NOTHING, NOTHING, Streaks(), at_ms=0, window_seconds=60)

    assert found.verdict == Pass()


def test_one_guard_that_failed_outweighs_those_that_wait() -> None:
    found = evaluate([DIFFERS, ERRORS], observed(600, 300), NOTHING, Streaks(), at_ms=0, window_seconds=60)

    assert isinstance(found.verdict, Fail)
    assert len(found.verdict.why) == 1


def test_the_evidence_stands_alone() -> None:
    candidate = replace(observed(2_000, 400, last_ms=4_000), pairs=PairCounts(2_000, 900, 2**63 - 1))
    guards = [ERRORS, SLOW, DIFFERS, DRIFTS]
    found = evaluate(
        guards, candidate, observed(9_000, 9), Streaks(), at_ms=5_000, window_seconds=60, names=("wine v4", "wine v3")
    )

    assert isinstance(found.verdict, Fail)
    evidence = json.loads(json.dumps(found.verdict.evidence, allow_nan=False))
    assert evidence == found.evidence
    assert (evidence["at_ms"], evidence["window_seconds"], evidence["verdict"]) == (5_000, 60, "fail")
    assert evidence["candidate"] | {"name": "wine v4", "records": 2_000, "errors": 400} == evidence["candidate"]
    assert evidence["baseline"] | {"name": "wine v3", "records": 9_000, "errors": 9} == evidence["baseline"]
    assert [one["signal"] for one in evidence["guards"] if one["has_failed"]] == ["error_rate", "disagreement"]
    assert evidence["guards"][0]["guard"]["limit"] == 0.02


@settings(deadline=None)
@given(st.integers(1, 10**7), st.floats(0, 1))
def test_the_bounds_of_a_share_enclose_it_and_close_in_with_more_records(trials: int, part: float) -> None:
    hits = round(part * trials)

    lower, upper = wilson_bounds(hits, trials)
    narrower, nearer = wilson_bounds(hits * 4, trials * 4)

    assert 0 <= lower <= hits / trials <= upper <= 1
    assert lower <= narrower + 1e-12
    assert nearer <= upper + 1e-12


def test_the_bounds_of_a_share_are_those_of_the_formula() -> None:
    lower, upper = wilson_bounds(10, 100, 1.96)

    assert [lower, upper] == pytest.approx([0.0552, 0.1744], abs=1e-4)


sides = st.builds(
    lambda count, part, milliseconds, batches, last: observed(
        count, round(count * part), milliseconds, min(batches, count), last
    ),
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.floats(0.001, 1_000),
    st.integers(1, 10**4),
    st.integers(0, 10**6),
)


@settings(deadline=None)
@given(sides | st.just(NOTHING), sides | st.just(NOTHING), st.booleans())
def test_any_statistics_can_be_judged_and_the_evidence_is_json(one: Statistics, two: Statistics, again: bool) -> None:
    first = evaluate(DEFAULT_GUARDS, one, two, Streaks(), at_ms=0, window_seconds=60)
    found = evaluate(DEFAULT_GUARDS, one, two, first.streaks, at_ms=1, window_seconds=60) if again else first

    json.dumps(found.evidence, allow_nan=False)
    assert isinstance(found.verdict, Pass | Wait)


@settings(deadline=None)
@given(sides)
def test_a_candidate_that_does_as_the_baseline_does_breaches_nothing(one: Statistics) -> None:
    found = evaluate(DEFAULT_GUARDS, one, one, Streaks(), at_ms=0, window_seconds=60)

    assert not any(finding.status == "breached" for finding in found.findings)
