"""Writes MLServer's settings and starts it, with its Kafka server made fit to be measured: see `TUNING.md`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import mlserver.server
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from mlserver.cli.main import main as command_line
from mlserver.kafka.handlers import MLSERVER_MODEL_NAME_HEADER, KafkaHandlers
from mlserver.kafka.server import KafkaServer

from benchmarks.peers.mlserver.layout import MODEL, artifact_in
from benchmarks.peers.python.run import Run, say_ready, this_run

_IN_FLIGHT = 200


class GroupedKafkaServer(KafkaServer):  # type: ignore[misc]  # MLServer is not among our own dependencies
    """MLServer's own, but for the settings of its clients, and no more than 200 records at work at once."""

    run: Run

    def _create_server(self) -> None:
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self._consumer = AIOKafkaConsumer(
            self.run.input,
            bootstrap_servers=self.run.bootstrap,
            group_id=self.run.group,
            auto_offset_reset="earliest",
            auto_commit_interval_ms=1_000,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.run.bootstrap, acks="all", enable_idempotence=True, linger_ms=5
        )

    async def _consumer_loop(self) -> None:
        say_ready()
        taken = self._consumer
        self._consumer = _Held(taken, self._room)
        try:
            await super()._consumer_loop()
        finally:
            self._consumer = taken

    def _process_request_cb(self, process_request_task: asyncio.Task[None]) -> None:
        self._room.release()
        super()._process_request_cb(process_request_task)


class _Held:
    """Records of a consumer, each when there is room for it."""

    def __init__(self, consumer: AIOKafkaConsumer, room: asyncio.Semaphore) -> None:
        self._consumer, self._room = consumer, room

    def __aiter__(self) -> _Held:
        return self

    async def __anext__(self) -> Any:
        await self._room.acquire()
        return await self._consumer.__anext__()

    async def stop(self) -> None:
        await self._consumer.stop()


def _name_of_model(self: KafkaHandlers, request: Any) -> tuple[str, str | None]:
    return request.headers.get(MLSERVER_MODEL_NAME_HEADER, MODEL), None


def _write_settings(run: Run, http_port: int) -> Path:
    """The folder of settings; a model that was swapped in before a restart stays."""
    artifact = artifact_in(run.state)
    if not artifact.exists():
        artifact.parent.mkdir(parents=True)
        assert run.model is not None
        shutil.copyfile(run.model, artifact)
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": 0,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "kafka_enabled": True,
        "kafka_servers": run.bootstrap,
        "kafka_topic_input": run.input,
        "kafka_topic_output": run.output,
        "logging_settings": {
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {"mlserver.kafka": {"level": "WARNING"}},
        },
    }
    model = {
        "name": MODEL,
        "implementation": "benchmarks.peers.mlserver.runtime.PmmlRuntime",
        "parameters": {"uri": str(artifact.resolve())},
    }
    folder = run.state / "models"
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / MODEL / "model-settings.json").write_text(json.dumps(model))
    return folder


def main() -> None:
    run = this_run()
    folder = _write_settings(run, int(os.environ["HTTP_PORT"]))
    GroupedKafkaServer.run = run
    mlserver.server.KafkaServer = GroupedKafkaServer
    KafkaHandlers._get_model_details = _name_of_model
    os.chdir(folder)
    sys.argv = ["mlserver", "start", str(folder)]
    command_line()


if __name__ == "__main__":
    main()
