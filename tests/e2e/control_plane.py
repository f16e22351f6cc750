"""Replicas of the control API as processes, the control log as one more reader folds it, and what a test asks of both."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from deployment import REPOSITORY, Deployment, WorkerProcess, http_get
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import patient, tries, until

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import Command, CommandBody, ProposeChange
from model_store.core.control_records import ChangeReady, ControlRecord, CutsPromised
from model_store.core.lanes import Lane
from model_store.core.plans import PRIMARY, Arm
from model_store.core.routes import RouteEntry
from model_store.core.timeline import Segment, choose, decision, segments
from model_store.core.wire import decode_record, encode_command

REASONS = ("", "primary", "arm", "pin", "rule", "fallback", "dark", "decided", "corrected")
"""Of results, by number."""

Told = tuple[int, int, str, str]
"""Version, control offset of the change, arm and reason of a result."""


class Replica:
    """One `python -m control_api`."""

    def __init__(self, deployment: Deployment, number: int) -> None:
        self.log = deployment.folder / f"api-{number}.log"
        config = deployment.folder / f"api-{number}.yaml"
        settings = {"kafka": {"bootstrap": deployment.bootstrap}, "control_topic": {"name": deployment.control}}
        redis = deployment.settings.get("redis_url")
        config.write_text(json.dumps({**settings, "port": 0, "redis_url": redis}))
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_api", "--config", str(config)],
                env=dict(os.environ), cwd=REPOSITORY, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        url = str(until(self._url, 60, "the API listens"))
        self.client = httpx.Client(base_url=f"{url}/api/v1", timeout=70, headers={"X-Sluice-Actor": "ann"})
        until(lambda: http_get(f"{url}/readyz").status_code == 200, 60, "the API is ready")

    def _url(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        for line in self.log.read_text().splitlines():
            if "api.listening" in line:
                return str(json.loads(line)["url"])
        return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(patient(10))

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(patient(30))


class Log:
    """The control log, folded on a thread by the code that workers and replicas fold it with."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.catalogue: Catalogue = EMPTY
        self.records: list[tuple[int, int, ControlRecord]] = []
        self._bootstrap, self._topic = bootstrap, topic
        self._quit = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, probe: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
        """The first true answer of `probe`, asked after each record."""
        deadline = time.monotonic() + patient(seconds)
        with self._changed:
            while not (found := probe()):
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"after {seconds:g} s still not: {what or probe}; the log is at {self.catalogue.offset}"
                )
                self._changed.wait(min(left, 0.5))
        return found

    def change(self, change_id: int) -> Change:
        found = self.catalogue.changes.get(change_id)
        assert found is not None
        return found

    def stop(self) -> None:
        self._quit.set()
        self._thread.join(15)

    def _read(self) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "tests", "enable.auto.commit": False,
             "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
        )  # fmt: skip
        consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        while not self._quit.is_set():
            for message in consumer.consume(1_000, 0.1):
                if message.error() is not None:
                    continue
                record = decode_record(message.headers() or [], message.key(), message.value())
                with self._changed:
                    at_ms = message.timestamp()[1]
                    self.records.append((message.offset(), at_ms, record))
                    self.catalogue = fold(self.catalogue, LogEntry(message.offset(), at_ms, record))
                    self._changed.notify_all()
        consumer.close()


