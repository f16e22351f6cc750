"""The load: protobuf wine records, about 105 bytes with a 24-byte key that says which record it is and when it was sent.

Record `i` goes to partition `i % PARTITIONS` and so has offset `i // PARTITIONS` there: key and coordinates say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka import Producer
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.models import DATA_TYPE
from sluice.demo.wine import DESCRIPTOR_SET, FEATURES, MESSAGE, Wines, make_wines

PARTITIONS = 4
KEY_BYTES = 24
_CHUNK = 4_000


def message_class() -> type:
    """The generated class of the demo's wine record."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))


def data_types(count: int) -> tuple[str, ...]:
    """Names of so many data types; the first is the one that all records have where there is one."""
    return (DATA_TYPE, *(f"{DATA_TYPE}-{number}" for number in range(2, count + 1)))


def data_type_of(index: int, types: Sequence[str]) -> str:
    """Of record `index`: each partition has all types in turn."""
    return types[index // PARTITIONS % len(types)]


def wine_values(wines: Wines | None = None, types: Sequence[str] = (DATA_TYPE,)) -> list[bytes]:
    """One serialised record a bottle; record `i` of a topic is number `i % len()`, and has the type that is its.

    Raises:
        ValueError: The types do not come out even with the bottles.
    """
    record = message_class()
    rows = (wines or make_wines()).matrix
    if len(rows) % (PARTITIONS * len(types)):
        raise ValueError(
            f"{len(rows)} bottles cannot be shared evenly by {len(types)} types of {PARTITIONS} partitions"
        )
    return [
        record(
            **dict(zip(FEATURES, row.tolist(), strict=True)), data_type=data_type_of(number, types)
        ).SerializeToString()
        for number, row in enumerate(rows)
    ]


def wine_json(wines: Wines | None = None) -> list[bytes]:
    """The same bottles as requests of the V2 inference protocol, for systems that know nothing else."""
    wines = wines or make_wines()
    tensor = '{"name":"wine","shape":[1,%d],"datatype":"FP64","data":[%s]}'
    return [
        ('{"inputs":[%s]}' % (tensor % (len(row), ",".join(map(repr, row.tolist()))))).encode() for row in wines.matrix
    ]


def key(index: int, sent_us: int = 0) -> bytes:
    """8 hexadecimal digits of the index, 16 of the sending time in microseconds."""
    return b"%08x%016x" % (index, sent_us)


def parse_key(key: bytes) -> tuple[int, int]:
    """Index and sending time. Raises `ValueError` where it is no such key."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes, expected {KEY_BYTES}")
    return int(key[:8], 16), int(key[8:], 16)


def fill(bootstrap: str, topic: str, count: int, values: list[bytes] | None = None, first: int = 0) -> None:
    """Write `count` records from number `first` on, evenly over the partitions; returns when the broker has all, each once."""
    values = values or wine_values()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 2_000_000,
            "log_level": 0,
        }
    )
    failed: list[str] = []
    for partition, numbers in chunks(first, first + count):
        todo = [{"key": key(i), "value": values[i % len(values)]} for i in numbers]
        while todo and producer.produce_batch(topic, todo, partition=partition, on_delivery=_note(failed)) < len(todo):
            todo = [message for message in todo if message.pop("_error", None) is not None]
            producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(120)
    if left or failed:
        raise RuntimeError(f"{left} records were not written, {len(failed)} were refused: {failed[:1]}")


def chunks(first: int, end: int) -> Iterator[tuple[int, range]]:
    """(partition, numbers of records for it), in the order of writing; `first` is a multiple of the partitions."""
    for start in range(first, end, _CHUNK):
        for number in range(start, min(end, start + PARTITIONS)):
            yield number % PARTITIONS, range(number, min(end, start + _CHUNK), PARTITIONS)


def _note(failed: list[str]):
    def report(error, _message) -> None:
        if error is not None:
            failed.append(error.str())

    return report
