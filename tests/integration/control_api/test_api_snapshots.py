"""A replica that starts from a snapshot knows what one knows that read the whole log, also about the past."""

import time

from confluent_kafka import Consumer, TopicPartition
from patience import until
from structlog.testing import capture_logs


def test_a_new_replica_starts_from_the_snapshot_and_answers_the_same(place):
    first = place.replica(limits={"snapshot_records": 20})
    for number in range(30):
        given = {"name": f"model-{number}", "tags": {"n": str(number)}}
        assert first.client.post("/api/v1/registered-models", json=given).status_code == 201
    before = models(first)
    as_of = time.time()
    until(lambda: pointer(place) > 20, seconds=60)
    patched = first.client.patch("/api/v1/registered-models/model-3", json={"description": "later"})
    assert patched.status_code == 200

    with capture_logs() as logs:
        second = place.replica(limits={"snapshot_records": 0})

    assert [line["state_of"] for line in logs if line["event"] == "snapshot.read"] >= [20]
    assert models(second) == models(first) != before
    assert models(second, as_of=time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime(as_of))) == before


def models(replica, **params):
    return replica.get("/api/v1/registered-models", max_results=100, **params)["registered_models"]


def pointer(place):
    """Where the newest snapshot is; below 0 if there is none."""
    consumer = Consumer({"bootstrap.servers": place.kafka, "group.id": f"{place.control_topic}.snapshot"})
    try:
        return consumer.committed([TopicPartition(place.control_topic, 0)], timeout=5)[0].offset
    finally:
        consumer.close()
