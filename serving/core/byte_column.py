"""Byte strings of a batch, side by side in one buffer: what is made and written by the batch needs no object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import eq
from typing import overload

import numpy as np
from numpy.typing import NDArray


class ByteColumn(Sequence[bytes]):
    """A sequence of byte strings; equal to any sequence of the same ones.

    Attributes:
        buffer: uint8 (any,), C-contiguous. Nobody may change it.
        starts: int64 (n,), where each string begins in the buffer.
        lengths: int64 (n,).
    """

    __slots__ = ("_objects", "buffer", "lengths", "starts")

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        objects: Sequence[bytes] | None = None,
    ) -> None:
        """Take `objects`, the same strings, where they exist already."""
        self.buffer = buffer
        self.starts = starts
        self.lengths = lengths
        self._objects = objects

    @classmethod
    def of(cls, values: Sequence[bytes]) -> ByteColumn:
        """The same strings, copied. Raises `TypeError` if one of them is `None`."""
        if isinstance(values, cls):
            return values
        buffer = np.frombuffer(b"".join(values), np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        return cls(buffer, np.cumsum(lengths) - lengths, lengths, values)

    @classmethod
    def rows(cls, matrix: NDArray[np.uint8]) -> ByteColumn:
        """The rows of a C-contiguous matrix (n, width), not copied."""
        count, width = matrix.shape
        return cls(matrix.reshape(-1), np.arange(count) * width, np.full(count, width))

    @classmethod
    def joined(cls, parts: Sequence[ByteColumn]) -> ByteColumn:
        """One column after the other."""
        if len(parts) == 1:
            return parts[0]
        sizes = np.array([len(part.buffer) for part in parts])
        begins = np.cumsum(sizes) - sizes
        starts = [part.starts + begin for part, begin in zip(parts, begins.tolist(), strict=True)]
        return cls(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate(starts),
            np.concatenate([part.lengths for part in parts]),
        )

    @property
    def longest(self) -> int:
        """Bytes of the longest string; 0 if there is none."""
        return int(self.lengths.max()) if len(self.lengths) else 0

    def take(self, rows: NDArray[np.intp] | Sequence[int]) -> ByteColumn:
        """Some of the strings, in any order."""
        return ByteColumn(self.buffer, self.starts[rows], self.lengths[rows])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> ByteColumn: ...
    def __getitem__(self, index: int | slice) -> bytes | ByteColumn:
        if isinstance(index, slice):
            return ByteColumn(self.buffer, self.starts[index], self.lengths[index])
        start = int(self.starts[index])
        return self.buffer[start : start + int(self.lengths[index])].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        if self._objects is not None:
            return iter(self._objects)
        data = self.buffer.tobytes()
        ends = (self.starts + self.lengths).tolist()
        return (data[start:end] for start, end in zip(self.starts.tolist(), ends, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return f"ByteColumn({list(self)!r})"
