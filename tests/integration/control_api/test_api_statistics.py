"""Statistics over HTTP from a real Redis, without it, and in the tutorial's shape."""

from __future__ import annotations

import time
from typing import Any

import pytest
from api_processes import TalkingWorker
from conftest import Place

import sluice
from model_store.core.control_records import ModelState
from model_store.core.decider_counts import ArmCounts, DeciderCounts, DeciderKey
from model_store.core.histogram import Histogram, bucket_of
from model_store.core.stats import Series, Statistics, Tally, observe_batch
from model_store.core.stats_windows import Slot, slots_at
from model_store.stats_store import RedisStatistics, Sheet

pytestmark = pytest.mark.kafka

SERIES = Series("tree", 1, "wine")


def scored(count: int, seconds: float, at_ms: int, errors: int = 0) -> Statistics:
    tally = Tally()
    tally.observe(observe_batch(count, errors, seconds, at_ms))
    return tally.frozen()


def write(url: str, worker: str, observed: Statistics, now_ms: int, dead_letters: dict[str, int] | None = None) -> None:
    sheet = Sheet({SERIES: observed}, dead_letters or {})
    slots: dict[Slot, Sheet] = dict.fromkeys(slots_at(observed.last_ms or now_ms), sheet)
    store = RedisStatistics(url)
    store.write(worker, f"epoch-of-{worker}", now_ms, sheet, slots)
    store.close()


class Served:
    """A replica on a Redis of its own, with two live workers that serve one version."""

    def __init__(self, place: Place, redis: Any) -> None:
        self.redis = redis
        self.replica = place.replica(redis_url=redis.url)
        self.workers: list[TalkingWorker] = [place.worker(self.replica, name) for name in ("w1", "w2")]
        self.offset = self.replica.publish(description="a tree").json()["control_offset"]
        for worker in self.workers:
            last = worker.report(self.offset, 1)
        self.replica.get("/api/v1/workers", min_control_offset=last)


@pytest.fixture
def served(place: Place, redis_server: Any) -> Served:
    return Served(place, redis_server)


