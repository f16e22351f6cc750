"""Real replicas of the control API, and workers that only talk: they join their group and report, but score nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, Producer
from patience import until

from control_api.__main__ import Server
from control_api.app import create_app
from control_api.settings import Settings
from model_store.core.control_records import (
    ChangeReady,
    CutsPromised,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    StreamDeclared,
    WorkerStarted,
)
from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from model_store.core.wire import EncodedRecord, encode_model_report, encode_worker_record, encode_worker_started

PMML = b'<?xml version="1.0"?><PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/></PMML>'
SIGNATURE = Signature(
    (TensorSpec("alcohol", "float64"),), (TensorSpec("quality", "float64"),), (FeatureSlot("alcohol"),)
)


class Replica:
    """What tests ask of a replica; `ThreadReplica` and `ProcessReplica` run one."""

    url: str
    client: httpx.Client

    def connect(self, url: str) -> None:
        """Wait until it is ready."""
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=30)
        until(lambda: self.client.get("/readyz").status_code == 200)

    def stop(self) -> None:
        """End it."""
        raise NotImplementedError

    def publish(self, name: str = "tree", data: bytes = PMML, headers: Any = None, **fields: Any) -> httpx.Response:
        """Publish a file."""
        return self.client.post(
            f"/api/v1/registered-models/{name}/versions",
            data={"data_type": "wine", "mode": "immediate", **fields},
            files={"file": ("model.bin", data)},
            headers=headers or {},
        )

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a read that must succeed."""
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()


class ThreadReplica(Replica):
    """The same server as `python -m control_api`, on a thread of the test's process: up in a moment."""

    def __init__(self, settings: Settings) -> None:
        self.server = Server(create_app(settings), settings)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        until(lambda: self.server.started)
        host, port = self.server.servers[0].sockets[0].getsockname()[:2]
        self.connect(f"http://{host}:{port}")

    def stop(self) -> None:
        """See `Replica.stop`."""
        self.client.close()
        self.server.handle_exit(signal.SIGTERM, None)
        self._thread.join(30)
        assert not self._thread.is_alive()


class ProcessReplica(Replica):
    """`python -m control_api`, from its start to its last word."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        config = folder / f"api-{uuid.uuid4().hex[:6]}.yaml"
        config.write_text(json.dumps(settings))
        self._lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "control_api", "--config", str(config)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.connect(until(self._listening, 60))

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Log lines of this event so far."""
        return [line for line in list(self._lines) if line["event"] == event]

    def stop(self) -> None:
        """See `Replica.stop`."""
        self.client.close()
        self.terminate()

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self._lines.append(json.loads(line))
            except ValueError:
                self._lines.append({"event": line})

    def _listening(self) -> str | None:
        assert self.process.poll() is None, self._lines
        return next((line["url"] for line in self._lines if line["event"] == "api.listening"), None)


