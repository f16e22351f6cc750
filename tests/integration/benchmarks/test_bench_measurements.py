"""Real measurements on a real Kafka: what the suite says of systems whose faults are known, and of the worker."""

import sys
from pathlib import Path

import pytest

from benchmarks import kill, latency, start, throughput
from benchmarks.discovery import Entry, find_peers
from benchmarks.models import BOTTLES
from benchmarks.peer import Peer
from benchmarks.processes import EndedError
from benchmarks.records import fill
from benchmarks.start import RECORDS
from benchmarks.topics import Topics
from sluice.demo.wine import ROWS

pytestmark = pytest.mark.kafka
EVERY = 101
HIT = len(range(0, RECORDS, EVERY))
KNOWN_AND_HIT = sum(1 for number in range(0, RECORDS, EVERY) if number % ROWS < BOTTLES)


@pytest.fixture
def topics(kafka) -> Topics:
    return Topics(kafka.bootstrap)


def faulty(fault: str) -> Entry:
    program = str(Path(__file__).parent / "faulty_peer.py")
    peer = Peer(
        name="faulty",
        title="A system of the tests",
        models=("tree",),
        install=lambda _: None,
        command=lambda _: [sys.executable, program],
        environment={"FAULT": fault},
    )
    return Entry(peer, "tree", "at_least_once")


@pytest.mark.parametrize(
    ("fault", "counts"),
    [
        ("none", {}),
        ("loses", {"lost": HIT}),
        ("twice", {"duplicated": HIT}),
        ("misjudges", {"wrong": KNOWN_AND_HIT}),
        ("misquotes", {"flawed": HIT}),
        ("misnames", {"wrong": KNOWN_AND_HIT, "flawed": HIT}),
    ],
)
def test_every_fault_of_a_system_is_counted_exactly(topics, monkeypatch, fault, counts):
    monkeypatch.setattr("benchmarks.tally._QUIET_SECONDS", 10.0)

    found = start.measure(faulty(fault), topics)

    expected = {"lost": 0, "duplicated": 0, "foreign": 0, "wrong": 0, "flawed": 0, **counts}
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.is_right == (fault in ("none", "twice"))


def test_a_kill_of_a_system_that_commits_too_early_shows_what_it_lost(topics, monkeypatch):
    monkeypatch.setattr("benchmarks.tally._QUIET_SECONDS", 10.0)

    found = kill.measure(faulty("commits early"), topics, kills=1, rate=500)

    assert found.lost > 0
    assert found.wrong == found.flawed == found.foreign == 0


def test_a_system_with_wrong_answers_has_a_cost_but_is_not_right(topics):
    with topics.new("backlog") as source:
        fill(topics.bootstrap, source, 20_000)

        found = throughput.measure(
            faulty("misjudges"), topics, source, throughput.Window(20_000, 2_000, 8_000), round_=0
        )

    assert found.cpu_us > 0
    assert found.records >= 8_000
    assert not found.is_right


def test_a_system_that_ends_says_its_last_words(topics):
    peer = Peer("dies", "", ("tree",), lambda _: None, lambda _: [sys.executable, "-c", "raise SystemExit('no luck')"])

    with pytest.raises(EndedError, match="no luck"):
        start.measure(Entry(peer, "tree", "at_least_once"), topics)


def test_the_worker_loses_nothing_and_answers_rightly_when_it_is_killed(topics):
    worker = next(peer for peer in find_peers()[0] if peer.name == "worker")

    found = kill.measure(Entry(worker, "linear", "at_least_once"), topics, kills=1, rate=500)

    assert found.sent > 3_000
    assert (found.lost, found.foreign, found.wrong, found.flawed) == (0, 0, 0, 0)
    assert len(found.back_seconds) == 1


def test_the_baseline_has_every_record_and_a_delay(topics):
    found = latency.measure_baseline(topics, rate=500, seconds=1.0)

    assert (found.sent, found.missing, found.wrong) == (500, 0, 0)
    assert 0 < found.delays.p50 <= found.delays.p99 <= found.delays.worst
