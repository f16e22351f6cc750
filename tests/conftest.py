"""Fixtures that every suite shares: real brokers and real Redis servers, never look-alikes."""

import gc
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from sluice.stack import jars
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port
from sluice.stack.redis import RedisPlan, RunningRedis, find_program

# How long an example takes says more about the machine than about the law.
hypothesis.settings.register_profile("sluice", deadline=None)
hypothesis.settings.load_profile("sluice")


@pytest.fixture(scope="module", autouse=True)
def _collect_cycles() -> Iterator[None]:
    """Close the clients that a module left in reference cycles: hundreds of them have thousands of descriptors."""
    yield
    gc.collect()


USE_RUNNING_KAFKA = "SLUICE_TEST_KAFKA"
"""Environment variable: `host:port` of a broker to test against instead of starting one for the session."""

_UNDISTURBED_SESSION_SECONDS = 120
"""Of a broker that is never killed: nobody waits for its session to end, and a machine that stands still must not end it."""

_SHARED = ExitStack()
"""What the process that hands out tests runs for those that run them."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Test processes share one broker: each of its own would start, compile and idle at the cost of the tests."""
    node.workerinput[USE_RUNNING_KAFKA] = os.environ.get(USE_RUNNING_KAFKA) or _shared_broker()


@cache
def _shared_broker() -> str:
    """Its address; it runs until this process has handed out all tests."""
    folder = _SHARED.enter_context(tempfile.TemporaryDirectory(prefix="sluice-tests-"))
    running = _start_broker(Path(folder), _UNDISTURBED_SESSION_SECONDS)
    _SHARED.callback(running.stop)
    return running.bootstrap


def pytest_unconfigure() -> None:
    _SHARED.close()


class KafkaServer:
    """Where a broker is, and topics on it that no other test knows."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create_topic(
        self, partitions: int = 1, config: Mapping[str, str] | None = None, name: str | None = None
    ) -> str:
        """Make a topic and return its name, which is unique unless `name` is given; waits until it is there."""
        topic = name or f"test-{uuid.uuid4().hex[:12]}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([wanted], operation_timeout=30)[topic].result(timeout=30)
        return topic


class RestartableKafka(KafkaServer):
    """A broker of the test's own, on fixed ports and one data folder, that can be taken down and brought back."""

    def __init__(self, running: RunningBroker) -> None:
        super().__init__(running.bootstrap)
        self._running = running

    def start(self) -> None:
        """Start it again on its data; returns when it is ready."""
        self._running.start()

    def stop(self) -> None:
        """Shut it down in order."""
        self._running.stop()

    def kill(self) -> None:
        """`kill -9`."""
        self._running.kill()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One real broker for the whole session."""
    shared = getattr(request.config, "workerinput", {}).get(USE_RUNNING_KAFKA)
    if bootstrap := os.environ.get(USE_RUNNING_KAFKA, shared):
        yield KafkaServer(bootstrap)
        return
    running = _start_broker(tmp_path_factory.mktemp("kafka"), _UNDISTURBED_SESSION_SECONDS)
    yield KafkaServer(running.bootstrap)
    running.stop()


@pytest.fixture(scope="module")
def kafka_restartable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableKafka]:
    """A broker for one module, to be stopped, killed and started by its tests; leave it running after each."""
    running = _start_broker(tmp_path_factory.mktemp("kafka-restartable"), session_seconds=5)
    yield RestartableKafka(running)
    running.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one real Redis for the whole session; keys are the tests' own to keep apart."""
    running = _start_redis(tmp_path_factory.mktemp("redis"))
    yield running.url
    running.stop()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RunningRedis]:
    """A Redis for one test, with `.url`, `.stop()` and `.start()`."""
    running = _start_redis(tmp_path / "redis")
    yield running
    running.stop()


def _start_broker(folder: Path, session_seconds: int) -> RunningBroker:
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    port = free_port()
    broker = Broker(
        folder, port, free_port(avoid=[port]), new_cluster_id(), quick_compile=True, session_seconds=session_seconds
    )
    running = RunningBroker(broker)
    running.start()
    return running


def _start_redis(folder: Path) -> RunningRedis:
    running = RunningRedis(RedisPlan(find_program(), folder))
    running.start()
    return running
