"""A stream of records that flows while a test does something to the workers."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from deployment import Deployment, wine_values
from modelserving.v1.records_pb2 import ScoreResult


class Sending:
    """Sends records in a thread, in chunks of 400, until the block ends; as fast as the broker takes them, or with pauses."""

    def __init__(self, deployment: Deployment, pause_seconds: float = 0.0, data_type: str = "wine") -> None:
        self._deployment, self._pause = deployment, pause_seconds
        self._values = wine_values(data_type)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Sending:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive()
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._deployment.send(self._values[:400])
                self.sent += 400
                self._stop.wait(self._pause)
        except BaseException as error:
            self.error = error


def assert_once(deployment: Deployment, results: Sequence[ScoreResult], records: int) -> None:
    """Each record has one result; a second one only where Kafka took partitions from a worker that did nothing wrong."""
    assert len(set(coordinates(results))) == records, "records were lost"
    assert len(results) == records or any(worker.has_lost_partitions() for worker in deployment.workers)


def coordinates(results) -> list[tuple[int, int]]:
    """Where the records of results stood in their topic."""
    return [(row.partition, row.offset) for row in results]
