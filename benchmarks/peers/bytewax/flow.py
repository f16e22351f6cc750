"""The dataflow: a source and a sink without the operators that sort out errors, and one operator for whole batches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import bytewax.operators as op
import numpy as np
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow

from benchmarks.peers.python.pmml4s import Pmml4s
from benchmarks.peers.python.results import Results
from benchmarks.peers.python.run import say_ready, this_run
from benchmarks.peers.python.schema import FEATURES, WineRecord
from benchmarks.peers.python.served import Follower


def make_flow() -> Dataflow:
    run = this_run()
    follower, results = Follower(run, Pmml4s), Results(run)

    def score(records: list[KafkaSourceMessage]) -> Iterable[KafkaSinkMessage]:
        served = follower.served
        wines = [WineRecord.FromString(record.value) for record in records]
        cells = chain.from_iterable(map(served.score.row_of, wines))
        rows = np.fromiter(cells, np.float64, len(wines) * len(FEATURES)).reshape(-1, len(FEATURES))
        found = served.score.of_rows(rows).tolist()
        return [
            KafkaSinkMessage(
                record.key,
                results.encode(served, one, wine.data_type, record.partition, record.offset, record.timestamp[1]),
            )
            for record, wine, one in zip(records, wines, found, strict=True)
        ]

    flow = Dataflow("wine")
    source = KafkaSource([run.bootstrap], [run.input], add_config={"fetch.queue.backoff.ms": "5"})
    settings = {
        "acks": "all",
        "enable.idempotence": "true",
        "linger.ms": "5",
        "queue.buffering.max.messages": "500000",
    }
    records = op.input("records", flow, source)
    op.output("results", op.flat_map_batch("score", records, score), KafkaSink([run.bootstrap], run.output, settings))
    say_ready()
    return flow