@dataclass
class ControlPlane:
    """Replicas over a deployment's control log."""

    deployment: Deployment
    replicas: list[Replica] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = Log(self.deployment.bootstrap, self.deployment.control)

    def start(self, count: int = 2) -> None:
        for _ in range(count):
            self.replicas.append(Replica(self.deployment, len(self.replicas)))

    def stop(self) -> None:
        for replica in self.replicas:
            replica.stop()
        self.log.stop()

    @property
    def living(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.process.poll() is None]

    # ---------------------------------------------------------------- asking

    def publish(self, model: Path, *, mode: str = "exact", name: str = "wine", **fields: str) -> dict[str, Any]:
        """Publish a file through some replica."""
        response = random.choice(self.living).client.post(
            f"/registered-models/{name}/versions",
            data={"data_type": "wine", "mode": mode, **fields},
            files={"file": (model.name, model.read_bytes())},
        )
        assert response.status_code in (201, 202), response.text
        return dict(response.json())

    def change(self, plan: dict[str, Any], *, key: str = "wine", by: Replica | None = None) -> int:
        """Ask for another plan; the id of the change."""
        replica = by or random.choice(self.living)
        condition = {"If-Match": "*"} if key in self.log.catalogue.routes else {"If-None-Match": "*"}
        return self._begun(replica.client.put(f"/deployments/{key}", json=plan, headers=condition))

    def roll_back(self, key: str) -> int:
        """Ask for what a route served before; the id of the change."""
        asked = random.choice(self.living).client
        return self._begun(asked.post(f"/deployments/{key}:rollback", json={"to": "previous"}))

    def _begun(self, response: httpx.Response) -> int:
        assert response.status_code == 202, response.text
        change = int(response.json()["control_offset"])
        self.log.until(lambda: self.log.catalogue.offset >= change, 20, "the command is read back")
        return change

    def order(self, body: CommandBody) -> int:
        """Write a command as a replica would; its offset."""
        record = encode_command(Command(uuid.uuid4().hex, "ann", "because", body))
        offset = self.deployment.send_control(record.value, record.key, record.headers)
        self.log.until(lambda: self.log.catalogue.offset >= offset, 20, "the command is read back")
        outcome = self.log.catalogue.outcomes.get(offset)
        assert outcome is not None
        assert outcome.is_accepted, outcome
        return offset

    @property
    def dark_topic(self) -> str:
        return f"{self.deployment.results}.dark"

    def lanes(self) -> tuple[Lane, ...]:
        source = self.deployment.source
        return tuple(Lane(self.deployment.group, source, each) for each in range(self.deployment.partitions))

    def operation(self, change: int, wait: float = 0.0) -> dict[str, Any]:
        response = random.choice(self.living).client.get(f"/operations/op-{change}", params={"wait": wait})
        assert response.status_code == 200, response.text
        return dict(response.json())

    def over(self, change: int, seconds: float = 60.0) -> Change:
        """A change when it is over, as the log says."""
        self.log.until(lambda: change in self.log.catalogue.changes, 10, f"change {change}")
        self.log.until(lambda: not self.log.change(change).state.is_open, seconds, f"change {change} is over")
        return self.log.change(change)

    def committed(self, change: int, seconds: float = 60.0) -> Change:
        found = self.over(change, seconds)
        assert found.state is ChangeState.COMMITTED, found.ended_why
        return found

    def decided(self, row: ScoreResult, entity: str) -> dict[str, Any]:
        """What `GET /decisions` says of a result's record."""
        where = {"topic": row.topic, "partition": row.partition, "offset": row.offset}
        about = {"group": self.deployment.group, "data_type": row.data_type, "entity": entity}
        response = random.choice(self.living).client.get("/decisions", params={**where, **about})
        assert response.status_code == 200, response.text
        (found,) = response.json()["decisions"]
        return dict(found)

    # ---------------------------------------------------------------- looking

    def disagreements(self, rows: Iterable[tuple[bytes, ScoreResult]]) -> list[str]:
        """Results, with the keys of their records, that are not by the version that the control log's timeline names."""
        found, catalogue, group = [], self.log.catalogue, self.deployment.group
        for key, row in rows:
            choice = decision(catalogue, Lane(group, row.topic, row.partition), row.offset, row.data_type, key)
            expected = choice and expected_of(choice.entry, choice.arm, choice.reason)
            if told(row) != expected:
                found.append(f"{row.partition}/{row.offset} by {row.worker}: {told(row)}, the timeline says {expected}")
        return found

    def unlike_the_intervals(self, rows: Iterable[tuple[bytes, ScoreResult]]) -> list[str]:
        """As `disagreements`, by one look at the timeline a lane instead of one a record; for one data type."""
        found, catalogue, group = [], self.log.catalogue, self.deployment.group
        known: dict[tuple[str, int], list[Segment]] = {}
        for key, row in rows:
            where = row.topic, row.partition
            if where not in known:
                lane = Lane(group, *where)
                known[where] = segments(catalogue, row.data_type, lane, 0)
            at = bisect_right(known[where], row.offset, key=lambda segment: segment.start) - 1
            entry = known[where][at].entry
            is_served = entry is not None and entry.plan is not None
            expected = expected_of(entry, *choose(entry.plan, key)) if is_served else None
            if told(row) != expected:
                found.append(f"{row.partition}/{row.offset} by {row.worker}: {told(row)}, the timeline says {expected}")
        return found

    def phases_ms(self, change: Change) -> tuple[int, int, int]:
        """From the request of a committed change to the last readiness, from there to the proposal, and on to the commit."""
        ready, proposed = change.requested_at_ms, change.requested_at_ms
        for offset, at_ms, record in self.log.records:
            if change.id < offset <= change.ended_offset:
                if isinstance(record, ChangeReady) and record.change == change.id:
                    ready = at_ms if proposed == change.requested_at_ms else ready
                if isinstance(record, Command) and record.body == ProposeChange(
                    change.id, getattr(record.body, "lanes", ())
                ):
                    proposed = at_ms
        return ready - change.requested_at_ms, proposed - ready, change.ended_at_ms - proposed

    def took_ms(self) -> list[int]:
        """From the request to the commit, of each exact change that was committed, by the log's time stamps, ascending."""
        changes = [self.log.catalogue.changes.get(each) for each in self.log.catalogue.changes]
        return sorted(
            each.ended_at_ms - each.requested_at_ms
            for each in changes
            if each is not None and each.is_exact and each.state is ChangeState.COMMITTED
        )

    def holders(self) -> dict[int, str]:
        """Partition -> the worker that claimed it last."""
        return {
            lane.partition: state.worker
            for lane, state in self.log.catalogue.lanes.items()
            if lane.group == self.deployment.group
        }

    def promises(self) -> list[CutsPromised]:
        return [record for _, _, record in self.log.records if isinstance(record, CutsPromised)]

    def read_results(
        self, count: int, data_type: str = "wine", seconds: float = 120.0, *, is_dark: bool = False
    ) -> list[tuple[bytes, ScoreResult]]:
        """Results of a data type with the keys of their records, from the beginning, as soon as there are so many."""
        topic = self.dark_topic if is_dark else self.deployment.results
        for _ in tries(seconds):
            rows = self._results(topic, data_type)
            if len(rows) >= count:
                return rows
        raise AssertionError(f"{len(rows)} of {count} results of {data_type} in {topic} after {patient(seconds):g} s")

    def outcomes(
        self, data_type: str, records: int, seconds: float = 90.0
    ) -> tuple[list[tuple[bytes, ScoreResult]], list[DeadLetter]]:
        """Results of a data type with the keys of their records, and its dead letters, once they are `records` together."""
        for _ in tries(seconds):
            rows = self._results(self.deployment.results, data_type)
            dead = self.deployment.follow(self.deployment.dead_letters, DeadLetter, 1)
            letters = [letter for _, letter in dead if letter.data_type == data_type]
            if len(rows) + len(letters) >= records:
                return rows, letters
        raise AssertionError(
            f"{len(rows)} results and {len(letters)} dead letters of {records} records after {patient(seconds):g} s"
        )

    def _results(self, topic: str, data_type: str) -> list[tuple[bytes, ScoreResult]]:
        """Those of a data type that the topic has now."""
        return [(key, row) for key, row in self.deployment.follow(topic, ScoreResult) if row.data_type == data_type]

    def read_all(self, records: int, seconds: float = 120.0) -> list[tuple[bytes, ScoreResult]]:
        """All results there are, with the keys of their records, once so many records have one and nothing more comes."""

        def distinct() -> int:
            return len({(row.partition, row.offset) for _, row in self.read_results(written())})

        def written() -> int:
            return sum(self.deployment.end_offsets(self.deployment.results))

        until(lambda: written() >= records and distinct() >= records, seconds, f"{records} records have results")
        return self.read_results(written())


