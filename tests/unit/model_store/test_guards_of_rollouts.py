import pytest

from model_store.core.guards import DEFAULT_GUARDS, SIGNALS, Guard


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"signal": "mood"}, "a guard looks at one of error_rate, p99_ms, disagreement, psi, not at 'mood'"),
        ({"limit": -0.1}, "at least 0, not -0.1"),
        ({"limit": float("nan")}, "at least 0, not nan"),
        ({"limit": 1.5}, "error_rate is a share, so its limit is at most 1"),
        ({"signal": "psi", "relative": True}, "psi compares with the baseline anyway"),
        ({"minimum_records": 0}, "at least 1 record"),
        ({"breaches": 0}, "at least 1 breach"),
        ({"tolerance": -1.0, "relative": True}, "the tolerance of error_rate is a number of at least 0"),
        ({"tolerance": 0.1}, "error_rate is not relative"),
    ],
)
def test_a_guard_that_cannot_be_kept_is_refused(members: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Guard(**{"signal": "error_rate", "limit": 0.1, **members})  # type: ignore[arg-type]  # wrong on purpose


def test_a_relative_limit_may_be_more_than_the_whole() -> None:
    assert Guard("error_rate", 1.5, relative=True, tolerance=0.01).limit == 1.5


def test_equal_guards_are_one_key() -> None:
    assert {Guard("psi", 0.25): 1}[Guard("psi", 0.25)] == 1


def test_the_default_guards_watch_what_any_rollout_has() -> None:
    assert {guard.signal for guard in DEFAULT_GUARDS} == set(SIGNALS) - {"disagreement"}
