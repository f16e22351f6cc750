"""The commands against a real control API on a real Kafka, with workers that only talk."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_processes import PMML, Replica, TalkingWorker
from confluent_kafka import Producer
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import until
from structlog.testing import capture_logs
from typer.testing import CliRunner

from model_store.core.control_records import ModelState
from sluice.cli import app


def sluice(replica: Replica, *arguments: str) -> Any:
    return CliRunner().invoke(app(), [*arguments, "--api", replica.url], prog_name="sluice")


@pytest.fixture(autouse=True)
def _log_apart_from_the_commands_output() -> Iterator[None]:
    """The replica is a thread of this process, whose standard output is the command's."""
    with capture_logs():
        yield


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "Wine Tree.pmml"
    path.write_bytes(PMML)
    return str(path)


def answer_publication(
    replica: Replica, worker: TalkingWorker, state: ModelState, reason: str = ""
) -> threading.Thread:
    """Report on the next version of `wine-tree`, as soon as it is there."""

    def newest() -> Any:
        found = replica.client.get("/api/v1/registered-models/wine-tree/versions/latest")
        return found.status_code == 200 and found.json()

    before = newest()

    def report() -> None:
        version = until(lambda: (found := newest()) and found != before and found)
        worker.report(version["control_offset"], int(version["version"]), state, reason, "wine-tree")

    thread = threading.Thread(target=report)
    thread.start()
    return thread


def test_publish_and_wait_says_which_version_is_live_where_since_when(place: Any, document: str) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    reporting = answer_publication(replica, worker, ModelState.LIVE)

    done = sluice(replica, "publish", document, "--for", "wine", "--mode", "immediate", "--wait")

    reporting.join()
    assert done.exit_code == 0, done.output
    published, progress, live = done.stdout.splitlines()
    assert published.startswith(f"wine-tree version 1 (PMML, {len(PMML)} bytes, sha256 ")
    assert progress == f"  w1: live since {place.data_topic} 0@100 (loaded in 12 ms, scoring paused 0.25 ms)"
    assert live == f"wine-tree version 1 is live for wine on 1 of 1 workers, since {place.data_topic} 0@100."


def test_a_refused_model_is_exit_status_one_with_the_reason_and_what_serves_on(place: Any, document: str) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    reporting = answer_publication(replica, worker, ModelState.LIVE)
    assert sluice(replica, "publish", document, "--for", "wine", "--mode", "immediate", "--wait").exit_code == 0
    reporting.join()
    reporting = answer_publication(replica, worker, ModelState.REFUSED, "the tree has no leaf")

    done = sluice(replica, "publish", document, "--for", "wine", "--mode", "immediate", "--wait")

    reporting.join()
    assert done.exit_code == 1
    assert "wine-tree version 2 was refused by w1: the tree has no leaf" in done.stderr
    assert "wine-tree version 1 serves wine on." in done.stderr


def test_without_a_worker_the_wait_says_so_and_ends_with_status_five(place: Any, document: str) -> None:
    replica = place.replica()

    done = sluice(replica, "publish", document, "--for", "wine", "--mode", "immediate", "--wait", "--timeout", "0.5")

    assert done.exit_code == 5
    assert "No worker is running" in done.stdout
    assert "is not done" in done.stderr


def test_publish_for_machines_is_one_object(place: Any, document: str) -> None:
    replica = place.replica()

    done = sluice(replica, "publish", document, "--for", "wine", "--name", "tree", "--json")

    published = json.loads(done.stdout)
    assert (published["model"], published["version"], published["data_type"]) == ("tree", "1", "wine")


def test_a_contradiction_is_told_with_both_types_and_status_four(place: Any, document: str) -> None:
    replica = place.replica()

    done = sluice(replica, "publish", document, "--for", "wine", "--type", "TENSORFLOW")

    assert done.exit_code == 4
    assert "TENSORFLOW" in done.stderr
    assert "PMML" in done.stderr


def test_queries_say_nothing_is_there_in_words_and_in_json(place: Any) -> None:
    replica = place.replica()

    assert "No model is published yet" in sluice(replica, "models").stdout
    assert "No model is published for any data type" in sluice(replica, "routes").stdout
    assert "No worker lives" in sluice(replica, "workers").stdout
    for query in ("models", "routes", "workers"):
        assert json.loads(sluice(replica, query, "--json").stdout) == []


def test_queries_name_what_is_published_and_who_serves_it(place: Any) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    offset = replica.publish(description="A fine tree").json()["control_offset"]
    worker.report(offset, 1)
    until(lambda: replica.get("/api/v1/deployments/wine")["workers"])

    assert "A fine tree" in sluice(replica, "models").stdout
    assert "READY (serving)" in sluice(replica, "models", "tree").stdout
    assert sluice(replica, "routes").stdout.splitlines()[1].split()[:3] == ["wine", "tree", "1"]
    assert "wine: tree 1" in sluice(replica, "workers").stdout
    assert json.loads(sluice(replica, "routes", "--json").stdout)[0]["serving"]["version"] == "1"


def test_statistics_that_are_not_there_are_a_problem_in_words(place: Any) -> None:
    done = sluice(place.replica(), "stats")

    assert done.exit_code == 4
    assert "There are no statistics now" in done.stderr


def test_results_and_dead_letters_are_printed_one_a_line(place: Any, kafka: Any) -> None:
    replica = place.replica()
    results, letters = kafka.create_topic(1), kafka.create_topic(1)
    place.worker(replica, result_topic=results, dead_letter_topic=letters)
    scored = ScoreResult(
        model="tree", model_version=3, data_type="wine", topic="records", offset=8, label="6", scores=[0.25, 0.75]
    )
    producer = Producer({"bootstrap.servers": place.kafka})
    producer.produce(results, scored.SerializeToString())
    producer.produce(results, scored.SerializeToString())
    producer.produce(
        letters, DeadLetter(topic="records", offset=9, stage=1, reason="no wine", value=b"abc").SerializeToString()
    )
    assert producer.flush(15) == 0

    tail = sluice(replica, "tail", "--last", "2", "--count", "2")
    for_machines = sluice(replica, "tail", "wine", "--last", "1", "--count", "1", "--json")
    dead = sluice(replica, "dead-letters")

    assert [line.split() for line in tail.stdout.splitlines()] == [
        ["records", "0@8", "wine", "tree", "3", "6", "[0.25,", "0.75]"]
    ] * 2
    assert json.loads(for_machines.stdout)["result"]["model_version"] == "3"
    assert "records 0@9  decode  no wine  (value: abc)" in dead.stdout


def test_a_stream_that_nobody_has_declared_is_a_usage_error(place: Any) -> None:
    done = sluice(place.replica(), "tail")

    assert done.exit_code == 2
    assert "no worker has declared a stream yet" in " ".join(done.stderr.replace("│", "").split())
