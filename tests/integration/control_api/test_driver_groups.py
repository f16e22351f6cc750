"""What the API sees of consumer groups, on a real broker."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer
from patience import until

from control_api.adapters.kafka_groups import KafkaGroups
from control_api.errors import ApiError
from control_api.ports import Membership

pytestmark = pytest.mark.kafka


@contextmanager
def member(kafka: str, topic: str, group: str, name: str, **settings: Any) -> Iterator[None]:
    """Somebody who polls."""
    config = {"bootstrap.servers": kafka, "group.id": group, "client.id": name, "auto.offset.reset": "earliest"}
    consumer, quit = Consumer(config | settings), threading.Event()
    consumer.subscribe([topic])

    def poll() -> None:
        while not quit.is_set():
            consumer.poll(0.05)
        consumer.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        quit.set()
        thread.join()


def seen(groups: KafkaGroups, names: Sequence[str]) -> Membership:
    """What is there now."""
    return asyncio.run(groups.membership(names, fresh=True))


def ends_of(groups: KafkaGroups, topic: str) -> Mapping[int, int] | None:
    """`ends`, or `None` while the topic is too new to have leaders."""
    try:
        return asyncio.run(groups.ends(topic))
    except ApiError:
        return None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_and_what_they_hold_are_seen_with_either_protocol(kafka: Any, protocol: str) -> None:
    topic, group = kafka.create_topic(3), f"group-{uuid.uuid4().hex[:8]}"
    groups = KafkaGroups({"bootstrap.servers": kafka.bootstrap})
    assert seen(groups, [group]) == Membership({}, True)
    settings = {"group.protocol": protocol}

    with (
        member(kafka.bootstrap, topic, group, "w1", **settings),
        member(kafka.bootstrap, topic, group, "w2", **settings),
    ):

        def settled() -> Membership | None:
            found = seen(groups, [group])
            held = sorted(place for each in found.members.values() for place in each.partitions)
            is_whole = held == [(topic, 0), (topic, 1), (topic, 2)] and len(found.members) == 2
            return found if found.stable and is_whole else None

        found = until(settled)

    assert found.is_current
    assert found.stable == {group}
    assert {each.group for each in found.members.values()} == {group}
    assert all(each.partitions for each in found.members.values())


def test_partitions_and_ends_are_counted_and_a_missing_topic_has_none(kafka: Any) -> None:
    topic = kafka.create_topic(3)
    groups = KafkaGroups({"bootstrap.servers": kafka.bootstrap})

    assert asyncio.run(groups.partitions([topic, "not-there"])) == {topic: 3, "not-there": 0}
    assert until(lambda: ends_of(groups, topic)) == {0: 0, 1: 0, 2: 0}
    assert asyncio.run(groups.ends("not-there")) == {}


def test_without_a_broker_the_last_answer_stands_and_is_not_current() -> None:
    groups = KafkaGroups({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})

    assert seen(groups, ["nobody"]) == Membership({}, False)
    assert asyncio.run(groups.partitions(["wine"])) == {}
