"""Puts the pieces of messages together: from what they are made of, in all rows of a batch, to one value a row.

Rows that use the same prefixes of all pieces are of one *kind*: the same columns of bytes, which are written together.

* Where rows of a kind follow each other, they are written in stretches as they come: partitions one after the other.
* Otherwise the rows are sorted by kind, and written in that order; the values are found by where they begin.
* Where there are too many kinds for that, each row is as wide as it can be, and the bytes in use are compressed.

Nearly all batches have one to four kinds: a varint of offsets changes its width once in a long while. Of the last piece,
often a label, all is written of each row if it is short: what a row does not use of it lies behind its value, where nobody looks.

What comes out is one buffer and where in it each value is: no object is made of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.core.items import rows, spans
from serving.formats.pieces import Piece

# A kind costs as much as cutting out about this many rows one by one (measured: 10 us, 0.2 us), a stretch as sorting
# about as many again (10 us, 0.05 us).
_ROWS_PER_KIND = 48
_ROWS_PER_STRETCH = 200
_FEW = 4
# Of a wider last piece each row gets what it uses: one long label must not cost memory in all rows.
_WIDEST_LAST = 64
# Kinds are numbered below this, so that 16 bits hold them: sorting those is linear.
_KIND_NUMBERS = 1 << 16

_Which = NDArray[np.int64] | None
_Numbers = NDArray[np.int64] | NDArray[np.uint16] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of one kind.

    Attributes:
        rows: Which ones.
        count: How many.
        first: One of them.
        variant: Whose they all are; `None` if not known to be of one.
    """

    rows: slice | NDArray[np.intp]
    count: int
    first: int
    variant: int | None


def put_together(count: int, pieces: Sequence[Piece], variant_of: _Which) -> ByteColumn:
    """The value of each of `count` rows, at least one: what it uses of each piece, one after the other.

    Args:
        count: How many rows there are.
        pieces: What they are made of.
        variant_of: int64 (n,), which of several heads are a row's; `None` where all pieces have one.
    """
    last = pieces[-1] if pieces else None
    if last is None or last.used is None or last.width > _WIDEST_LAST:
        return _whole(count, pieces, variant_of)
    widest = _whole(count, [*pieces[:-1], replace(last, used=None)], variant_of)
    return ByteColumn(widest.buffer, widest.starts, widest.lengths - last.width + last.used)


def _whole(count: int, pieces: Sequence[Piece], variant_of: _Which) -> ByteColumn:
    kinds = _kinds(pieces, variant_of)
    stretches = _in_turn(count, kinds, variant_of)
    if stretches is not None:
        return _written(pieces, variant_of, stretches)
    order, stretches = _sorted(count, kinds)
    if stretches is None:
        return _compressed(count, pieces, variant_of)
    by_kind = _written(pieces, variant_of, stretches)
    place = np.empty(count, np.intp)
    place[order] = np.arange(count)
    return by_kind.take(place)


def _kinds(pieces: Sequence[Piece], variant_of: _Which) -> _Numbers | None:
    """A number for each row, the same where rows are of one kind; `None` where all are."""
    kind: NDArray[np.int64] | None = None
    bound = 1
    for used, lowest, highest in _prefixes(pieces, variant_of):
        if lowest == highest:
            continue
        kind = used - lowest if kind is None else kind * (highest - lowest + 1) + (used - lowest)
        bound *= highest - lowest + 1
        if bound > _KIND_NUMBERS:
            _, kind = np.unique(kind, return_inverse=True)
            bound = int(kind.max()) + 1
    return kind if kind is None or bound > _KIND_NUMBERS else kind.astype(np.uint16)


def _prefixes(pieces: Sequence[Piece], variant_of: _Which) -> list[tuple[NDArray[np.int64], int, int]]:
    """What tells kinds apart: a number a row, the lowest and the highest of them."""
    found = [(piece.used, int(piece.used.min()), int(piece.used.max())) for piece in pieces if piece.used is not None]
    if variant_of is not None:
        shapes = [
            tuple(map(len, heads)) for heads in zip(*(piece.heads for piece in pieces if _differs(piece)), strict=True)
        ]
        numbers = {shape: number for number, shape in enumerate(dict.fromkeys(shapes))}
        if len(numbers) > 1:
            shape_of = np.array([numbers[shape] for shape in shapes], np.int64)
            found.append((shape_of[variant_of], 0, len(numbers) - 1))
    return found


def _differs(piece: Piece) -> bool:
    return len(piece.heads) > 1


