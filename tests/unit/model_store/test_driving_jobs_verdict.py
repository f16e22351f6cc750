import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.core.jobs import Backtest, InvalidJobError, OffsetRange, VersionAt
from model_store.core.jobs_verdict import PassIf, Verdict, job_spec, read_job_spec, verdict

JOB = Backtest("a-job", "wine", (OffsetRange(0, 0, 10),), VersionAt("tree", 2, 7))


def report(records: int = 1000, paired: int = 990, disagreements: int = 10, failures: int = 5) -> dict[str, Any]:
    """The members of a report that matter."""
    return {
        "records": records,
        "paired": paired,
        "disagreement": {"rate": disagreements / paired if paired else None},
        "errors": {"candidate": {"score": {"records": failures}, "features": {"records": 0}}, "baseline": {}},
    }


def test_a_back_test_passes_if_all_conditions_hold() -> None:
    assert verdict(PassIf(0.02, 0.005, 990), report()) == Verdict("passed")


def test_each_condition_that_does_not_hold_is_named() -> None:
    found = verdict(PassIf(0.01, 0.004, 991), report())

    assert found.word == "failed"
    assert found.why == (
        "both sides scored 990 records, 991 are needed",
        "the two differ on 1.010% of the records, 1.000% are allowed",
        "the candidate failed on 5 of 1000 records (0.500%), 0.400% are allowed",
    )


def test_nothing_compared_is_nothing_passed() -> None:
    assert verdict(PassIf(), report(0, 0, 0, 0)).word == "failed"


shares = st.none() | st.floats(0, 1)


@given(st.none() | st.builds(PassIf, shares, shares, st.integers(1, 10**9)))
def test_a_job_and_its_conditions_are_read_back_as_they_were(pass_if: PassIf | None) -> None:
    assert read_job_spec(job_spec(JOB, pass_if)) == (JOB, pass_if)


@pytest.mark.parametrize(
    ("conditions", "place"),
    [
        ([], "job.pass_if"),
        ({"max_errors": 1}, "unknown: max_errors"),
        ({"max_error_rate": 1.5}, "job.pass_if.max_error_rate"),
        ({"max_disagreement": True}, "job.pass_if.max_disagreement"),
        ({"min_records": 0}, "job.pass_if.min_records"),
    ],
)
def test_conditions_that_make_no_sense_are_refused_by_place(conditions: object, place: str) -> None:
    spec = json.dumps({**json.loads(job_spec(JOB, None)), "pass_if": conditions})

    with pytest.raises(InvalidJobError, match=place):
        read_job_spec(spec)
