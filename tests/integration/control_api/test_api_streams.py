"""Results, dead letters and events: the newest, and as they come."""

from __future__ import annotations

import base64
import socket
import time
import uuid
from typing import Any

import psutil
import pytest
from api_processes import EventReader, ProcessReplica, Replica
from confluent_kafka import Producer
from conftest import Place
from modelserving.v1 import records_pb2
from patience import until

from model_store.core.control_records import ModelState

pytestmark = pytest.mark.kafka


def write(kafka: str, topic: str, values: list[tuple[bytes | None, bytes]], partition: int = 0) -> None:
    failed: list[Any] = []
    producer = Producer({"bootstrap.servers": kafka, "acks": "all", "linger.ms": 5})
    for key, value in values:
        producer.produce(
            topic, value, key, partition=partition, on_delivery=lambda error, _: failed.append(error) if error else None
        )
    assert producer.flush(20) == 0
    assert not failed


def result(offset: int, prediction: float = 5.5) -> tuple[bytes, bytes]:
    message = records_pb2.ScoreResult(
        model="tree", model_version=1, sha256=b"\x01" * 32, data_type="wine", topic="data", partition=0, offset=offset,
        control_offset=3, worker="w1", record_timestamp_ms=1_772_366_400_000, prediction=prediction, scores=[0.5],
    )  # fmt: skip
    return b"key", message.SerializeToString()


def dead_letter(offset: int, value: bytes | None = b"\xff\x00") -> tuple[bytes, bytes]:
    message = records_pb2.DeadLetter(
        topic="data", partition=0, offset=offset, record_timestamp_ms=-1, value=value, stage=records_pb2.DeadLetter.STAGE_DECODE,
        reason="no wine", stream="wine", worker="w1", failed_at_ms=1_772_366_400_000,
        headers=[records_pb2.Header(key="h", value=b"v"), records_pb2.Header(key="n")],
    )  # fmt: skip
    return b"data-0-1", message.SerializeToString()


class Flow:
    """A stream with two result partitions, on a replica."""

    def __init__(self, place: Place, kafka: Any, result_format: str = "protobuf") -> None:
        self.results = kafka.create_topic(2)
        self.dead_letters = kafka.create_topic(1)
        self.replica = place.replica(dead_letter_topic=self.dead_letters)
        self.worker = place.worker(
            self.replica,
            result_topic=self.results,
            dead_letter_topic=self.dead_letters,
            result_format=result_format,
        )


@pytest.fixture
def flow(place: Place, kafka: Any) -> Flow:
    return Flow(place, kafka)


RESULTS = "/api/v1/streams/wine/results"


def test_the_newest_results_come_oldest_first_with_their_provenance(flow: Flow, place: Place) -> None:
    write(place.kafka, flow.results, [result(n) for n in range(30)])

    shown = flow.replica.get(RESULTS, limit=3)["results"]

    assert [r["result"]["offset"] for r in shown] == [27, 28, 29]
    assert shown[0]["key"] == {"base64": base64.b64encode(b"key").decode(), "text": "key"}
    assert (shown[0]["result"]["model_version"], shown[0]["result"]["prediction"]) == ("1", 5.5)
    assert shown[0]["result"]["record_timestamp"] == "2026-03-01T12:00:00.000Z"


def test_what_is_not_a_number_stays_so_and_what_is_no_result_is_shown_as_bytes(flow: Flow, place: Place) -> None:
    write(place.kafka, flow.results, [result(0, float("nan")), result(1, float("-inf")), (None, b"\xff\xff")])

    shown = flow.replica.get(RESULTS)["results"]

    assert [r["result"]["prediction"] for r in shown[:2]] == ["NaN", "-Infinity"]
    assert shown[2]["result"] is None
    assert shown[2]["key"] is None
    assert base64.b64decode(shown[2]["value"]["base64"]) == b"\xff\xff"


def test_results_in_json_are_shown_as_they_were_written(place: Place, kafka: Any) -> None:
    flow = Flow(place, kafka, "json")
    write(place.kafka, flow.results, [(None, b'{"prediction": 4.5, "odd": NaN}')])

    shown = flow.replica.get(RESULTS)["results"]

    assert shown[0]["json_value"] == {"prediction": 4.5, "odd": "NaN"}


def test_dead_letters_are_shown_with_their_original_bytes(flow: Flow, place: Place) -> None:
    write(place.kafka, flow.dead_letters, [dead_letter(7), dead_letter(8, None)])

    first, second = (d["dead_letter"] for d in flow.replica.get("/api/v1/dead-letters")["dead_letters"])

    assert (first["stage"], first["reason"], first["offset"]) == ("decode", "no wine", 7)
    assert first["value"] == {"base64": "/wA=", "text": None}
    assert first["record_timestamp"] is None
    assert first["headers"] == [{"key": "h", "value": {"base64": "dg==", "text": "v"}}, {"key": "n", "value": None}]
    assert second["value"] is None


