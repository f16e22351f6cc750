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
        """One column after the other; of one buffer, nothing is copied."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        if all(part.buffer is parts[0].buffer for part in parts):
            return cls(parts[0].buffer, np.concatenate([part.starts for part in parts]), lengths)
        sizes = np.array([len(part.buffer) for part in parts])
        begins = np.cumsum(sizes) - sizes
        starts = [part.starts + begin for part, begin in zip(parts, begins.tolist(), strict=True)]
        return cls(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate(starts),
            lengths,
        )

    def matrix(self) -> NDArray[np.uint8] | None:
        """The strings as rows of a C-contiguous matrix, if they have one length; not copied if they lie side by side."""
        count = len(self.lengths)
        width = int(self.lengths[0]) if count else 0
        if not width or (self.lengths != width).any():
            return None
        first = int(self.starts[0])
        if count == 1 or (self.starts[1:] - self.starts[:-1] == width).all():
            return self.buffer[first : first + count * width].reshape(count, width)
        return self.windows(width)[self.starts].view(np.uint8).reshape(count, width)

    def windows(self, width: int) -> NDArray[np.void]:
        """Every run of `width` bytes of the buffer, at least 1; by its start."""
        return np.ndarray((len(self.buffer) - width + 1,), f"V{width}", self.buffer.data, 0, (1,))

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
        if not len(self.starts):
            return iter(())
        first, stop = int(self.starts.min()), int((self.starts + self.lengths).max())  # a slice may use little of it
        data = self.buffer[first:stop].tobytes()
        starts = self.starts - first
        ends = (starts + self.lengths).tolist()
        return iter([data[start:end] for start, end in zip(starts.tolist(), ends, strict=True)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return f"ByteColumn({list(self)!r})"
