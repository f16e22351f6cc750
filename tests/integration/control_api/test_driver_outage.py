"""A replica that drives a change while its broker goes away and comes back."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from api_processes import ProcessReplica
from driver_worker import DutifulWorker, LogView
from patience import until

from model_store.core.changes import ChangeState
from model_store.core.commands import ChangeRoute, RegisterVersion
from model_store.core.descriptor import Descriptor
from model_store.core.plans import PRIMARY, Arm, Plan, Target

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_change_goes_on_when_the_broker_is_back(kafka_restartable: Any, tmp_path: Path) -> None:
    kafka, topic = kafka_restartable, f"test-ctl-{uuid.uuid4().hex[:8]}"
    data_topic = kafka.create_topic(2)
    replica = ProcessReplica(
        tmp_path, {"kafka": {"bootstrap": kafka.bootstrap}, "control_topic": {"name": topic}, "port": 0}
    )
    log = LogView(kafka.bootstrap, topic)
    worker = DutifulWorker(kafka.bootstrap, topic, data_topic, f"group-{topic}", "w1")
    worker.is_ready = False
    log.say(RegisterVersion(Descriptor("tree", "wine", "PMML", location="/m")))
    change = log.say(ChangeRoute("wine", Plan((Arm(PRIMARY, Target("tree", 1)),)), "exact", 300_000)).offset
    kafka.kill()
    until(lambda: replica.logged("groups.unreachable"), 60)
    kafka.start()

    worker.load()

    assert log.over(change, 120).state is ChangeState.COMMITTED
    assert len(replica.logged("groups.unreachable")) <= 3
    for each in (worker, log, replica):
        each.stop()
