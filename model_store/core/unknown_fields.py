"""The fields of a protobuf message that a schema does not know, as bytes, so that they can be kept and passed on."""

from __future__ import annotations

from collections.abc import Container


def unknown_fields(data: bytes, known: Container[int]) -> bytes:
    """The top-level fields of a serialised message whose numbers are not `known`, in order, as they were.

    Args:
        data: A message that a protobuf parser accepted.
        known: Field numbers of the schema.

    Raises:
        ValueError: `data` is not a serialised message.
    """
    kept = bytearray()
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        at = _skip_value(data, at, tag)
        if tag >> 3 not in known:
            kept += data[start:at]
    return bytes(kept)


def _skip_value(data: bytes, at: int, tag: int) -> int:
    match tag & 7:
        case 0:
            at = _varint(data, at)[1]
        case 1:
            at += 8
        case 2:
            length, at = _varint(data, at)
            at += length
        case 3:
            at = _skip_group(data, at, tag >> 3)
        case 5:
            at += 4
        case wire_type:
            raise ValueError(f"wire type {wire_type} at byte {at}")
    if at > len(data):
        raise ValueError("the message ends within a field")
    return at


def _skip_group(data: bytes, at: int, number: int) -> int:
    """Past the end tag of a (deprecated) group; nested groups are counted, not recursed into."""
    open_groups = [number]
    while open_groups:
        tag, at = _varint(data, at)
        match tag & 7:
            case 3:
                open_groups.append(tag >> 3)
            case 4:
                if open_groups.pop() != tag >> 3:
                    raise ValueError(f"a group is closed by another's end tag before byte {at}")
            case _:
                at = _skip_value(data, at, tag)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"no varint at byte {at}")
