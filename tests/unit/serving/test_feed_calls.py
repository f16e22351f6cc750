import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from serving.feed.bounded import CallHungError, call_within
from serving.feed.retrying import is_passing, retry


class Flaky:
    """Fails with the given errors, then returns."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def __call__(self) -> str:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return "done"


def test_a_passing_error_is_retried() -> None:
    assert retry(5.0, Flaky(KafkaError._TRANSPORT, KafkaError.NOT_COORDINATOR)) == "done"


def test_a_lasting_error_is_raised_at_once() -> None:
    call = Flaky(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._TRANSPORT)

    with pytest.raises(KafkaException):
        retry(5.0, call)

    assert len(call.codes) == 1


def test_retrying_ends_when_time_is_up() -> None:
    with pytest.raises(KafkaException):
        retry(0.05, Flaky(*[KafkaError._TRANSPORT] * 1_000))


def test_a_transaction_that_is_not_over_is_a_passing_error() -> None:
    assert is_passing(KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))


def test_a_call_gives_its_result_or_its_exception() -> None:
    assert call_within(5.0, max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        call_within(5.0, divmod, 1, 0)


def test_a_call_that_hangs_is_left_alone() -> None:
    never = threading.Event()
    start = time.monotonic()

    with pytest.raises(CallHungError, match=r"wait did not return within 0\.05 s"):
        call_within(0.05, never.wait)

    assert time.monotonic() - start < 5
    never.set()