class TalkingWorker:
    """A member of a consumer group that says on the control log what a real worker would."""

    def __init__(self, kafka: str, control_topic: str, data_topic: str, group: str, worker: str = "w1") -> None:
        self.worker = worker
        self.epoch = uuid.uuid4().hex
        self._kafka = kafka
        self._control_topic = control_topic
        self._data_topic = data_topic
        self._group = group
        self._producer = Producer({"bootstrap.servers": kafka, "acks": "all", "linger.ms": 0})
        self._quit = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, result_topic: str = "", dead_letter_topic: str = "", result_format: str = "protobuf") -> int:
        """Introduce itself and join; returns the offset of the introduction."""
        stream = StreamDeclared(
            "wine", self._data_topic, result_topic, result_format, dead_letter_topic, "", "record_key", "constant:wine"
        )
        started = WorkerStarted(
            self.worker, self.epoch, "host-1", 4711, "broadcast", self._group, (stream,), "", 1_772_366_400_123, "0.1.0"
        )
        offset = self._send(encode_worker_started(started))
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return offset

    def report(
        self,
        control_offset: int,
        version: int,
        state: ModelState = ModelState.LIVE,
        reason: str = "",
        model: str = "tree",
        data_type: str = "wine",
    ) -> int:
        """Say what became of a descriptor; returns the offset of the report."""
        report = ModelReport(
            self.worker, self.epoch, control_offset, model, version, data_type, state, reason,
            "damaged" if state is ModelState.REFUSED else "", (PartitionOffset(self._data_topic, 0, 100),),
            1_772_366_400_500, 12.5, 0.25, SIGNATURE if state is ModelState.LIVE else None, b"\x01" * 32, "pmml4s", 94,
        )  # fmt: skip
        return self._send(encode_model_report(report))

    def claim(self, *partitions: int, at: int = 0) -> str:
        """Own these partitions from offset `at` on in the eyes of the log; returns the claim."""
        claim = uuid.uuid4().hex
        self._send(
            encode_worker_record(
                PartitionsClaimed(self.worker, self.epoch, claim, self._group, self._at(partitions, at))
            )
        )
        return claim

    def ready(self, change: int, problem: str = "", reason: str = "") -> int:
        """Have everything loaded that a change needs, or refuse it; returns the offset of the record."""
        return self._send(encode_worker_record(ChangeReady(self.worker, self.epoch, change, problem, reason)))

    def promise(self, change: int, claim: str, *partitions: int, cut: int) -> int:
        """Promise the cut of these partitions; returns the offset of the record."""
        promised = CutsPromised(self.worker, change, claim, self._group, self._at(partitions, cut))
        return self._send(encode_worker_record(promised))

    def applied(self, change: int, key: str, claim: str, *partitions: int, since: int) -> int:
        """Score these partitions by an immediate change from `since` on; returns the offset of the record."""
        record = RouteApplied(self.worker, change, key, claim, self._group, self._at(partitions, since))
        return self._send(encode_worker_record(record))

    def _at(self, partitions: tuple[int, ...], offset: int) -> tuple[PartitionOffset, ...]:
        return tuple(PartitionOffset(self._data_topic, partition, offset) for partition in partitions)

    def stop(self) -> None:
        """Leave the group."""
        self._quit.set()
        if self._thread is not None:
            self._thread.join(15)

    def _send(self, record: EncodedRecord) -> int:
        offsets: list[int] = []
        self._producer.produce(
            self._control_topic,
            record.value,
            record.key,
            headers=record.headers,
            on_delivery=lambda error, message: offsets.append(-1 if error else message.offset()),
        )
        self._producer.flush(15)
        assert offsets, "the control log took nothing"
        assert offsets[0] >= 0
        return offsets[0]

    def _poll(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._kafka,
                "group.id": self._group,
                "client.id": self.worker,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
            }
        )
        consumer.subscribe([self._data_topic])
        while not self._quit.is_set():
            consumer.poll(0.1)
        consumer.close()


class EventReader:
    """Server-sent events of one response, read on a thread."""

    def __init__(self, url: str, path: str, last_event_id: str | None = None, **params: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.has_ended = threading.Event()
        self._quit = False
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(30))
        self._context = self._client.stream("GET", path, headers=headers, params=params)
        self.response = self._context.__enter__()
        assert self.response.status_code == 200, self.response.read()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """At least so many events."""
        until(lambda: len(self.events) >= count, seconds)
        return list(self.events)

    def close(self) -> None:
        """Leave."""
        self._quit = True
        if not self.has_ended.is_set():
            self.response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._context.__exit__(None, None, None)
        self._client.close()

    def _read(self) -> None:
        event: dict[str, Any] = {}
        try:
            for line in self.response.iter_lines():
                if not line and "data" in event:
                    event["data"] = json.loads(event["data"])
                    self.events.append(event)
                    event = {}
                elif ": " in line:
                    name, _, value = line.partition(": ")
                    event[name] = value
        except httpx.HTTPError:
            assert self._quit, "the stream broke"
        finally:
            self.has_ended.set()
