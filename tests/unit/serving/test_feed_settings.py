import pytest

from serving.core.errors import SettingsError
from serving.feed.settings import check_properties, consumer_properties, is_cooperative, producer_properties


def consumer(**extra: object) -> dict[str, object]:
    return consumer_properties(
        bootstrap="127.0.0.1:9092",
        group="g",
        worker_id="w",
        is_static=False,
        extra={k.replace("_", "."): v for k, v in extra.items()},
    )


def producer(limits: dict[str, int], transactional_id: str | None = None) -> dict[str, object]:
    return producer_properties(
        bootstrap="127.0.0.1:9092", worker_id="w", limits=limits, transactional_id=transactional_id, extra={}
    )


@pytest.mark.parametrize(
    "name", ["enable.auto.commit", "auto.offset.reset", "acks", "isolation.level", "transactional.id"]
)
def test_a_property_that_would_break_a_promise_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' cannot be set: "):
        check_properties({}, {name: "x"})


def test_the_client_is_never_left_to_choose_an_offset() -> None:
    assert consumer()["auto.offset.reset"] == "error"


def test_settings_of_the_classic_protocol_are_left_out_under_the_new_one() -> None:
    properties = consumer(group_protocol="consumer")

    assert "session.timeout.ms" not in properties
    assert is_cooperative(properties)


def test_range_assignment_is_not_cooperative() -> None:
    assert is_cooperative(consumer())
    assert not is_cooperative({**consumer(), "partition.assignment.strategy": "range"})


def test_batches_stay_below_the_smallest_limit_and_records_may_reach_the_largest() -> None:
    properties = producer({"small": 2_000, "large": 5_000_000})

    assert properties["batch.size"] < 2_000
    assert properties["message.max.bytes"] == 5_000_000


def test_an_outage_is_waited_out_at_least_once_and_bounded_by_the_transaction_exactly_once() -> None:
    assert producer({})["message.timeout.ms"] == 0
    assert "message.timeout.ms" not in producer({}, transactional_id="t")
