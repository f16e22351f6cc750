"""What a worker keeps of versions that served and no longer do: little, however many there were."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from modelserving.v1 import records_pb2
from serving_story import GROUP, Story, plan

from model_store.core.sketch import counts_of_numbers
from model_store.core.stats import Series
from serving.adapters.statistics import Collector
from serving.core.active_plan import ActivePlan
from serving.formats.message_encoder import MessageEncoder
from serving.routing import Routing

VERSIONS = 300


@pytest.fixture
def kept_bytes() -> Iterator[Callable[[], int]]:
    """Bytes of Python's allocators that were asked for since and not given back."""
    tracemalloc.start()

    def kept() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield kept
    tracemalloc.stop()


def test_statistics_of_a_version_that_rests_take_a_tenth_of_what_they_take_while_it_serves(kept_bytes) -> None:
    now_ms = 1_800_000_000_000
    collector = Collector(lambda: now_ms)
    rng = np.random.default_rng(1)

    def serve(version: int) -> None:
        for _ in range(20):
            ages, seen = now_ms - rng.integers(1, 400, 200), counts_of_numbers(rng.normal(6, 0.5, 200))
            collector.observe(Series("tree", version, "wine"), 200, 0, rng.lognormal(-9), ages, seen)

    serve(0)
    before = kept_bytes()
    for version in range(VERSIONS):
        serve(version)
        collector.total()
    serving = kept_bytes() - before

    now_ms += 120_000
    collector.observe(Series("tree", VERSIONS, "wine"), 1, 0, 0.01)
    collector.total()

    assert kept_bytes() - before < serving / 10
    assert len(collector.total().series) == VERSIONS + 1


def test_what_results_of_a_version_have_in_common_is_forgotten_some_minutes_after_it_served(kept_bytes) -> None:
    now = 0.0
    encoder = MessageEncoder(records_pb2.ScoreResult.DESCRIPTOR, fewest_messages=0, clock=lambda: now)
    predictions = np.arange(8.0)

    def serve(version: int) -> None:
        for partition in range(4):
            scalars = {"model": "tree", "model_version": version, "sha256": bytes(32), "partition": partition}
            encoded = encoder.encode(8, {**scalars, "prediction": predictions})
            assert records_pb2.ScoreResult.FromString(encoded[0]).model_version == version

    kept = []
    for version in range(VERSIONS):
        now += 10.0
        serve(version)
        kept.append(kept_bytes() if version % 100 == 99 else 0)

    of_a_hundred = kept[99]
    assert kept[299] < 1.2 * of_a_hundred


def test_plans_of_a_route_that_were_followed_by_others_are_forgotten() -> None:
    story, routing = Story(3), Routing(GROUP)

    for number in range(VERSIONS):
        entry = story.at_once("red", plan(number % 3 + 1))
        routing.follow(story.catalogue)
        active = routing.plan_of("red", story.catalogue.routes["red"].current)
        assert active is not None
        assert active.change == entry.change

    del active
    gc.collect()
    assert sum(isinstance(each, ActivePlan) for each in gc.get_objects()) < 50