def _in_turn(count: int, kinds: _Numbers | None, variant_of: _Which) -> list[_Stretch] | None:
    """Rows of one kind and one variant that follow each other; `None` if there are too many such stretches."""
    if kinds is None and variant_of is None:
        return [_Stretch(slice(0, count), count, 0, 0)]
    changes = np.zeros(count - 1, np.bool_)
    for numbers in (kinds, variant_of):
        if numbers is not None:
            changes |= numbers[1:] != numbers[:-1]
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    if len(starts) > max(_FEW, count // _ROWS_PER_STRETCH):
        return None
    stops = [*starts[1:], count]
    variants = [0] * len(starts) if variant_of is None else variant_of[starts].tolist()
    return [
        _Stretch(slice(start, stop), stop - start, start, variant)
        for start, stop, variant in zip(starts, stops, variants, strict=True)
    ]


def _sorted(count: int, kinds: _Numbers | None) -> tuple[NDArray[np.intp], list[_Stretch] | None]:
    """An order in which rows of one kind are neighbours, and the kinds; no kinds if they are too many."""
    if kinds is None:
        return np.arange(count), [_Stretch(slice(0, count), count, 0, None)]
    order = np.argsort(kinds, kind="stable")
    sorted_kinds = kinds[order]
    starts = [0, *(np.flatnonzero(sorted_kinds[1:] != sorted_kinds[:-1]) + 1).tolist()]
    if len(starts) > max(_FEW, count // _ROWS_PER_KIND):
        return order, None
    found = [order[start:stop] for start, stop in zip(starts, [*starts[1:], count], strict=True)]
    return order, [_Stretch(rows, len(rows), int(rows[0]), None) for rows in found]


def _written(pieces: Sequence[Piece], variant_of: _Which, stretches: Sequence[_Stretch]) -> ByteColumn:
    """The values of all stretches, side by side."""
    prefixes = [[_used(piece, variant_of, stretch.first) for piece in pieces] for stretch in stretches]
    widths = [sum(used) for used in prefixes]
    buffer = np.empty(sum(stretch.count * width for stretch, width in zip(stretches, widths, strict=True)), np.uint8)
    begin = 0
    starts: list[NDArray[np.int64]] = []
    for stretch, used, width in zip(stretches, prefixes, widths, strict=True):
        end = begin + stretch.count * width
        _write(buffer[begin:end].reshape(stretch.count, width), pieces, used, variant_of, stretch)
        starts.append(np.arange(stretch.count) * width + begin)
        begin = end
    counts = [stretch.count for stretch in stretches]
    return ByteColumn(buffer, np.concatenate(starts), np.repeat(np.array(widths, np.int64), counts))


def _used(piece: Piece, variant_of: _Which, row: int) -> int:
    if piece.used is not None:
        return int(piece.used[row])
    if _differs(piece):
        assert variant_of is not None
        return len(piece.heads[variant_of[row]])
    return piece.width


def _write(
    out: NDArray[np.uint8], pieces: Sequence[Piece], used: Sequence[int], variant_of: _Which, stretch: _Stretch
) -> None:
    """Write so many bytes of each piece to the rows of `out`."""
    if not out.shape[1]:
        return
    template = _template(pieces, used, stretch.variant or 0)
    rows(out)[:] = np.frombuffer(template, f"V{len(template)}")
    at = 0
    for piece, width in zip(pieces, used, strict=True):
        head = len(piece.heads[0])
        if piece.payload is not None and width > head:
            payload = _rows_of(piece.payload, stretch.rows)
            spans(out, at + head, at + width)[:] = spans(payload, 0, width - head)
        elif _differs(piece) and width and stretch.variant is None:
            assert variant_of is not None
            spans(out, at, at + width)[:] = _table(piece, width).take(variant_of[stretch.rows])
        at += width


def _rows_of(payload: NDArray[np.uint8], rows: slice | NDArray[np.intp]) -> NDArray[np.uint8]:
    return payload[rows] if isinstance(rows, slice) else payload.take(rows, axis=0)


def _template(pieces: Sequence[Piece], used: Sequence[int], variant: int) -> bytes:
    """A row of these pieces without their payloads."""
    return b"".join(
        piece.heads[variant if _differs(piece) else 0][:width].ljust(width, b"\0")
        for piece, width in zip(pieces, used, strict=True)
    )


def _table(piece: Piece, width: int) -> NDArray[np.void]:
    """So many bytes of each head, as one item each."""
    return np.frombuffer(b"".join(head[:width].ljust(width, b"\0") for head in piece.heads), f"V{width}")


def _compressed(count: int, pieces: Sequence[Piece], variant_of: _Which) -> ByteColumn:
    widest = [piece.width for piece in pieces]
    matrix = np.empty((count, sum(widest)), np.uint8)
    _write(
        matrix, pieces, widest, variant_of, _Stretch(slice(0, count), count, 0, None if variant_of is not None else 0)
    )
    in_use = np.ones(matrix.shape, bool)
    start = 0
    for piece, width in zip(pieces, widest, strict=True):
        used = piece.used
        if _differs(piece):
            assert variant_of is not None
            used = np.array([len(head) for head in piece.heads], np.int64)[variant_of]
        if used is not None:
            in_use[:, start : start + width] = np.arange(width) < used[:, None]
        start += width
    lengths = in_use.sum(1)
    return ByteColumn(matrix[in_use], np.cumsum(lengths) - lengths, lengths)