def told(row: ScoreResult) -> Told:
    """What a result says of itself; its arm is named where it is the primary's."""
    return row.model_version, row.control_offset, row.arm or PRIMARY, REASONS[row.reason]


def expected_of(entry: RouteEntry, arm: Arm, reason: str) -> Told:
    """What a result by an arm says; no reason where its plan leaves nothing to choose."""
    plan = entry.plan
    assert plan is not None
    chooses = len(plan.arms) > 1 or plan.pins or plan.rules
    return arm.target.version, entry.change, arm.name, reason if chooses else ""


def one(version: int, **members: Any) -> dict[str, Any]:
    """A plan with one arm."""
    return {"arms": [{"model": "wine", "version": str(version)}], **members}


def canary(version: int, candidate: int, percent: float, **members: Any) -> dict[str, Any]:
    """A plan with a share of the entities for a candidate."""
    arms = [
        {"name": "primary", "model": "wine", "version": str(version), "weight": 100 - percent},
        {"name": "canary", "model": "wine", "version": str(candidate), "weight": percent},
    ]
    return {"arms": arms, **members}


def by_partition(rows: Iterable[tuple[bytes, ScoreResult]]) -> dict[int, list[ScoreResult]]:
    """Results in the order of their records."""
    found: dict[int, list[ScoreResult]] = defaultdict(list)
    for _, row in rows:
        found[row.partition].append(row)
    return {partition: sorted(each, key=lambda row: row.offset) for partition, each in sorted(found.items())}


def obeys(rows: Iterable[tuple[bytes, ScoreResult]], change: Change, old: int, new: int) -> None:
    """Every result below the change's cut in its partition is by the old version, every other one by the new."""
    for lane, promise in change.promises.items():
        for _, row in rows:
            if row.partition == lane.partition:
                expected = new if row.offset >= promise.cut else old
                assert row.model_version == expected, f"{row.partition}/{row.offset}, cut {promise.cut}"
                assert (row.control_offset == change.id) == (row.offset >= promise.cut)


def twice(rows: Sequence[tuple[bytes, ScoreResult]]) -> list[tuple[int, int]]:
    """Records that have several results."""
    counts = Counter((row.partition, row.offset) for _, row in rows)
    return [where for where, count in counts.items() if count > 1]


def quantiles(values: Sequence[int]) -> str:
    """For people."""
    at = [values[min(len(values) - 1, int(len(values) * share))] for share in (0.5, 0.9, 0.99)]
    return f"of {len(values)}: half within {at[0]} ms, 90 % {at[1]} ms, 99 % {at[2]} ms, the longest {values[-1]} ms"


def start_workers(deployment: Deployment, count: int) -> list[WorkerProcess]:
    """Several at once."""
    started = [deployment.start_worker(wait=False, worker_id=f"w{i + 1}") for i in range(count)]
    for worker in started:
        until(worker.is_ready, 60, f"the worker is ready; its log ends:\n{worker.tail()}")
    return started
