"""Columns of a batch -> input tensors, and never a value that the record did not hold.

A matrix of float64 goes into float32, integer or boolean tensors. What does not fit (a fraction, a NaN or 1e300 for an
integer, a missing text) makes its row a failure with a reason; it is neither rounded nor wrapped. NaN and infinity pass
into floating-point tensors as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import DType, FeatureSlot, TensorSpec
from serving.core.columns import Features, TextColumn
from serving.core.errors import UnsupportedModelError
from serving.scorers.tensorflow.capi import NUMPY_OF, STRING, Array
from serving.scorers.tensorflow.servable import Tensor

DTYPE_NAMES: dict[int, DType] = {
    1: "float32", 2: "float64", 3: "int32", 4: "int32", 5: "int32", 6: "int32", STRING: "string", 9: "int64", 10: "bool",
    17: "int32", 19: "float32", 22: "int64",
}  # fmt: skip
"""TensorFlow's DataType -> the nearest type of a signature that holds all its values."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One input tensor and the columns it is made of.

    Attributes:
        name: The input's name, for messages.
        reference: TensorFlow's name of the tensor.
        dtype: Of the tensor; object for strings.
        shape: Of one record.
        first: Index of its first column: in the matrix, or among the texts if it is a string.
        width: Its number of columns.
    """

    name: str
    reference: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    first: int
    width: int

    def array(self, features: Features, failures: dict[int, str]) -> Array:
        """The tensor (n, *shape), with a harmless value in rows that fail; these are added to `failures`."""
        shape = (len(features), *self.shape)
        if self.dtype.hasobject:
            return self._strings(features.texts[self.first : self.first + self.width], failures).reshape(shape)
        block = features.matrix[:, self.first : self.first + self.width]
        if self.dtype.kind == "f":
            return self._floats(block, failures).reshape(shape)
        return self._integers(block, failures).reshape(shape)

    def zeros(self, rows: int) -> Array:
        """A tensor of `rows` records that hold nothing but zeros or empty strings."""
        return np.full((rows, *self.shape), b"" if self.dtype == object else 0, self.dtype)

    def ones(self, rows: int) -> Array:
        """A tensor of `rows` records that hold nothing but ones."""
        return np.full((rows, *self.shape), b"1" if self.dtype == object else 1, self.dtype)

    def _floats(self, block: NDArray[np.float64], failures: dict[int, str]) -> Array:
        try:
            with np.errstate(over="raise"):
                return np.ascontiguousarray(block, self.dtype)
        except FloatingPointError:
            largest = float(np.finfo(self.dtype).max)
            fits = ~(np.isfinite(block) & (np.abs(block) > largest))
            self._fail(block, fits, f"is too large for {self.dtype}", failures)
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(np.where(fits, block, 0.0), self.dtype)

    def _integers(self, block: NDArray[np.float64], failures: dict[int, str]) -> Array:
        if self.dtype.kind == "b":
            low, beyond = 0.0, 2.0
        else:
            limits = np.iinfo(self.dtype)
            low, beyond = float(limits.min), float(limits.max + 1)
        with np.errstate(invalid="ignore"):
            fits = (block >= low) & (block < beyond) & (np.floor(block) == block)
        if fits.all():
            return np.ascontiguousarray(block).astype(self.dtype)
        self._fail(block, fits, f"is not a whole number of type {self.dtype}", failures)
        return np.where(fits, block, 0.0).astype(self.dtype)

    def _fail(self, block: NDArray[np.float64], fits: NDArray[np.bool_], why: str, failures: dict[int, str]) -> None:
        for row in np.flatnonzero(~fits.all(axis=1)):
            column = int(np.argmin(fits[row]))
            failures.setdefault(int(row), f"input {self._element(column)}: {float(block[row, column])!r} {why}")

    def _strings(self, columns: Sequence[TextColumn], failures: dict[int, str]) -> Array:
        rows = len(columns[0].codes)
        array: Array = np.full((rows, self.width), b"", object)
        for position, column in enumerate(columns):
            values = np.array([*(value.encode() for value in column.values), b""], object)
            array[:, position] = values[column.codes]
            for row in np.flatnonzero(column.codes < 0):
                failures.setdefault(int(row), f"input {self._element(position)}: the text is missing")
        return array

    def _element(self, column: int) -> str:
        return f"{self.name!r}" if self.width == 1 else f"{self.name!r}[{column}]"


def feeds_of(inputs: Sequence[Tensor]) -> tuple[Feed, ...]:
    """A feed an input, on consecutive columns.

    Raises:
        UnsupportedModelError: An input's type or shape cannot be made of the scalars of a record.
    """
    feeds = []
    next_number = next_text = 0
    for tensor in inputs:
        dtype = NUMPY_OF.get(tensor.dtype)
        if dtype is None:
            raise UnsupportedModelError(
                f"input {tensor.name!r} has TensorFlow's data type {tensor.dtype}; give it numbers or strings"
            )
        shape = _record_shape(tensor)
        width = math.prod(shape)
        first = next_text if dtype.hasobject else next_number
        feeds.append(Feed(tensor.name, tensor.reference, dtype, shape, first, width))
        if dtype.hasobject:
            next_text += width
        else:
            next_number += width
    return tuple(feeds)


def specs_of(inputs: Sequence[Tensor]) -> tuple[TensorSpec, ...]:
    """The inputs as a signature tells them. See `feeds_of`."""
    return tuple(TensorSpec(tensor.name, DTYPE_NAMES[tensor.dtype], _record_shape(tensor)) for tensor in inputs)


def slots_of(feeds: Sequence[Feed]) -> tuple[FeatureSlot, ...]:
    """The scalars that a record supplies: named after the input where it takes one, nameless where it takes a vector."""
    return tuple(
        FeatureSlot(feed.name if feed.width == 1 else None, is_text=feed.dtype.hasobject)
        for feed in feeds
        for _ in range(feed.width)
    )


_MOST_SLOTS = 1 << 20


def _record_shape(tensor: Tensor) -> tuple[int, ...]:
    advice = "export the model with a fixed shape for everything but the batch, such as (None, 11)"
    if tensor.shape is None:
        raise UnsupportedModelError(
            f"input {tensor.name!r} does not tell its shape and nothing that consumes it does; {advice}"
        )
    if not tensor.shape or tensor.shape[0] != -1:
        raise UnsupportedModelError(f"input {tensor.name!r} of shape {tensor.shape} has no free batch axis; {advice}")
    shape = tensor.shape[1:]
    if -1 in shape:
        raise UnsupportedModelError(f"input {tensor.name!r} of shape {tensor.shape} has an unknown size; {advice}")
    if not 0 < math.prod(shape) <= _MOST_SLOTS:
        raise UnsupportedModelError(
            f"input {tensor.name!r} takes {math.prod(shape)} numbers a record; 1 to {_MOST_SLOTS} are possible"
        )
    return shape
