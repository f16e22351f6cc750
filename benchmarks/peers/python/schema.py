"""The messages that a program reads and writes, as classes of the protobuf in its own environment.

They are made from the descriptor set that the installation put beside the interpreter. Classes made so are the very
same upb classes that generated code has.
"""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor


def _pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString((Path(sys.prefix) / "schema.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


_POOL = _pool()


def _message(name: str) -> type:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


WineRecord = _message("wine.v1.WineRecord")
ScoreResult = _message("modelserving.v1.ScoreResult")
ModelDescriptor = _message("modelserving.v1.ModelDescriptor")

FEATURES: tuple[str, ...] = tuple(
    field.name for field in WineRecord.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_DOUBLE
)
"""The eleven measurements of a wine, in the order of their numbers; the models name their inputs so."""

row_of = attrgetter(*FEATURES)
"""A record's measurements as a tuple of 11 floats."""
