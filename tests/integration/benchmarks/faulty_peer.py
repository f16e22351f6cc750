"""A system that does the work of the benchmarks in the simplest way, and does it wrong where `FAULT` says so.

Every 101st record it `loses`, writes `twice`, `misjudges`; or it `misquotes` its offset or `misnames` its model. With
`commits early` offsets are committed before the results of what they cover are written, so that a kill loses records.
"""

import hashlib
import os
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.models import model
from benchmarks.records import PARTITIONS, wine_values

EVERY = 101  # of no partition alone
FAULT = os.environ["FAULT"]


def main() -> None:
    env = os.environ
    digest = hashlib.sha256(Path(env["MODEL"]).read_bytes()).digest()
    known = model("tree").expected[:, 0].tolist()
    answers = {value: known[at] if at < len(known) else 0.0 for at, value in enumerate(wine_values())}
    consumer = Consumer(
        {
            "bootstrap.servers": env["BOOTSTRAP"], "group.id": env["GROUP"], "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500,
        }
    )  # fmt: skip
    producer = Producer({"bootstrap.servers": env["BOOTSTRAP"], "enable.idempotence": True, "linger.ms": 5})
    consumer.subscribe([env["INPUT"]])
    held: list[tuple[bytes, bytes]] = []
    while True:
        records = consumer.consume(500, 0.1)
        if FAULT == "commits early":
            if records:
                consumer.commit(asynchronous=False)
            if records and len(held) < 200:
                held += [(r.key(), result(r, answers, digest)) for r in records]
                continue
        else:
            for r in records:
                if not (FAULT == "loses" and is_hit(r)):
                    held += [(r.key(), result(r, answers, digest))] * (2 if FAULT == "twice" and is_hit(r) else 1)
        for key, value in held:
            producer.produce(env["OUTPUT"], value, key)
        held = [(r.key(), result(r, answers, digest)) for r in records] if FAULT == "commits early" else []
        if producer.flush(30):
            raise SystemExit("the broker did not take everything")
        if records and FAULT != "commits early":
            consumer.commit(asynchronous=False)
        time.sleep(0)


def is_hit(record) -> bool:
    return (record.offset() * PARTITIONS + record.partition()) % EVERY == 0


def result(record, answers: dict[bytes, float], digest: bytes) -> bytes:
    hit = is_hit(record)
    return ScoreResult(
        model="wine",
        model_version=1,
        sha256=hashlib.sha256(b"another").digest() if hit and FAULT == "misnames" else digest,
        data_type="wine",
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset() + (1 if hit and FAULT == "misquotes" else 0),
        worker="faulty",
        record_timestamp_ms=record.timestamp()[1],
        prediction=answers[record.value()] + (0.01 if hit and FAULT == "misjudges" else 0.0),
    ).SerializeToString()


if __name__ == "__main__":
    main()
