"""Decodes a batch with protobuf, scores it with numpy in one call, and encodes the full result message.

One message object for each partition and data type is kept and only what differs is set: a third of the time that
making a new one takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from confluent_kafka import Message

from benchmarks.peers.python.arithmetic import Arithmetic, read_arithmetic
from benchmarks.peers.python.confluent_loop import ConfluentLoop
from benchmarks.peers.python.run import Run, this_run
from benchmarks.peers.python.schema import FEATURES, ScoreResult, WineRecord, row_of
from benchmarks.peers.python.served import Follower, Served


class Scoring:
    """From records to results."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._follower = Follower(run, read_arithmetic)
        self._served: Served[Arithmetic] | None = None
        self._results: dict[tuple[int, str], ScoreResult] = {}

    def answer(self, records: list[Message]) -> Sequence[bytes]:
        served = self._follower.served
        if served is not self._served:
            self._served, self._results = served, {}
        wines = list(map(WineRecord.FromString, map(Message.value, records)))
        cells = chain.from_iterable(map(row_of, wines))
        rows = np.fromiter(cells, np.float64, len(wines) * len(FEATURES)).reshape(-1, len(FEATURES))
        scores = served.score.of_rows(rows).tolist()
        results, encoded = self._results, []
        for wine, record, score in zip(wines, records, scores, strict=True):
            place = (record.partition(), wine.data_type)
            result = results.get(place)
            if result is None:
                result = results[place] = ScoreResult(
                    **served.provenance(self._run), partition=place[0], data_type=place[1]
                )
            result.offset = record.offset()
            result.record_timestamp_ms = record.timestamp()[1]
            if served.score.has_several_outputs:
                result.scores[:] = score
            else:
                result.prediction = score
            encoded.append(result.SerializeToString())
        return encoded


def main() -> None:
    run = this_run()
    ConfluentLoop(run).work(Scoring(run).answer)


if __name__ == "__main__":
    main()
