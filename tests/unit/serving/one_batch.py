"""One batch through a stream's pipeline, without an agent, a loop or a thread: what was observed, and what came out."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from serving_story import GROUP, STREAM, TOPIC, Given, Record, Story, live_model

from model_store.core.decider_counts import DeciderCounts, DeciderKey
from serving.core.deciders import DECIDERS, Decider
from serving.live import LiveModels
from serving.pipeline import Observation
from serving.routing import Routing
from serving.settings import Stream
from serving.streams import open_stream

SETTINGS = Stream.model_validate(
    {
        "name": STREAM,
        "topic": TOPIC,
        "format": {"type": "json"},
        "route": {"field": "data_type"},
        "features": ["x"],
        "results": {"topic": "results", "dark_topic": "dark"},
    }
)


class OneBatch:
    """Scores records as the log of a story says, and keeps all that came of it."""

    def __init__(self, story: Story, *scorers: Any, deciders: Mapping[str, Decider] = DECIDERS) -> None:
        self.live = LiveModels(lambda model: None)
        for scorer in scorers:
            self.live.add(live_model(story, scorer.version, scorer))
        self.seen: dict[int, Observation] = {}
        self.observed: list[Observation] = []
        self.decided: dict[DeciderKey, DeciderCounts] = {}
        self.results: dict[int, ScoreResult] = {}
        self.dead: dict[int, DeadLetter] = {}
        routing = Routing(GROUP)
        routing.follow(story.catalogue)
        self.pipeline = open_stream(SETTINGS, "dead").pipeline(
            self.live, routing, "w1", deciders.get, self._observe, lambda stage, count: None, lambda _: [],
            self.decided.__setitem__,
        )  # fmt: skip

    def score(self, records: Sequence[Record], late: Container[int] = (), arrivals: Sequence[int] = (0, 1, 2)) -> None:
        """Have all models score, but the arms in `late`, which are not waited for."""
        given = Given(records)
        opened = self.pipeline.open(given.batch)
        for work in opened.works:
            work.score()
        for ballot in opened.ballots:
            for index in (each for each in arrivals if each < len(ballot.works)):
                work_of_arm = ballot.works[index]
                if work_of_arm is None:
                    continue
                work_of_arm.is_late = index in late
                if index not in late:
                    work_of_arm.score()
                    ballot.arrived.append(index)
        for work in self.pipeline.settle(opened):
            work.score()
        for output in self.pipeline.close(opened):
            for value in output.values:
                assert value is not None
                self._take(output.topic, value)
        self.pipeline.finish(opened)

    def _observe(self, seen: Observation) -> None:
        self.observed.append(seen)
        self.seen[seen.model.version] = seen

    def _take(self, topic: str, value: bytes) -> None:
        if topic == "results":
            result = ScoreResult.FromString(value)
            assert result.offset not in self.results, "a record has two results"
            self.results[result.offset] = result
        elif topic == "dead":
            letter = DeadLetter.FromString(value)
            assert letter.offset not in self.dead, "a record has two dead letters"
            self.dead[letter.offset] = letter
        assert not self.results.keys() & self.dead.keys(), "a record has a result and a dead letter"
