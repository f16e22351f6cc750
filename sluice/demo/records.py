"""The demo's records as bytes: every bottle as protobuf, and a few that no worker can score."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, FEATURES, MESSAGE, Wines, read_csv


def read_wines() -> Wines:
    """The committed set."""
    return read_csv((ARTIFACTS / "wine.csv").read_text())


def keys_of(wines: Wines) -> list[bytes]:
    """A key for each bottle, so that it is always scored by the same arm of a route: `bottle-0` and so on."""
    return [f"bottle-{number}".encode() for number in range(len(wines))]


def encode_wines(wines: Wines) -> list[bytes]:
    """One `wine.v1.WineRecord` a bottle, in order."""
    record_class = _record_class()
    rows = zip(wines.matrix.tolist(), wines.data_types.tolist(), strict=True)
    return [
        record_class(data_type=kind, **dict(zip(FEATURES, row, strict=True))).SerializeToString() for row, kind in rows
    ]


def poison(count: int) -> list[bytes]:
    """`count` records for the dead-letter topic, of three kinds in turn: not protobuf, no such data type, none at all."""
    record_class = _record_class()
    kinds = (
        b"\xff\xff a bottle that broke on the way \xff",
        record_class(fixed_acidity=9.9, alcohol=6.0, data_type="vinegar").SerializeToString(),
        record_class(fixed_acidity=7.0, alcohol=11.0).SerializeToString(),
    )
    return [kinds[number % len(kinds)] for number in range(count)]


def _record_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))
