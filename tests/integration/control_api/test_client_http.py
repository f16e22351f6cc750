"""The Python client against a real control API on a real Kafka, with workers that only talk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from api_processes import PMML, ThreadReplica
from confluent_kafka import Producer
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult

from model_store.core.control_records import ModelState
from sluice import (
    ApiError,
    AsyncClient,
    Client,
    ModelRefusedError,
    OperationPendingError,
    UnreachableError,
)


def soon(act: Callable[[], object]) -> threading.Thread:
    """`act` on a thread; the test waits meanwhile."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def produce(kafka: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(15) == 0


def result(offset: int, prediction: float) -> bytes:
    return ScoreResult(
        model="tree",
        model_version=1,
        data_type="wine",
        topic="records",
        offset=offset,
        worker="w1",
        prediction=prediction,
    ).SerializeToString()


def test_publish_returns_at_once_and_wait_returns_when_every_worker_has_spoken(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    with Client(replica.url) as client:
        published = client.publish(PMML, for_="wine", name="tree", mode="immediate", description="A tree")
        waiting = client.operation(published.operation)
        worker.report(published.control_offset, 1)
        done = client.wait(published.operation, 20)

    assert (published.model, published.version, published.type) == ("tree", "1", "PMML")
    assert (waiting.state, waiting.done, waiting.total) == ("running", 0, 1)
    assert (done.state, done.version, done.workers[0].state) == ("succeeded", "1", "live")
    assert done.workers[0].since[0].offset == 100


def test_progress_is_told_when_a_worker_has_spoken(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    told: list[int] = []
    with Client(replica.url) as client:
        published = client.publish(PMML, for_="wine", name="tree", mode="immediate")
        reporting = soon(lambda: worker.report(published.control_offset, 1))
        client.wait(published.operation, 20, lambda operation: told.append(operation.done))
        reporting.join()

    assert told[-1] == 1
    assert told == sorted(set(told))


def test_a_refused_model_is_an_error_with_the_workers_reason(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    with Client(replica.url) as client:
        published = client.publish(PMML, for_="wine", name="tree", mode="immediate")
        worker.report(published.control_offset, 1, ModelState.REFUSED, "the tree stops in the middle")
        with pytest.raises(ModelRefusedError) as caught:
            client.wait(published.operation, 20)

    assert caught.value.operation.workers[0].reason == "the tree stops in the middle"


def test_time_that_is_over_is_an_error_that_says_how_far_it_is(place: Any) -> None:
    replica = place.replica()
    with Client(replica.url) as client:
        with pytest.raises(OperationPendingError) as caught:
            client.publish(PMML, for_="wine", name="tree", mode="immediate", wait=0.2)

    assert caught.value.operation.state == "running"


def test_what_was_published_is_listed_as_models_versions_routes_and_workers(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    with Client(replica.url) as client:
        for number in (1, 2):
            published = client.publish(PMML, for_="wine", name="tree", mode="immediate", description=f"number {number}")
            worker.report(published.control_offset, number)
        client.wait(published.operation, 20)
        (model,), versions, (route,), (listed,) = (
            client.models(),
            client.versions("tree"),
            client.routes(),
            client.workers(),
        )

        assert (model.name, model.latest_version, model.serving) == ("tree", "2", ("wine",))
        assert [version.version for version in versions] == ["2", "1"]
        assert client.version("tree", 1).description == "number 1"
        assert versions[0].signature is not None
        assert versions[0].signature.slots[0].name == "alcohol"
        assert route.serving is not None
        assert (route.key, route.serving.version, route.workers[0].worker) == ("wine", "2", "w1")
        assert (listed.id, listed.is_live, listed.models[0].version) == ("w1", True, "2")


def test_a_problem_of_the_api_is_an_error_with_its_kind(place: Any) -> None:
    replica = place.replica()
    with Client(replica.url) as client:
        with pytest.raises(ApiError) as contradiction:
            client.publish(PMML, for_="wine", name="tree", mode="immediate", type="TENSORFLOW")
        with pytest.raises(ApiError) as unknown:
            client.version("nothing", 1)
        with pytest.raises(ApiError) as no_statistics:
            client.stats()

    assert contradiction.value.type == "/problems/content-contradicts-type"
    assert unknown.value.status == 404
    assert no_statistics.value.is_retryable


def test_a_repeated_publication_with_its_key_is_one_publication(place: Any) -> None:
    replica = place.replica(redis_url=place.redis_url)
    with Client(replica.url) as client:
        first = client.publish(PMML, for_="wine", name="tree", mode="immediate", idempotency_key=f"key-{place.group}")
        again = client.publish(PMML, for_="wine", name="tree", mode="immediate", idempotency_key=f"key-{place.group}")

        assert again == first
        assert len(client.versions("tree")) == 1


def test_results_and_dead_letters_are_read_and_followed_behind_a_cursor(place: Any, kafka: Any) -> None:
    replica = place.replica()
    results, letters = kafka.create_topic(1), kafka.create_topic(1)
    place.worker(replica, result_topic=results, dead_letter_topic=letters)
    produce(place.kafka, results, *(result(offset, offset / 2) for offset in range(3)))
    produce(place.kafka, letters, DeadLetter(topic="records", offset=9, stage=1, reason="no wine").SerializeToString())
    with Client(replica.url) as client:
        assert [stream.name for stream in client.streams()] == ["wine"]
        assert [record.result.prediction for record in client.results("wine", 2) if record.result] == [0.5, 1.0]
        letter = next(each.dead_letter for each in client.dead_letters() if each.dead_letter and each.topic == letters)
        assert (letter.stage, letter.reason) == ("decode", "no wine")

        followed = client.tail("wine")
        seen = threading.Event()
        writing = soon(lambda: _write_until_read(place.kafka, results, seen))
        first = next(followed)
        seen.set()
        writing.join()
        followed.close()
        resumed = client.tail("wine", after=first.cursor)
        second = next(resumed)
        resumed.close()

    assert first.item.result is not None
    assert second.item.offset == first.item.offset + 1


def _write_until_read(kafka: str, topic: str, seen: threading.Event) -> None:
    """A tail begins at now, whenever that is: write until something was read, and then one more."""
    while not seen.wait(0.1):
        produce(kafka, topic, result(100, 1.0))
    produce(kafka, topic, result(101, 1.0))


def test_events_tell_what_is_published(place: Any) -> None:
    replica = place.replica()
    place.worker(replica)  # its introduction is the first record of the log
    with Client(replica.url) as client:
        published = client.publish(PMML, for_="wine", name="tree", mode="immediate")
        events = client.events(after=str(published.control_offset - 1))
        registered, changed = next(events), next(events)
        events.close()

    assert (registered.item.kind, changed.item.kind) == ("version-registered", "change-committed")
    assert changed.cursor == str(published.control_offset)


def test_a_tail_goes_on_where_it_was_when_the_api_comes_back(place: Any, kafka: Any) -> None:
    topic = kafka.create_topic(1)
    replica = place.replica()
    place.worker(replica, result_topic=topic)
    port = int(replica.url.rpartition(":")[2])
    with Client(replica.url) as client:
        followed = client.tail("wine")
        seen = threading.Event()
        writing = soon(lambda: _write_until_read(place.kafka, topic, seen))
        first = next(followed)
        seen.set()
        writing.join()
        place.replicas.remove(replica)
        replica.stop()
        again: list[ThreadReplica] = []
        starting = soon(lambda: again.append(place.replica(port=port)))
        second = next(followed)
        starting.join()
        followed.close()

    assert len(again) == 1
    assert second.item.offset == first.item.offset + 1


def test_the_async_client_does_the_same(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)

    async def story() -> list[Any]:
        async with AsyncClient(replica.url) as client:
            published = await client.publish(PMML, for_="wine", name="tree", mode="immediate")
            await asyncio.to_thread(worker.report, published.control_offset, 1)
            done = await client.wait(published.operation, 20)
            events = client.events(after=str(published.control_offset))
            event = await anext(events)
            await events.aclose()
            return [
                done.state,
                [m.name for m in await client.models()],
                (await client.routes())[0].key,
                event.item.kind,
            ]

    assert asyncio.run(story()) == ["succeeded", ["tree"], "wine", "live"]


def test_nothing_at_the_address_is_told_with_the_address() -> None:
    started = time.monotonic()
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(UnreachableError, match=r"not reachable at http://127.0.0.1:9"),
    ):
        client.models()

    assert time.monotonic() - started < 10
