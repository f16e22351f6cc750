"""The broker goes and comes back: reads go on, writes say so, the log is followed on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from api_processes import EventReader, ThreadReplica
from patience import until

from control_api.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_replica_survives_a_broker_that_is_killed_and_comes_back(kafka_restartable: Any) -> None:
    topic = f"test-ctl-{uuid.uuid4().hex[:8]}"
    replica = ThreadReplica(
        Settings(
            kafka={"bootstrap": kafka_restartable.bootstrap},
            control_topic={"name": topic},
            port=0,
            waits={"publish_seconds": 2},
        )
    )
    replica.publish("before")
    events = EventReader(replica.url, "/api/v1/events")

    kafka_restartable.kill()
    known = replica.get("/api/v1/registered-models")
    refused = replica.publish("during", headers={"Idempotency-Key": "an-act"})
    records = replica.client.get("/api/v1/dead-letters")
    ready = replica.client.get("/readyz")
    kafka_restartable.start()
    again = until(
        lambda: (a := replica.publish("during", headers={"Idempotency-Key": "an-act"})).status_code == 202 and a, 60
    )
    seen = events.wait(1, 30)
    events.close()
    replica.stop()

    assert [m["name"] for m in known["registered_models"]] == ["before"]
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/kafka-unavailable")
    assert "same Idempotency-Key" in refused.json()["detail"]
    assert records.status_code == 503
    assert ready.status_code == 200
    assert again.json()["version"] == "1"
    assert seen[0]["data"]["model"] == "during"
