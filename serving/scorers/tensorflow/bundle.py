"""The checkpoint of a SavedModel: the bytes of its variables.

`variables.index` is a sorted table in LevelDB's format: blocks of entries whose keys share prefixes, an index block that
points to them, and a footer of 48 bytes that ends in a magic number. Each entry is a BundleEntryProto that says where in
which `variables.data-...` the tensor lies.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serving.core.errors import DamagedModelError, UnsupportedModelError
from serving.scorers.tensorflow.archive import INDEX_FILE
from serving.scorers.tensorflow.capi import NUMPY_OF, STRING
from serving.scorers.tensorflow.protos import Message, parse
from serving.scorers.tensorflow.screen import shape_of

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_BLOCK_TRAILER_BYTES = 5  # one byte for the compression, four for a checksum


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One variable: TensorFlow's DataType, its shape, its bytes in C order, little-endian."""

    dtype: int
    shape: tuple[int, ...]
    content: bytes


class Bundle:
    """The variables of a SavedModel by their checkpoint keys. Reads nothing until it is asked for a tensor.

    Args:
        files: The files of the SavedModel. Without an index there are no variables.

    Raises:
        DamagedModelError: The index is not a whole table.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        index = files.get(INDEX_FILE)
        self._entries = dict(_entries(index)) if index is not None else {}
        header = parse("BundleHeaderProto", self._entries.pop("", b""), "the header of the variables")
        if header.endianness != 0:
            raise UnsupportedModelError("the variables are stored big-endian")
        self._shards = [
            files.get(_shard_file(shard, header.num_shards)) for shard in range(min(header.num_shards, len(files)))
        ]

    def tensor(self, key: str) -> StoredTensor:
        """The variable stored under `key`.

        Raises:
            DamagedModelError: It is not there, or lies outside its file, or has another size than its shape.
            UnsupportedModelError: It is sliced, or of a type without plain bytes.
        """
        if key not in self._entries:
            raise DamagedModelError(f"the checkpoint has no variable {key!r}")
        entry = parse("BundleEntryProto", self._entries[key], f"the entry of variable {key!r}")
        if entry.slices:
            raise UnsupportedModelError(f"variable {key!r} is stored in slices")
        if entry.dtype == STRING or (entry.dtype not in NUMPY_OF and entry.dtype != _BFLOAT16):
            raise UnsupportedModelError(f"variable {key!r} has TensorFlow's data type {entry.dtype}")
        shape = _shape(entry, key)
        width = 2 if entry.dtype == _BFLOAT16 else NUMPY_OF[entry.dtype].itemsize
        content = self._content(entry, key)
        if len(content) != math.prod(shape) * width:
            raise DamagedModelError(f"variable {key!r} of shape {shape} has {len(content)} bytes")
        return StoredTensor(int(entry.dtype), shape, content)

    def _content(self, entry: Message, key: str) -> bytes:
        shard: bytes | None = self._shards[entry.shard_id] if 0 <= entry.shard_id < len(self._shards) else None
        if shard is None:
            raise DamagedModelError(f"the file of variable {key!r} (shard {entry.shard_id}) is missing")
        if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > len(shard):
            raise DamagedModelError(f"variable {key!r} lies outside its file of {len(shard)} bytes")
        return bytes(shard[entry.offset : entry.offset + entry.size])


_BFLOAT16 = 14


def _shape(entry: Message, key: str) -> tuple[int, ...]:
    shape = shape_of(entry.shape)
    if shape is None or any(size < 0 for size in shape) or len(shape) > 32:
        raise DamagedModelError(f"variable {key!r} has no known shape")
    return shape


def _shard_file(shard: int, shards: int) -> str:
    return f"variables/variables.data-{shard:05d}-of-{shards:05d}"


def _entries(index: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        if len(index) < _FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
            raise DamagedModelError(f"{INDEX_FILE} does not end as a table of variables does")
        footer = index[-_FOOTER_BYTES:]
        _, position = _varint(footer, 0)
        _, position = _varint(footer, position)
        start, position = _varint(footer, position)
        size, _ = _varint(footer, position)
        for _, handle in _block(index, start, size):
            block_start, position = _varint(handle, 0)
            block_size, _ = _varint(handle, position)
            for key, value in _block(index, block_start, block_size):
                yield key.decode(), value
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise DamagedModelError(f"{INDEX_FILE} is damaged: {error}") from error


def _block(index: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if start + size + _BLOCK_TRAILER_BYTES > len(index) or size < 4:
        raise DamagedModelError(f"{INDEX_FILE} has a block outside the file")
    if index[start + size] != 0:
        raise UnsupportedModelError(f"{INDEX_FILE} is compressed")
    block = index[start : start + size]
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    end = size - 4 - 4 * restarts
    if end < 0:
        raise DamagedModelError(f"{INDEX_FILE} has a damaged block")
    key = b""
    position = 0
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + fresh + length > end:
            raise DamagedModelError(f"{INDEX_FILE} has a damaged entry")
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length integer and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise DamagedModelError(f"{INDEX_FILE} holds a number of more than 64 bits")