def test_results_are_followed_as_they_come_and_resumed_without_loss_or_repetition(flow: Flow, place: Place) -> None:
    reader = EventReader(flow.replica.url, RESULTS)
    write(place.kafka, flow.results, [result(n) for n in range(50)], 0)
    write(place.kafka, flow.results, [result(n) for n in range(50, 100)], 1)

    seen = reader.wait(100)
    reader.close()
    write(place.kafka, flow.results, [result(n) for n in range(100, 150)], 0)
    cut = seen[59]
    resumed = EventReader(flow.replica.url, RESULTS, cut["id"])
    rest = resumed.wait(90)
    resumed.close()

    offsets = [e["data"]["result"]["offset"] for e in seen[:60] + rest]
    assert sorted(offsets) == list(range(150))
    assert {e["event"] for e in seen} == {"result"}


def test_a_cursor_from_a_first_look_follows_on_from_there_on_another_replica(flow: Flow, place: Place) -> None:
    write(place.kafka, flow.results, [result(0)])
    cursor = flow.replica.get(RESULTS)["cursor"]
    write(place.kafka, flow.results, [result(1)], 1)
    other = place.replica()

    reader = EventReader(other.url, RESULTS, after=cursor)
    seen = reader.wait(1)
    reader.close()

    assert [e["data"]["result"]["offset"] for e in seen] == [1]


def test_events_tell_what_was_published_and_what_became_of_it(flow: Flow, place: Place) -> None:
    reader = EventReader(flow.replica.url, "/api/v1/events")
    offset = flow.replica.publish().json()["control_offset"]
    flow.worker.report(offset, 1)
    flow.worker.report(offset, 1, ModelState.REFUSED, "changed its mind")

    registered, changed, live, refused = reader.wait(4)[:4]
    flow.worker.stop()
    gone = reader.wait(5)[4]
    reader.close()

    assert (registered["event"], registered["data"]["version"]) == ("version-registered", "1")
    assert (changed["event"], changed["data"]["key"], changed["id"]) == ("change-committed", "wine", str(offset))
    assert "id" not in registered, "only the last event of a record is a place to go on from"
    assert (live["event"], live["data"]["worker"]) == ("live", "w1")
    assert (refused["event"], refused["data"]["reason"]) == ("refused", "changed its mind")
    assert (gone["event"], gone["data"]["worker"]) == ("worker-gone", "w1")
    assert "id" not in gone


def test_events_are_resumed_after_the_last_one_seen(flow: Flow) -> None:
    offsets = [flow.replica.publish().json()["control_offset"] for _ in range(3)]

    reader = EventReader(flow.replica.url, "/api/v1/events", str(offsets[0]))
    seen = reader.wait(4)
    reader.close()

    assert [e["id"] for e in seen if "id" in e] == [str(offset) for offset in offsets[1:]]


def test_a_follower_too_many_is_refused_and_a_place_is_free_when_one_leaves(place: Place) -> None:
    replica = place.replica(limits={"followers": 1})
    reader = EventReader(replica.url, "/api/v1/events")

    refused = replica.client.get("/api/v1/events")
    reader.close()

    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/too-many-followers"
    assert "retry-after" in refused.headers
    again = until(lambda: _opens(replica))
    assert again


def _opens(replica: Replica) -> bool:
    with replica.client.stream("GET", "/api/v1/events") as response:
        return response.status_code == 200


def test_a_client_that_does_not_read_costs_no_memory(place: Place, kafka: Any) -> None:
    topic = kafka.create_topic(1)
    replica: ProcessReplica = place.process(dead_letter_topic=topic)
    process = psutil.Process(replica.process.pid)
    filler = [dead_letter(n, bytes(50_000)) for n in range(200)]
    replica.get("/api/v1/dead-letters")
    lazy = [_request_and_never_read(replica.url, "/api/v1/dead-letters?follow=true") for _ in range(4)]
    until(lambda: "control_api_followers 4.0" in replica.client.get("/metrics").text)
    before = process.memory_info().rss

    for _ in range(8):
        write(place.kafka, topic, filler)
    until(lambda: len(replica.get("/api/v1/dead-letters", limit=5)["dead_letters"]) == 5)
    grown = process.memory_info().rss - before

    for sock in lazy:
        sock.close()
    assert grown < 60e6, f"80 MB went by four clients that do not read, memory grew by {grown / 1e6:.0f} MB"


def _request_and_never_read(url: str, path: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return sock


def test_a_stop_ends_event_streams_and_exits_cleanly(place: Place) -> None:
    replica = place.process(redis_url=place.redis_url)
    replica.publish(headers={"Idempotency-Key": uuid.uuid4().hex})
    reader = EventReader(replica.url, "/api/v1/events")
    waiting = EventReader(replica.url, "/api/v1/dead-letters")

    started = time.monotonic()
    status = replica.terminate()

    assert status == 0
    assert time.monotonic() - started < 10
    assert reader.has_ended.wait(5)
    assert waiting.has_ended.wait(5)
    assert not replica.logged("request.failed")
    reader.close()
    waiting.close()