def test_the_workers_parts_are_added_up_by_model_key_and_worker(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    write(served.redis.url, "w1", scored(100, 0.2, now), now, {"decode": 2})
    write(served.redis.url, "w2", scored(300, 0.3, now, errors=5), now, {"decode": 1, "route": 1})

    everything = served.replica.get("/api/v1/stats")
    row = everything["series"][0]

    assert (row["name"], row["version"], row["data_type"], row["description"], row["type"]) == (
        "tree", "1", "wine", "a tree", "PMML",
    )  # fmt: skip
    assert (row["usage"], row["errors"], row["duration"], row["min"], row["max"]) == (400, 5, 500.0, 1.0, 2.0)
    assert row["p50_ms"] == pytest.approx(1.0, rel=0.03)
    assert row["p99_ms"] == pytest.approx(2.0, rel=0.03)
    assert row["since"] == "2026-03-01T12:00:00.500Z"
    assert everything["dead_letters"] == {"decode": 3, "route": 1}
    assert not everything["partial"]
    for path in ("models/tree", "models/tree/versions/1", "models/tree/versions/latest", "keys/wine"):
        assert served.replica.get(f"/api/v1/stats/{path}")["series"] == everything["series"]
    assert [w["total"]["usage"] for w in served.replica.get("/api/v1/stats/workers")["workers"]] == [100, 300]
    assert served.replica.get("/api/v1/stats/workers/w2")["dead_letters"] == {"decode": 1, "route": 1}


def test_a_window_holds_what_was_scored_in_it_and_its_rate(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    long_ago = now - 2 * 3600 * 1000
    write(served.redis.url, "w1", scored(600, 0.6, now), now)
    write(served.redis.url, "w2", scored(40, 0.4, long_ago), now)

    usage = {w: served.replica.get("/api/v1/stats", window=w)["total"]["usage"] for w in ("5m", "1h", "24h")}
    total = served.replica.get("/api/v1/stats/keys/wine", window="5m")["total"]

    assert usage == {"5m": 600, "1h": 600, "24h": 640}
    assert total["rate"] == 2.0


def test_an_answer_without_a_live_workers_part_says_that_it_is_partial(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    write(served.redis.url, "w1", scored(1, 0.1, now), now)
    write(served.redis.url, "w2", scored(1, 0.1, now), now - 10 * 60 * 1000)

    found = served.replica.get("/api/v1/stats")

    assert (found["partial"], found["missing_workers"]) == (True, ["w2"])
    assert found["total"]["usage"] == 2


def test_the_tutorials_addresses_answer_in_its_shape(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    write(served.redis.url, "w1", scored(10, 0.05, now), now)

    assert served.replica.get("/processors") == {"models": ["wine"]}
    assert served.replica.get("/state/wine") == {
        "name": "tree", "description": "a tree", "modelType": 2, "since": 1_772_366_400_500, "usage": 10,
        "duration": 50.0, "min": 5, "max": 5,
    }  # fmt: skip
    assert served.replica.get("/state/beer") == {
        "name": "", "description": "", "modelType": 2, "since": 0, "usage": 0, "duration": 0.0,
        "min": 9223372036854775807, "max": -9223372036854775808,
    }  # fmt: skip


def test_without_redis_statistics_alone_are_unavailable_and_come_back_with_it(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    write(served.redis.url, "w1", scored(7, 0.1, now), now)
    served.redis.stop()

    down = served.replica.client.get("/api/v1/stats")
    published = served.replica.publish(headers={"Idempotency-Key": "while-redis-is-down"})
    again = served.replica.publish(headers={"Idempotency-Key": "while-redis-is-down"})
    served.workers[0].report(published.json()["control_offset"], 2, ModelState.LIVE)
    ready = served.replica.client.get("/readyz")
    served.redis.start()
    up = served.replica.get("/api/v1/stats")

    assert (down.status_code, down.json()["type"]) == (503, "/problems/statistics-unavailable")
    assert down.headers["content-type"] == "application/problem+json"
    assert int(down.headers["retry-after"]) > 0
    assert (published.status_code, ready.status_code) == (202, 200)
    assert again.json() == published.json()
    assert up["total"]["usage"] == 7


def test_statistics_of_what_there_is_not_are_not_found(served: Served) -> None:
    for path in ("models/none", "models/tree/versions/9", "keys/none", "workers/none"):
        assert served.replica.client.get(f"/api/v1/stats/{path}").status_code == 404


def test_what_deciders_did_is_added_up_by_route_and_shown_by_the_client_too(served: Served) -> None:
    now = time.time_ns() // 1_000_000
    waited = Histogram({bucket_of(20e6): 10})
    counts = DeciderCounts(7, 2, 1, {"": ArmCounts(4, 6, 3, 1), "b": ArmCounts(3, 8, 0, 2)}, waited)
    store = RedisStatistics(served.redis.url)
    for worker, keys in (("w1", ["wine", "w*"]), ("w2", ["wine"])):
        sheet = Sheet({}, {}, {DeciderKey(key, "vote"): counts for key in keys})
        long_ago = slots_at(now - 3 * 3600 * 1000)[1]
        slots = {long_ago: sheet, **(dict.fromkeys(slots_at(now), sheet) if worker == "w2" else {})}
        store.write(worker, "e1", now, sheet, slots)
    store.close()

    everything = served.replica.get("/api/v1/stats/deciders")
    recent = served.replica.get("/api/v1/stats/deciders", window="5m")
    with sluice.Client(served.replica.url) as client:
        by_client = client.decider_stats("24h", route="wine")

    assert [(row["route"], row["decider"], row["records"]) for row in everything["deciders"]] == [
        ("w*", "vote", 10), ("wine", "vote", 20),
    ]  # fmt: skip
    wine = everything["deciders"][1]
    assert (wine["decided"], wine["unanswered"], wine["undecidable"]) == (14, 4, 2)
    assert wine["p50_ms"] == pytest.approx(20.0, rel=0.03)
    assert wine["arms"][0] == {"arm": "", "chosen": 8, "answered": 12, "late": 6, "failed": 2}
    assert (recent["window"], [row["records"] for row in recent["deciders"]]) == ("5m", [10])
    assert [(row.route, row.records, row.arms[1].chosen) for row in by_client.deciders] == [("wine", 30, 9)]
    assert served.replica.client.get("/api/v1/stats/deciders/beer").status_code == 404
