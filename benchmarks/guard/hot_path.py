"""What a worker does with a batch between Kafka and Kafka: its real pipeline, formats, routing, scorers and statistics.

Records are the demonstration's wines in protobuf, results are protobuf with full provenance.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.stand_in import NOW_MS, Batch
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.control_records import Announced, ControlRecord, PartitionOffset, PartitionsClaimed, RouteApplied
from model_store.core.descriptor import Descriptor
from model_store.core.stats import Series
from serving.adapters.statistics import Collector
from serving.core.binding import bind
from serving.core.deciders import DECIDERS
from serving.feed.batch import Output
from serving.live import LiveModel, LiveModels
from serving.pipeline import Observation
from serving.routing import Routing
from serving.scorers.base import Scorer
from serving.settings import Stream
from serving.streams import open_stream
from sluice.demo.wine import DESCRIPTOR_SET, FEATURES, MESSAGE, make_wines

_GROUP, _TOPIC, _STREAM, _WORKER, _CLAIM = "guard", "wines", "wine", "worker-1", "claim"


class HotPath:
    """A worker's way of a batch, on one thread.

    Args:
        scorers: Data type -> what scores it. The records of a batch are of these types in turn.
    """

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        settings = Stream.model_validate(
            {
                "name": _STREAM,
                "topic": _TOPIC,
                "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(DESCRIPTOR_SET)},
                "route": {"field": "data_type"},
                "features": list(FEATURES),
                "results": {"topic": "results"},
            }
        )
        stream = open_stream(settings, "dead")
        log = _Log()
        live = LiveModels(lambda _: None)
        for name, scorer in scorers.items():
            version = log.announced(name)
            binding = bind(scorer.signature, stream.fields.numbers, stream.fields.texts, list(FEATURES))
            live.add(LiveModel(name, 1, version, bytes(range(32)), scorer, {_STREAM: binding}))
        routing = Routing(_GROUP)
        routing.follow(log.catalogue)
        # A clock that stands still: no time slot ends while something is counted.
        self._collector = Collector(lambda: NOW_MS)
        self._pipeline = stream.pipeline(
            live, routing, _WORKER, DECIDERS.get, self._observe, self._collector.dead_letters, lambda _: []
        )
        self._types = list(scorers)

    def batch(self, records: int) -> Batch:
        """So many records, of all data types in turn."""
        message = _message()
        values = []
        wines = make_wines().matrix.tolist()
        for number in range(records):
            row, name = wines[number % len(wines)], self._types[number % len(self._types)]
            values.append(message(**dict(zip(FEATURES, row, strict=True)), data_type=name).SerializeToString())
        return Batch(values, [b"%024x" % number for number in range(records)], _TOPIC)

    def run(self, batch: Batch) -> list[Output]:
        """What becomes of the records: what the agent does with a batch that need not wait."""
        opened = self._pipeline.open(batch)
        for work in opened.works:
            work.score()
        self._pipeline.settle(opened)
        outputs = self._pipeline.close(opened)
        self._pipeline.finish(opened)
        return outputs

    def check(self, records: int) -> None:
        """That every record has a result: figures of a path that does nothing would be very good.

        Raises:
            AssertionError: One has not.
        """
        outputs = self.run(self.batch(records))
        found = {output.topic: len(output.values) for output in outputs}
        assert found == {"results": records}, f"of {records} records came {found}"

    def _observe(self, seen: Observation) -> None:
        series = Series(seen.model.model, seen.model.version, seen.data_type)
        scored, errors = seen.records - seen.errors, seen.errors
        self._collector.observe_values(series, scored, errors, 1e-3, seen.timestamps_ms, seen.values, seen.pairs)


class _Log:
    """A control log on which models are announced, each serving its data type from the first record on."""

    def __init__(self) -> None:
        self.catalogue: Catalogue = EMPTY
        self._say(PartitionsClaimed(_WORKER, "epoch", _CLAIM, _GROUP, (PartitionOffset(_TOPIC, 0, 0),), 1))

    def announced(self, name: str) -> int:
        offset = self._say(Announced(Descriptor(name, name, "PMML", location="/m")))
        self._say(RouteApplied(_WORKER, offset, name, _CLAIM, _GROUP, (PartitionOffset(_TOPIC, 0, 0),)))
        return offset

    def _say(self, record: ControlRecord) -> int:
        offset = self.catalogue.offset + 1
        self.catalogue = fold(self.catalogue, LogEntry(offset, offset, record))
        return offset


def _message() -> type:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))
