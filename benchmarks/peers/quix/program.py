"""A streaming data frame: input topic, `apply`, output topic."""

from __future__ import annotations

from quixstreams import Application, message_context

from benchmarks.peers.python.pmml4s import Pmml4s
from benchmarks.peers.python.results import Results
from benchmarks.peers.python.run import say_ready, this_run
from benchmarks.peers.python.schema import WineRecord
from benchmarks.peers.python.served import Follower


def main() -> None:
    run = this_run()
    follower, results = Follower(run, Pmml4s), Results(run)
    transaction = {"transactional.id": run.group} if run.is_exactly_once else {}
    app = Application(
        broker_address=run.bootstrap,
        consumer_group=run.group,
        auto_offset_reset="earliest",
        commit_interval=0.1 if run.is_exactly_once else 1.0,
        processing_guarantee="exactly-once" if run.is_exactly_once else "at-least-once",
        consumer_extra_config={
            "fetch.queue.backoff.ms": 5,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
        },
        producer_extra_config={
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            **transaction,
        },
        state_dir=run.state,
        auto_create_topics=False,
        loglevel="WARNING",
    )

    def score(value: bytes, _key: bytes, timestamp_ms: int, _headers: object) -> bytes:
        record, served, at = WineRecord.FromString(value), follower.served, message_context()
        found = served.score.of_row(served.score.row_of(record))
        return results.encode(served, found, record.data_type, at.partition, at.offset, timestamp_ms)

    source = app.topic(run.input, key_deserializer="bytes", value_deserializer="bytes")
    sink = app.topic(run.output, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(source).apply(score, metadata=True).to_topic(sink)
    say_ready()
    app.run()


if __name__ == "__main__":
    main()
