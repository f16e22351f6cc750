"""What runs in Spark's Python workers: Arrow batches of records to Arrow batches of results."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain

import numpy as np
import pyarrow as pa

from benchmarks.peers.python.results import Results
from benchmarks.peers.python.run import this_run
from benchmarks.peers.python.schema import FEATURES, WineRecord, row_of
from benchmarks.peers.spark.hand_over import Reader


@cache
def _of_process() -> tuple[Reader, Results]:
    """Spark uses a worker process again for later tasks; a model is read once in each."""
    run = this_run()
    return Reader(run), Results(run)


def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Columns `key`, `value`, `partition`, `offset`, `timestamp_ms` to `key`, `value`."""
    reader, results = _of_process()
    for batch in batches:
        served = reader.served()
        wines = list(map(WineRecord.FromString, batch.column("value").to_pylist()))
        cells = chain.from_iterable(map(row_of, wines))
        rows = np.fromiter(cells, np.float64, len(wines) * len(FEATURES)).reshape(-1, len(FEATURES))
        found = served.score.of_rows(rows).tolist()
        origin = [batch.column(name).to_pylist() for name in ("partition", "offset", "timestamp_ms")]
        encoded = [
            results.encode(served, one, wine.data_type, partition, offset, timestamp_ms)
            for one, wine, partition, offset, timestamp_ms in zip(found, wines, *origin, strict=True)
        ]
        yield pa.RecordBatch.from_arrays([batch.column("key"), pa.array(encoded, pa.binary())], ["key", "value"])
