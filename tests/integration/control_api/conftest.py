"""A replica and a talking worker for a module."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_processes import ProcessReplica, Replica, TalkingWorker, ThreadReplica
from patience import until

from control_api.settings import Settings


@dataclass
class Place:
    """A control log of its own on the session's broker, and what was started on it."""

    folder: Path
    kafka: str
    redis_url: str
    control_topic: str
    data_topic: str
    group: str
    replicas: list[Replica]
    workers: list[TalkingWorker]

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Settings of a replica here."""
        return {
            "kafka": {"bootstrap": self.kafka},
            "control_topic": {"name": self.control_topic},
            "port": 0,
            **settings,
        }

    def replica(self, **settings: Any) -> ThreadReplica:
        """One more replica."""
        replica = ThreadReplica(Settings(**self.settings(**settings)))
        self.replicas.append(replica)
        return replica

    def process(self, **settings: Any) -> ProcessReplica:
        """One more replica, in a process of its own."""
        replica = ProcessReplica(self.folder, self.settings(**settings))
        self.replicas.append(replica)
        return replica

    def worker(self, replica: Replica, worker: str = "w1", **topics: str) -> TalkingWorker:
        """One more worker, alive as `replica` sees it."""
        started = TalkingWorker(self.kafka, self.control_topic, self.data_topic, self.group, worker)
        self.workers.append(started)
        started.start(**topics)
        until(lambda: [w for w in replica.get("/api/v1/workers", live=True)["workers"] if w["id"] == worker])
        return started

    def stop(self) -> None:
        """Stop all of them."""
        for worker in self.workers:
            worker.stop()
        for replica in self.replicas:
            replica.stop()


@pytest.fixture
def place(kafka: Any, redis_url: str, tmp_path: Path) -> Iterator[Place]:
    """A place for one test."""
    unique = uuid.uuid4().hex[:8]
    made = Place(
        tmp_path,
        kafka.bootstrap,
        redis_url,
        f"test-ctl-{unique}",
        kafka.create_topic(2),
        f"test-group-{unique}",
        [],
        [],
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared(kafka: Any, redis_url: str) -> Iterator[Replica]:
    """A replica with Redis for the tests of a module that need nothing else; they name their models apart."""
    settings = Settings(
        kafka={"bootstrap": kafka.bootstrap},
        control_topic={"name": f"test-ctl-{uuid.uuid4().hex[:8]}"},
        port=0,
        redis_url=redis_url,
    )
    replica = ThreadReplica(settings)
    yield replica
    replica.stop()
