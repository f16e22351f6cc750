"""The worker's HTTP port, asked as Prometheus and a supervisor ask it."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_store.core.signature import Signature
from model_store.core.stats import Series
from serving.adapters.exposition import Exposition, FeedNumbers, Swaps
from serving.adapters.metrics import MetricsServer
from serving.adapters.statistics import Collector, wall_clock_ms
from serving.core.columns import Features, Predictions
from serving.live import LiveModel

TREE = Series('tree "quoted"\n', 3, "wine")


@dataclass
class FeedCounts:
    records: int = 100
    batches: int = 3
    outputs: int = 99
    commits: int = 2
    in_flight: int = 1
    unacknowledged: int = 4
    lag: Mapping[tuple[str, int], int] | None = field(default_factory=lambda: {("wine.records", 1): 17})


class Nothing:
    """A scorer that is only looked at."""

    signature = Signature((), (), ())
    engine = "none"
    runs_elsewhere = False

    def score(self, features: Features) -> Predictions:
        return Predictions({})

    def close(self) -> None:
        pass


class Worker:
    """Everything that the metrics are made of, and the port."""

    def __init__(self) -> None:
        self.collector = Collector()
        self.swaps = Swaps()
        self.live: dict[str, LiveModel] = {}
        self.feed: FeedNumbers | None = None
        info = {"worker": "w1", "epoch": "e1", "version": "0.1.0"}
        source = Exposition(info, self.collector, self.swaps, lambda: self.live.items(), lambda: self.feed)
        self.server = MetricsServer(source)
        self.server.start()

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        answer = httpx.get(f"{self.server.url}/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        return {(it.name, frozenset(it.labels.items())): it.value for family in families for it in family.samples}

    def value(self, name: str, **labels: str) -> float:
        return self.metrics()[name, frozenset(labels.items())]


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.server.stop()


def test_what_models_did_is_shown_by_model_version_and_data_type(worker: Worker) -> None:
    now = wall_clock_ms()
    worker.collector.observe(TREE, 9, 1, 0.001, np.full(9, now - 30))
    labels = {"model": TREE.model, "version": "3", "data_type": "wine"}

    assert worker.value("sluice_results_total", **labels) == 9
    assert worker.value("sluice_score_errors_total", **labels) == 1
    assert worker.value("sluice_score_seconds_sum", **labels) == pytest.approx(0.001)
    assert worker.value("sluice_score_seconds_count", **labels) == 10
    assert worker.value("sluice_score_seconds_bucket", le="3e-05", **labels) == 0
    assert worker.value("sluice_score_seconds_bucket", le="0.0003", **labels) == 10
    assert worker.value("sluice_latency_seconds_bucket", le="0.02", **labels) == 0
    assert worker.value("sluice_latency_seconds_bucket", le="3600.0", **labels) == 9


def test_dead_letters_swaps_and_what_is_live_are_shown(worker: Worker) -> None:
    worker.collector.dead_letters("decode", 3)
    worker.swaps.observe(0.0004)
    worker.swaps.observe(5.0)
    worker.live["wine"] = LiveModel("tree", 3, 7, b"\xab" * 32, Nothing(), {})

    assert worker.value("sluice_dead_letters_total", stage="decode") == 3
    assert worker.value("sluice_swap_seconds_bucket", le="0.001") == 1
    assert worker.value("sluice_swap_seconds_bucket", le="+Inf") == 2
    assert worker.value("sluice_swap_seconds_sum") == pytest.approx(5.0004)
    assert worker.value("sluice_model_live", data_type="wine", model="tree", version="3", sha256="ab" * 32) == 1


def test_the_feed_is_shown_once_it_runs(worker: Worker) -> None:
    assert ("sluice_records_total", frozenset()) not in worker.metrics()

    worker.feed = FeedCounts()

    assert worker.value("sluice_records_total") == 100
    assert worker.value("sluice_lag_records", topic="wine.records", partition="1") == 17
    assert worker.value("sluice_outputs_unacknowledged") == 4


def test_the_process_itself_is_shown(worker: Worker) -> None:
    assert worker.value("sluice_worker_info", worker="w1", epoch="e1", version="0.1.0") == 1
    assert worker.value("process_resident_memory_bytes") > 0


def test_a_worker_is_ready_when_it_says_so_and_gives_its_reason_otherwise(worker: Worker) -> None:
    def ready() -> tuple[int, str]:
        answer = httpx.get(f"{worker.server.url}/readyz")
        return answer.status_code, answer.text

    assert ready() == (503, "not ready: starting\n")
    worker.server.mark_ready()
    assert ready() == (200, "ready\n")
    worker.server.mark_unready("stopping")
    assert ready() == (503, "not ready: stopping\n")
    assert httpx.get(f"{worker.server.url}/healthz").status_code == 200


def test_other_paths_are_not_found_and_head_has_no_body(worker: Worker) -> None:
    assert httpx.get(f"{worker.server.url}/").status_code == 404
    head = httpx.head(f"{worker.server.url}/metrics")
    assert (head.status_code, head.content) == (200, b"")


def test_a_metric_that_fails_is_an_error_of_the_server_and_not_of_the_worker(worker: Worker) -> None:
    worker.live["wine"] = None  # type: ignore[assignment]  # what must never be there

    assert httpx.get(f"{worker.server.url}/metrics").status_code == 500
    assert httpx.get(f"{worker.server.url}/healthz").status_code == 200


def test_clients_that_connect_and_say_nothing_do_not_keep_others_waiting(worker: Worker) -> None:
    host, port = worker.server.url.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(5)]

    assert httpx.get(f"{worker.server.url}/healthz").status_code == 200
    for connection in silent:
        connection.close()


def test_a_port_that_is_taken_is_an_error_at_once(worker: Worker) -> None:
    port = int(worker.server.url.rsplit(":", 1)[1])

    with pytest.raises(OSError, match="in use"):
        MetricsServer(Exposition({}, worker.collector, worker.swaps, dict, lambda: None), port=port)


def test_an_address_of_the_newer_protocol_is_written_in_brackets() -> None:
    server = MetricsServer(Exposition({}, Collector(), Swaps(), dict, lambda: None), host="::1")

    assert server.url.startswith("http://[::1]:")
    server.stop()
