"""What a good engineer writes in an afternoon: consume, decode with protobuf, score with numpy, encode, produce, commit.

One model, fixed; the result is a small message of three fields; no swap, no dead letters, no provenance.
"""

from __future__ import annotations

import os
import time
from operator import attrgetter
from pathlib import Path

import numpy as np
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.records import message_class
from benchmarks.systems.arithmetic import read_model
from benchmarks.systems.relay import clients, commit, send
from sluice.demo.wine import FEATURES


def main() -> None:
    predict = read_model(Path(os.environ["MODEL"]))
    parse = message_class().FromString
    row_of = attrgetter(*FEATURES)
    consumer, producer, output = clients()
    committed = time.monotonic()
    while True:
        records = consumer.consume(1_000, 0.05)
        if records:
            rows = np.array([row_of(parse(record.value())) for record in records])
            results = [
                {
                    "key": record.key(),
                    "value": ScoreResult(model="wine", data_type="wine", prediction=value).SerializeToString(),
                }
                for record, value in zip(records, predict(rows).tolist(), strict=True)
            ]
            send(producer, output, results)
        producer.poll(0)
        if time.monotonic() - committed > 1:
            commit(consumer, producer)
            committed = time.monotonic()


if __name__ == "__main__":
    main()
