"""The records: eleven numbers, a data type, an entity, and as many bytes more as are asked for, in fields that no model reads."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FEATURES = tuple(f"feature_{number}" for number in range(11))
FILLERS = 10

Encoding = Literal["protobuf", "json"]


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="size.proto", package="size", syntax="proto3")
    message = file.message_type.add(name="Measured")
    for number, name in enumerate(FEATURES, 1):
        message.field.add(name=name, number=number, type=1, label=1)
    message.field.add(name="data_type", number=12, type=9, label=1)
    message.field.add(name="entity", number=13, type=9, label=1)
    for number in range(FILLERS):
        message.field.add(name=f"filler_{number}", number=20 + number, type=9, label=1)
    return file


DESCRIPTOR_SET = descriptor_pb2.FileDescriptorSet(file=[_file()]).SerializeToString()
MESSAGE = "size.Measured"


def _message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))


_Measured = _message_class()


def make_records(
    data_types: Sequence[str], encoding: Encoding = "protobuf", more_bytes: int = 0, seed: int = 7
) -> list[bytes]:
    """One record for each data type named, in that order.

    Args:
        data_types: Of the records.
        encoding: How they are written.
        more_bytes: Spread over ten text fields that no model reads; 0 leaves them out.
        seed: Of their numbers.
    """
    chance = random.Random(seed)
    made = []
    for place, data_type in enumerate(data_types):
        record: dict[str, Any] = {name: round(chance.uniform(0.1, 20), 3) for name in FEATURES}
        record["data_type"], record["entity"] = data_type, f"machine-{place % 1000}"
        if more_bytes:
            record |= {f"filler_{number}": "x" * (more_bytes // FILLERS) for number in range(FILLERS)}
        made.append(json.dumps(record).encode() if encoding == "json" else _Measured(**record).SerializeToString())
    return made


def spread(types: int, count: int, how: Literal["evenly", "zipf"], seed: int = 7) -> list[str]:
    """The data type of each of `count` records: all equally likely, or the n-th likely as 1/n."""
    names = [data_type(number) for number in range(types)]
    weights = [1.0 if how == "evenly" else 1 / (number + 1) for number in range(types)]
    return random.Random(seed).choices(names, weights, k=count)


def data_type(number: int) -> str:
    """The name of a data type, all of one length."""
    return f"type-{number:04}"
